"""What the commands share."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Protocol


class Subparsers(Protocol):
    """What `argparse.ArgumentParser.add_subparsers` returns; argparse has no public name for it."""

    def add_parser(self, *args: Any, **kwargs: Any) -> argparse.ArgumentParser:
        """Add a command."""
        ...


def complain(message: str) -> int:
    """Write an error in one line; returns the exit status for bad usage."""
    sys.stderr.write(f"candor-guard: error: {' '.join(message.split())}\n")
    return 2
