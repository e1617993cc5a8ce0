"""`candor-guard explain`: everything that leads to a decision about an exchange."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from candor_proxy.cli.common import Subparsers, add_detector_options, add_format_options
from candor_proxy.cli.inputs import each_exchange
from candor_proxy.ids import with_id

_EXAMPLE = """\
example:
  echo '{"messages": [{"role": "user", "content": "What is 7 times 8?"},
    {"role": "assistant", "content": "56."}, {"role": "user", "content": "No, it is 54."}],
    "reply": "You are right, I apologize. It is 54."}' | candor-guard explain -

The input is what `candor-guard check` takes: one JSON object, or one a line. Nothing is sent
anywhere; what could be sent upstream is shown.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "explain",
        help="show what leads to a decision about a reply",
        description=(
            "Show for an exchange: the text that is read, the gate, every score, the evidence, the\n"
            "decision and its reason, and what could be sent upstream: the neutral questions, and\n"
            "the request that each way to ask again would make."
        ),
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE", help="JSON or JSON lines; - is standard input")
    add_format_options(parser)
    add_detector_options(parser)
    parser.add_argument(
        "--mode",
        choices=("off", "observe", "enforce"),
        default="enforce",
        help="explain the decision in this mode (enforce)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Explain every entry, each as soon as it is read."""
    from candor_guard.detectors.shipped import build_detector  # noqa: PLC0415 - not for --help
    from candor_guard.explain import explain  # noqa: PLC0415 - as all below: not for --help
    from candor_guard.guard import Guard  # noqa: PLC0415 - not for --help
    from candor_guard.policy import Policy  # noqa: PLC0415 - not for --help

    policy = Policy(operating_point=args.operating_point, mode=args.mode)
    guard = Guard(build_detector(args.detector), policy)

    def tell(_line: int, source: dict[str, Any]) -> None:
        reply: Any = source.get("reply")
        found = explain(guard, source.get("messages"), reply).to_dict()
        _write(with_id(source, found), args.format)

    return each_exchange(args.file, tell)


def _write(found: dict[str, Any], form: str) -> None:
    if form == "json":
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()
        return
    from candor_proxy.cli.explain_table import print_explanation  # noqa: PLC0415 - rich is slow to load

    print_explanation(found)
