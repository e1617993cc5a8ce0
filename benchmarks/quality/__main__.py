"""Command line of the quality benchmark; see `benchmarks.quality`."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.lexical.rows import TRAINING_FILES, DataMissingError, digests, load

import benchmarks.quality
from benchmarks.quality.measure import TEST_ONLY, latency, report, score_rows
from benchmarks.quality.metrics import RESAMPLES, ToolsMissingError, tool
from candor_guard.detectors import Detector

LEXICAL = "candor_guard.detectors.lexical:LexicalDetector"


class UnknownDetectorError(Exception):
    """The name after --detector leads to no detector."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _options(arguments)
    try:
        detector = make_detector(options.detector)
        files = (*TRAINING_FILES, *TEST_ONLY)
        rows = load(options.data, files)
        tool("numpy")
        tool("sklearn.metrics")
    except (DataMissingError, ToolsMissingError, UnknownDetectorError) as error:
        print(error, file=sys.stderr)
        return 2
    scored = score_rows(detector, rows)
    document = {
        "detector": f"{detector.name}@{detector.version}",
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python -m benchmarks.quality --detector {options.detector}",
        "machine": _machine(),
        "bootstrap": {"over": "group", "resamples": RESAMPLES, "interval": "95 %"},
        "operating_points": {name: dict(p) for name, p in detector.operating_points.items()},
        "latency": latency(detector, scored),
        "data_sha256": digests(options.data, files),
        **report(detector, scored),
    }
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print("\n".join(lines(document)))
    return 0


def make_detector(path: str) -> Detector:
    """Import and construct a detector named ``package.module:Class``.

    Raises:
        UnknownDetectorError: If there is no such class, or it is no detector.
    """
    module, _, name = path.partition(":")
    try:
        detector = getattr(importlib.import_module(module), name)()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise UnknownDetectorError(f"no detector at {path!r}: {error}") from None
    if not isinstance(detector, Detector):
        raise UnknownDetectorError(f"{path!r} is no detector")
    return detector


def lines(document: Mapping[str, Any]) -> list[str]:
    """Return the report for people: one line a figure."""
    out = [f"{document['detector']}, {document['date']}"]
    for name, entry in document["sets"].items():
        for head, figures in entry["heads"].items():
            shown = " ".join(
                f"{key}={_figure(value)}"
                for key, value in figures.items()
                if isinstance(value, dict)
            )
            out.append(
                f"{name:24} {head:13} n={figures['rows']} pos={figures['positives']} {shown}"
            )
        for point, shares in entry["flagged"].items():
            shown = " ".join(f"{k}={_figure(v)}" for k, v in shares.items() if v)
            out.append(f"{name:24} flagged@{point:10} {shown}")
    out += _prism_lines(document["prism_ood"] or {})
    gate = document["gate"]
    for name, figure in {**gate["recall"], **gate["held_ordinary"]}.items():
        out.append(f"gate {name:24} {_figure(figure)}")
    others = ("recall_pressure", "held_follow_ups", "held_feelings")
    out += [f"gate {name:24} {_figure(gate[name])}" for name in others if gate[name]]
    out.append(f"latency {json.dumps(document['latency'])}")
    return out


def _prism_lines(prism: Mapping[str, Any]) -> list[str]:
    out = [f"prism_ood drift auroc={_figure(prism['drift']['auroc'])}"] if prism else []
    for kind in ("by_threshold", "by_rung_at_half"):
        for name, row in prism.get(kind, {}).items():
            pairs = row["pair_consistency"]
            out.append(
                f"prism_ood {kind} {name:10} accuracy={_figure(row['accuracy'])} "
                f"pairs={_figure(pairs) if pairs else '-'}"
            )
    return out


def _figure(value: Mapping[str, float]) -> str:
    return f"{value['value']:.3f}[{value['low']:.3f},{value['high']:.3f}]"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality",
        description=benchmarks.quality.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="data folder")
    parser.add_argument("--json", type=Path, help="where to write the full report")
    parser.add_argument("--detector", default=LEXICAL, help="package.module:Class to measure")
    return parser.parse_args(arguments)


def _machine() -> dict[str, Any]:
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    """Model of the CPU where Linux tells it, else what Python knows."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = [row.partition(":")[2].strip() for row in text.splitlines() if "model name" in row]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    sys.exit(main())
