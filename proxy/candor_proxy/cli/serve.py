"""`candor-guard serve`: run the proxy."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from candor_proxy.cli.common import DETECTORS, Subparsers

_EXAMPLE = """\
example:
  candor-guard serve --upstream https://api.openai.com/v1 --mode observe

Then point your client's base URL at http://127.0.0.1:8400/v1. Everything can also be set in
candor.toml or as CANDOR_* variables (CANDOR_UPSTREAM, CANDOR_POLICY__MAX_ATTEMPTS, ...); flags
win over variables, variables over the file. --print-config shows all keys and what is in force.
"""

# Flag, placeholder, key, help. Values are checked with all other settings, so none has a type.
_FLAGS = (
    ("--upstream", "URL", "upstream", "an OpenAI-compatible base URL, or litellm"),
    ("--mode", "MODE", "mode", "off, observe or enforce (the default)"),
    ("--host", "HOST", "host", "address to listen on (127.0.0.1)"),
    ("--port", "PORT", "port", "port to listen on (8400); 0 picks a free one"),
    ("--workers", "N", "workers", "processes that share the port (1)"),
    ("--detector", "NAME", "detector", DETECTORS),
    ("--operating-point", "NAME", "policy.operating_point", "strict, balanced or sensitive"),
    ("--max-attempts", "N", "policy.max_attempts", "regenerations per reply at most (1)"),
    ("--annotate", "WHICH", "annotate", "bodies with a candor object: flagged, all or none"),
    ("--log-level", "LEVEL", "log_level", "debug, info, warning, error or critical"),
)


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "serve",
        help="run the proxy",
        description="Run the proxy in front of a chat model.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for flag, placeholder, key, text in _FLAGS:
        parser.add_argument(flag, metavar=placeholder, dest=key, help=text)
    parser.add_argument(
        "--upstream-api-key-env",
        metavar="NAME",
        help="variable that holds the key to send upstream; default: the client's own key",
    )
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="settings (candor.toml, where there is one)"
    )
    parser.add_argument(
        "--print-config", action="store_true", help="print the settings in force, and leave"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve, or print the settings."""
    from candor_proxy.settings import load, print_config, read_secret  # noqa: PLC0415 - not for --help

    given = vars(args)
    flags = {key: given[key] for _, _, key, _ in _FLAGS if given[key] is not None}
    if args.upstream_api_key_env is not None:
        flags["upstream_api_key"] = read_secret(args.upstream_api_key_env)
    loaded = load(flags, args.config)
    if args.print_config:
        sys.stdout.write(print_config(*loaded))
        return 0
    from candor_proxy.serve import run as serve  # noqa: PLC0415 - brings the whole server

    return serve(loaded.settings)
