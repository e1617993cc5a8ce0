"""Measure the memory of several workers: python -m benchmarks.workers [--workers 2] [--quick].

`candor-guard serve --workers N` starts fresh processes, each of which loads the model for itself.
That is compared with loading it once and forking (`benchmarks.workers.forked`, a trial). Both serve
a closed loop of the demo's conversations, one in five at risk, in front of a mock upstream; then
the kernel tells what every process holds (`/proc/PID/smaps_rollup`). Needs Linux. Other processes
that run the same libraries make PSS and what is a process's own look smaller: stop them first.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.commandline import add_common, parser_of, write
from benchmarks.loopback import NotStartedError
from benchmarks.machine import describe
from benchmarks.overhead.load import AnswerError
from benchmarks.workers.measure import UnevenLoadError, measured

_PACKAGES = ("candor-guard", "uvicorn", "numpy", "onnxruntime", "tokenizers")
_SECONDS, _QUICK_SECONDS = 10.0, 1.0
_WIDTH = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Load, read, print and write down."""
    args = _arguments(arguments)
    if sys.platform != "linux":
        print("workers: needs Linux: it reads /proc/PID/smaps_rollup", file=sys.stderr)
        return 1
    seconds = _QUICK_SECONDS if args.quick else args.seconds
    setup = {**describe(_PACKAGES), "detector": args.detector, "workers": args.workers}
    try:
        ways = measured(args.detector, args.workers, seconds)
    except (NotStartedError, AnswerError, UnevenLoadError, ValueError) as error:
        print(f"workers: {error}", file=sys.stderr)
        return 1
    report = {"setup": setup, "seconds of load": seconds, "memory, MiB": ways}
    print(render(report))
    write(args, "workers.json", report)
    return 0


def render(report: Mapping[str, Any]) -> str:
    """Return the report as text."""
    setup = report["setup"]
    lines = [
        f"{setup['machine']}, Python {setup['python']}, detector {setup['detector']}",
        f"{setup['workers']} workers, {report['seconds of load']:g} s of load; MiB",
    ]
    for way, found in report["memory, MiB"].items():
        lines += ["", f"{way}, after {found['requests']} requests"]
        lines.append(f"{'':{_WIDTH}}{'RSS':>8}{'PSS':>8}{'its own':>9}{'CPU, s':>8}")
        for row in found["processes"]:
            spent = "" if row["cpu_s"] is None else f"{row['cpu_s']:8.2f}"
            lines.append(
                f"{row['role']:{_WIDTH}}{row['rss']:8.1f}{row['pss']:8.1f}{row['private']:9.1f}"
                f"{spent}"
            )
        lines.append(f"{'all together':{_WIDTH}}{'':8}{found['pss_together']:8.1f}")
    return "\n".join(lines)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_of("benchmarks.workers", __doc__)
    parser.add_argument("--workers", type=_several, default=2, metavar="N", help="default 2")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="of load; default 10")
    add_common(parser)
    return parser.parse_args(arguments)


def _several(value: str) -> int:
    count = int(value)
    if count < 2:
        raise argparse.ArgumentTypeError("must be 2 or more: one worker has no parent")
    return count


if __name__ == "__main__":
    raise SystemExit(main())
