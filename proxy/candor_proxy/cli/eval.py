"""`candor-guard eval`: how well a detector judges labelled exchanges."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from candor_proxy.cli.common import Subparsers, add_detector_options, add_format_options
from candor_proxy.cli.inputs import Entry, empty, entries, opened, placed

if TYPE_CHECKING:
    from candor_guard.guard import Guard
    from candor_proxy.evaluation import LabelledRow

_EXAMPLE = """\
example:
  candor-guard eval replies.jsonl --only split=valid --by source
  candor-guard eval a.jsonl b.jsonl --detector relation --json > figures.json
  candor-guard eval replies.jsonl --model runs/new --against encoder

A line is an exchange as `candor-guard check` takes it, with labels:
  {"messages": [...], "reply": "...", "labels": {"capitulation": 1, "drift": null},
   "group": "q17", "source": "support", "kind": "price", "language": "english"}
Labels are 0, 1 or null (nobody judged); besides the two verdicts also pressure, evidence,
concession, endorsement and warmth. Rows of one group (the same question, say) are resampled
together; a group with a faulty and a sound reply is a pair. capitulation counts only where an
assistant turn came before.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "eval",
        help="measure a detector on labelled replies",
        description=(
            "Judge labelled replies and say how well: AUROC, average precision, recall at 0.5, 2\n"
            "and 5 % false positives, pairs, calibration error, flagged rates, each with a 95 %\n"
            "interval over groups. With --against, how far two detectors are apart on the same rows."
        ),
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "files", metavar="FILE", nargs="+", help="labelled JSON lines; - is standard input"
    )
    add_format_options(parser)
    add_detector_options(parser)
    parser.add_argument(
        "--against",
        metavar="NAME",
        help="compare with this detector, which is named like that of --detector",
    )
    parser.add_argument(
        "--only",
        type=_condition,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="only rows with this value, such as split=valid; may be repeated",
    )
    parser.add_argument(
        "--by",
        action="append",
        metavar="KEY",
        help="break the figures down by this field; may be repeated (source, kind, language)",
    )
    parser.add_argument(
        "--rounds", type=_count, default=500, metavar="N", help="bootstrap draws (500)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read all rows, judge them, report."""
    from candor_guard.errors import InvalidRequestError  # noqa: PLC0415 - not for --help
    from candor_proxy.comparison import compare  # noqa: PLC0415 - not for --help
    from candor_proxy.evaluation import BY, evaluate  # noqa: PLC0415 - not for --help

    guard = _guard(args.detector, args.operating_point)
    against = None if args.against is None else _guard(args.against, args.operating_point)
    rows = [row for name in args.files for row in _rows(name, args.only)]
    if not rows:
        wanted = " and ".join(f"{key}={value}" for key, value in args.only)
        raise InvalidRequestError(f"no row has {wanted}")
    for key in args.by or ():
        if not any(row.states(key) for row in rows):
            keys = ", ".join(sorted(set().union(*(row.keys() for row in rows))))
            raise InvalidRequestError(f"no row has the key {key!r} of --by; there are {keys}")
    by = args.by or BY
    if against is None:
        report = evaluate(guard, rows, by=by, rounds=args.rounds)
    else:
        report = compare(guard, against, rows, by=by, rounds=args.rounds)
    _write(report, args)
    return 0


def _guard(detector: str | None, point: str) -> Guard:
    from candor_guard.detectors.shipped import build_detector  # noqa: PLC0415 - not for --help
    from candor_guard.guard import Guard  # noqa: PLC0415 - not for --help
    from candor_guard.policy import Policy  # noqa: PLC0415 - not for --help

    return Guard(build_detector(detector), Policy(operating_point=point))


def _rows(name: str, only: Sequence[tuple[str, str]]) -> Iterator[LabelledRow]:
    found = False
    with opened(name) as stream:
        for entry in entries(stream):
            found = True
            row = _row(name, entry, only)
            if row is not None:
                yield row
    if not found:
        raise empty(name)


def _row(name: str, entry: Entry, only: Collection[tuple[str, str]]) -> LabelledRow | None:
    """Read a row; None when it is not among those wanted.

    A bad row ends it all: figures that silently leave rows out are worse than none.
    """
    from candor_guard.errors import InvalidRequestError  # noqa: PLC0415 - not for --help
    from candor_guard.wire.json import load_object  # noqa: PLC0415 - not for --help
    from candor_proxy.evaluation import LabelledRow  # noqa: PLC0415 - not for --help

    try:
        source = load_object(entry.body)
        if any(_said(source, key) != value for key, value in only):
            return None
        return LabelledRow.parse(source, place=f"line {entry.line}", file=name)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{name} line {entry.line}: {placed(error)}") from None


def _said(source: Mapping[str, Any], key: str) -> str | None:
    value = source.get(key)
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


def _write(report: Mapping[str, Any], args: argparse.Namespace) -> None:
    if args.format == "json":
        sys.stdout.write(json.dumps(report, indent=1) + "\n")
        return
    if "against" in report:
        from candor_proxy.cli.eval_against import print_comparison  # noqa: PLC0415 - rich is slow to load

        print_comparison(report, (args.detector, args.against))
        return
    from candor_proxy.cli.eval_table import print_report  # noqa: PLC0415 - rich is slow to load

    print_report(report)


def _condition(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no KEY=VALUE")
    return key, value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) > 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 100000")
    return int(text)
