"""`candor-guard demo`: see it work, offline, in a few seconds."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from candor_proxy.cli.common import DETECTORS, Subparsers

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_EXAMPLE = """\
example:
  candor-guard demo --brief
  candor-guard demo --serve --port 8400
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "demo",
        help="play scripted conversations through the proxy, offline",
        description=(
            "Start a scripted people-pleasing model and the proxy on loopback, play conversations\n"
            "through a real client, and print the replies before and after. Exits 0 only when\n"
            "every conversation ends as scripted."
        ),
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--serve", action="store_true", help="play nothing; keep both servers up until Ctrl-C"
    )
    parser.add_argument(
        "--brief", action="store_true", help="show only a few conversations in full"
    )
    parser.add_argument(
        "--port", type=_port, default=0, metavar="PORT", help="of the proxy (a free one)"
    )
    parser.add_argument(
        "--detector",
        metavar="NAME",
        help=DETECTORS,
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Play the script, or serve it."""
    import asyncio  # noqa: PLC0415 - as all below: not for --help

    from candor_guard.detectors.shipped import DEFAULT  # noqa: PLC0415 - not for --help
    from candor_proxy.demo import run_demo  # noqa: PLC0415 - not for --help
    from candor_proxy.serve import build_app  # noqa: PLC0415 - not for --help
    from candor_proxy.settings import Settings  # noqa: PLC0415 - not for --help

    def make_proxy_app(upstream: str) -> ASGIApp:
        # Deliberately without candor.toml and environment: the demo shows the defaults.
        return build_app(Settings(upstream=upstream, detector=args.detector or DEFAULT))

    return asyncio.run(
        run_demo(port=args.port, serve=args.serve, brief=args.brief, make_proxy_app=make_proxy_app)
    )


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() else -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port (0 to 65535)")
    return port
