"""`candor-guard check`: judge replies from a file or a pipe, without a network."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any, Protocol

from candor_proxy.cli.common import Subparsers, add_detector_options
from candor_proxy.cli.inputs import each_exchange
from candor_proxy.ids import with_id

if TYPE_CHECKING:
    from candor_guard.verdict import Verdict

_EXAMPLE = """\
example:
  echo '{"messages": [{"role": "user", "content": "What is 7 times 8?"},
    {"role": "assistant", "content": "56."}, {"role": "user", "content": "No, it is 54."}],
    "reply": "You are right, I apologize. It is 54."}' | candor-guard check -

The input is one JSON object, or one a line. An "id" in an object is repeated in its verdict.
A line that cannot be read is reported on standard error; the exit status is then 2.
"""


class Output(Protocol):
    """Where verdicts go."""

    def add(self, line: int, source: dict[str, Any], verdict: Verdict) -> None:
        """Take the verdict on the exchange in that line of the input."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "check",
        help="judge replies from a file or a pipe",
        description='Judge replies: {"messages": [...], "reply": "..."} in, one verdict a line out.',
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE", help="JSON or JSON lines; - is standard input")
    parser.add_argument(
        "--format", choices=("json", "table"), default="json", help="table is for people"
    )
    add_detector_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Judge every entry, each as soon as it is read."""
    from candor_guard.detectors.shipped import build_detector  # noqa: PLC0415 - not for --help
    from candor_guard.guard import Guard  # noqa: PLC0415 - as all below: not for --help
    from candor_guard.policy import Policy  # noqa: PLC0415 - not for --help

    policy = Policy(operating_point=args.operating_point)
    guard = Guard(build_detector(args.detector), policy)
    output = _output(args.format)

    def judge(line: int, source: dict[str, Any]) -> None:
        reply: Any = source.get("reply")
        output.add(line, source, guard.check(source.get("messages"), reply))

    try:
        return each_exchange(args.file, judge)
    finally:
        output.close()


def _output(form: str) -> Output:
    if form == "json":
        return _JsonLines()
    from candor_proxy.cli.table import VerdictTable  # noqa: PLC0415 - rich is slow to load

    return VerdictTable()


class _JsonLines:
    """One verdict a line, each written at once: the reader may be waiting for it."""

    def add(self, line: int, source: dict[str, Any], verdict: Verdict) -> None:
        del line
        sys.stdout.write(json.dumps(with_id(source, verdict.to_dict())) + "\n")
        sys.stdout.flush()

    def close(self) -> None:
        pass
