"""Measure what a model costs: python -m benchmarks.inference [--model FOLDER] [--quick].

The forward pass by length, batch and threads; tokenising; loading; every shipped detector from end
to end; and the rates that the same runtime reaches for nothing but matrix products, so that the
distance to what the machine can do is a number. One core unless threads are asked for. Without
--model it is the shipped one. Linux only.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.inference import forward
from benchmarks.inference.detectors import end_to_end
from benchmarks.inference.peak import peaks
from benchmarks.inference.runtime import NotInstalledError
from benchmarks.inference.tables import render
from benchmarks.machine import cores, describe, pinned
from candor_guard.detectors.encoder.detector import SHIPPED
from candor_guard.detectors.shipped import NAMES

RESULTS = Path(__file__).parents[1] / "results" / "inference.json"
_PACKAGES = ("candor-guard", "numpy", "onnxruntime", "tokenizers")
_LENGTHS, _BATCHES, _THREADS = (32, 64, 128, 256, 512), (1, 2, 4, 8), (1, 2)
_WORDS, _TURNS = (50, 150, 500, 2000, 6000), (3, 20, 200)
_TYPICAL, _TARGET = 128, 256
_SECONDS, _QUICK_SECONDS = 1.5, 0.05
_MOST_TIMES_LIMIT = 2.0


def main() -> int:
    """Measure, print and write down."""
    args = _arguments()
    problem = _problem(args)
    if problem:
        print(f"inference: {problem}", file=sys.stderr)
        return 2
    seconds = _QUICK_SECONDS if args.quick else _SECONDS
    try:
        report = {"setup": describe(_PACKAGES), **_measure(args, seconds)}
    except NotInstalledError as error:
        print(f"inference: {error}", file=sys.stderr)
        return 1
    print(render(report))
    path = args.json or (None if args.quick else RESULTS)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FOLDER",
        default=SHIPPED,
        help="with encoder.onnx and tokenizer.json",
    )
    parser.add_argument(
        "--fp32", type=Path, metavar="FILE", help="the same encoder before quantisation"
    )
    parser.add_argument(
        "--detector", action="append", metavar="NAME", default=[],
        help="a further detector, end to end (those that ship always are)",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="tiny counts; says nothing, runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help=f"default: {RESULTS.name}")
    return parser.parse_args()


def _problem(args: argparse.Namespace) -> str | None:
    wanted = [] if args.fp32 is None else [args.fp32]
    wanted += [args.model / "encoder.onnx", args.model / "tokenizer.json"]
    missing = [str(path) for path in wanted if not path.is_file()]
    return f"there is no {missing[0]}" if missing else None


def _measure(args: argparse.Namespace, seconds: float) -> dict[str, Any]:
    with pinned(cores()[0]):
        machine = peaks(1, seconds / 2)
        report: dict[str, Any] = {"peak, 1 thread, 10^9 operations/s": machine}
        models = _models(args)
        report["forward pass, 1 thread"] = forward.by_length(models, _LENGTHS, machine, seconds)
        report["target"] = _target(report["forward pass, 1 thread"])
        encoder = args.model / "encoder.onnx"
        report["batches"] = forward.by_batch(encoder, _BATCHES, _TYPICAL, seconds)
        report["shares of the time"] = forward.shares(encoder, _TARGET)
        tokenizer = args.model / "tokenizer.json"
        report["tokenising"] = forward.tokenising(tokenizer, _LENGTHS, seconds / 2)
        report["loading"] = forward.loading(encoder)
        names = [*NAMES, *args.detector]
        report["detectors"] = end_to_end(names, _WORDS, _TURNS, seconds)
    report["threads"] = forward.by_threads(encoder, _THREADS, _TYPICAL, seconds)
    return report


def _models(args: argparse.Namespace) -> dict[str, Path]:
    models = {"shipped": args.model / "encoder.onnx"}
    return models if args.fp32 is None else {**models, "fp32": args.fp32}


def _target(rows: dict[str, dict[str, dict[str, float]]]) -> dict[str, Any]:
    measured = next(iter(rows.values()))[str(_TARGET)]["times_limit"]
    return {
        "what": f"one pass at {_TARGET} tokens, 1 thread / the same operations at its best rate",
        "wanted": f"≤ {_MOST_TIMES_LIMIT:g}",
        "measured": measured,
        "met": measured <= _MOST_TIMES_LIMIT,
    }


if __name__ == "__main__":
    raise SystemExit(main())
