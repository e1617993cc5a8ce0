"""Measure what the proxy adds: python -m benchmarks.overhead [--quick] [--granian] ...

A mock upstream and this load generator share one core, the servers under test have the other. Every
server is a process of its own; all but the one that is measured are suspended. They are asked in
turns, round after round, over kept-alive connections. With 1, 8 and 64 clients the loop is closed:
a client asks again when it has its answer, so latency at 64 is mostly queueing, and stalls count
once (coordinated omission); the open loop has no such gap. Every answer's head is checked, so that
the measured path is the one that is claimed. Ratios and differences within one run are meaningful;
absolute times differ from machine to machine. Linux only, two cores.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks.commandline import add_common, parser_of, write
from benchmarks.inference.runtime import NotInstalledError
from benchmarks.loopback import NotStartedError
from benchmarks.machine import describe
from benchmarks.overhead import figures, granian_app, model, peers, plots, tables
from benchmarks.overhead.contenders import CONTENDERS, WORST
from benchmarks.overhead.load import AnswerError
from benchmarks.overhead.measure import Plan, Stage, streams, whole_replies
from benchmarks.overhead.stand import Running, sort_conversations, stand
from candor_guard.detectors.encoder.detector import SHIPPED
from candor_guard.detectors.shipped import ENCODER, build_detector

_PACKAGES = ("candor-guard", "starlette", "uvicorn", "aiohttp", "uvloop", "httptools")
_FULL = Plan()
_QUICK = Plan(
    rounds=1, seconds=0.15, rate=20, connections=(1, 8), stream_seconds=0.05, stream_rounds=1,
    paced_seconds=0.05,
)  # fmt: skip


def main() -> int:
    """Run the whole comparison, print it and write it down."""
    args = _arguments()
    plan = _QUICK if args.quick else Plan(rounds=args.rounds, seconds=args.seconds)
    there = peers.there({peer.name: getattr(args, f"{peer.name}_python") for peer in peers.PEERS})
    no_granian = granian_app.missing() if args.granian else None
    for line in (*there.left_out, *([no_granian] if no_granian else [])):
        print(line, file=sys.stderr)
    granian = args.granian and no_granian is None
    packages = (*_PACKAGES, *(["granian"] if granian else []))
    setup = {**describe(packages), "detector": args.detector, "peers": there.versions}
    try:
        with stand(args.detector, there.pythons, granian=granian) as running:
            report = {"setup": setup, **_measure(running, plan, args.detector)}
    except (NotStartedError, NotInstalledError, AnswerError, ValueError) as error:
        print(f"overhead: {error}", file=sys.stderr)
        return 1
    print(tables.render(report))
    written = write(args, "overhead.json", report)
    if written is not None:
        drawn = plots.draw(written.parent, report)
        print(f"\nwritten: {', '.join(str(path) for path in (written, *drawn))}")
        if not drawn:
            print("no plots: matplotlib is not installed")
    return 0


def _arguments() -> argparse.Namespace:
    parser = parser_of("benchmarks.overhead", __doc__)
    parser.add_argument("--rounds", type=int, default=_FULL.rounds, help="default %(default)s")
    parser.add_argument("--seconds", type=float, default=_FULL.seconds, help="of each stretch")
    for peer in peers.PEERS:
        flag, needed = f"--{peer.name}-python", f"an interpreter with {peer.requirement}"
        parser.add_argument(
            flag, type=Path, metavar="PATH", dest=f"{peer.name}_python", help=needed
        )
    parser.add_argument(
        "--granian", action="store_true", help="the proxy and the floor under Granian as well"
    )
    add_common(parser)
    return parser.parse_args()


def _measure(running: dict[str, Running], plan: Plan, detector: str) -> dict[str, Any]:
    kinds = sort_conversations(running["enforce"], build_detector(detector))
    there = tuple(contender for contender in CONTENDERS if contender.server in running)
    stage = Stage(running, kinds, there)
    report: dict[str, Any] = {
        "plan": {name: getattr(plan, name) for name in plan.__slots__},
        "conversations": {"plain": len(kinds.plain), "at risk": len(kinds.at_risk)},
        "whole replies": figures.rows(whole_replies(stage, plan)),
        "streams, at once": figures.rows(streams(stage, plan, 0.0)),
        "streams, paced": figures.rows(streams(stage, plan, plan.gap_ms)),
        "processes": figures.process_rows(running),
    }
    report["targets"] = figures.targets(report, plan.connections)
    bare = model.bare_pass(SHIPPED if detector == ENCODER else Path(detector), kinds)
    if bare is not None:
        report["bare pass"] = bare
        worst = report["whole replies"]["1 connections"][WORST]["added_last_p50_ms"]
        report["targets"].append(model.target(bare, worst))
    return report


if __name__ == "__main__":
    raise SystemExit(main())
