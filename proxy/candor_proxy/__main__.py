"""`python -m candor_proxy` is `candor-guard`."""

import sys

from candor_proxy.cli import main

if __name__ == "__main__":
    sys.exit(main())
