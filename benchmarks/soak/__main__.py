"""Let the proxy run: python -m benchmarks.soak [--minutes 30] [--quick].

Constant load (is memory flat?), more load than a bounded proxy can do (does it keep its rate and
refuse the rest with a 503?), and growing conversations and replies (does the cost stay flat?). The
load is an open loop: requests come by the clock. Linux only, two cores.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from benchmarks.commandline import add_common, parser_of, write
from benchmarks.loopback import NotStartedError
from benchmarks.machine import describe
from benchmarks.overhead.load import AnswerError
from benchmarks.soak import tables
from benchmarks.soak.bench import bench
from benchmarks.soak.parts import constant, growing, overload

_PACKAGES = ("candor-guard", "starlette", "uvicorn", "aiohttp", "uvloop", "httptools")
_MINUTES, _QUICK_MINUTES = 2.0, 0.1
_SECONDS, _QUICK_SECONDS = 3.0, 0.3


def main() -> int:
    """Run all parts, print them and write them down."""
    args = _arguments()
    minutes = args.minutes or (_QUICK_MINUTES if args.quick else _MINUTES)
    seconds = _QUICK_SECONDS if args.quick else _SECONDS
    report: dict[str, Any] = {"setup": {**describe(_PACKAGES), "detector": args.detector}}
    try:
        with bench(args.detector) as running:
            report["constant load"] = constant(running, minutes, args.rate)
            report["overload"] = overload(running, seconds)
            report["growing texts"] = growing(running, seconds)
    except (NotStartedError, AnswerError) as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    print(tables.render(report))
    written = write(args, "soak.json", report)
    if written is not None and not tables.draw(written.with_suffix(".svg"), report):
        print("no plot: matplotlib is not installed")
    return 0


def _arguments() -> argparse.Namespace:
    parser = parser_of("benchmarks.soak", __doc__)
    parser.add_argument("--minutes", type=float, help=f"of constant load (default {_MINUTES:g})")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second (default 100)")
    add_common(parser)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
