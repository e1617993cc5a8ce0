"""Score detectors on every listed set: ``python -m models.compare [--model FOLDER ...]``.

The lexical detector is always a contender. Of several models each is held against the first one too: which
figures are apart, by paired bootstrap over groups. Test sets are scored, never tuned on; but each new model
was held against the shipped one on them, and replaced it where it was better. The threshold for accuracy comes from the valid rows of the training sets.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from candor_guard.detectors import Detector
from candor_guard.detectors.encoder import EncoderDetector
from candor_guard.detectors.lexical import LexicalDetector
from candor_guard.figures import (
    Judged,
    accuracy,
    auroc,
    average_precision,
    best_cut,
    bootstrap,
    calibration_error,
    differences,
    pair_consistency,
    pair_order,
    recall_at,
)
from candor_guard.verdict import LABELS, Reading
from models.dataset import (
    AUTHORED,
    LEFT_OUT,
    OWN_TESTS,
    SHARED,
    TESTS,
    Sample,
    load,
    load_test,
    of_split,
)

POINT = "balanced"
_PRISM = "prism"
_BUDGETS = (0.02,)
_RIGHT_TO_CONCEDE = ("update", "concede-evid")
Readings = Sequence[Reading]


def sets(shared: Path, authored: Path) -> dict[str, list[Sample]]:
    """Return the valid rows by source and the test sets."""
    valid = of_split(load(shared, authored), "valid")
    found = {name: [s for s in valid if s.source in out] for name, out in LEFT_OUT.items()}
    tests = {name: load_test(name, shared, authored) for name in (*TESTS, *OWN_TESTS)}
    return {f"valid {name}": rows for name, rows in found.items()} | tests


def readings_of(detector: Detector, named: Mapping[str, Sequence[Sample]]) -> dict[str, Readings]:
    """Return what a detector reads in each set."""
    return {name: detector.read([s.exchange for s in rows]) for name, rows in named.items()}


def report(
    detector: Detector,
    named: Mapping[str, Sequence[Sample]],
    readings: Mapping[str, Readings],
) -> dict[str, Any]:
    """Return the figures of a detector on each set."""
    paired = f"valid {_PRISM}"
    cut = best_cut(Judged(*judged(named[paired], readings[paired], "drift")))
    thresholds = detector.operating_points[POINT]
    return {
        name: {
            **{
                label: found
                for label in LABELS
                if (found := figures(rows, readings[name], label, cut))
            },
            "flagged": flagged(rows, readings[name], thresholds),
        }
        for name, rows in named.items()
    }


def against(
    named: Mapping[str, Sequence[Sample]],
    readings: Mapping[str, Readings],
    first: Mapping[str, Readings],
) -> dict[str, dict[str, Any]]:
    """Return by set and label how far a model is from the first one, on rows with both classes."""
    found: dict[str, dict[str, Any]] = {}
    for name, rows in named.items():
        for label in LABELS:
            ours, theirs = (Judged(*judged(rows, read[name], label)) for read in (readings, first))
            if ours.both:
                figures = differences(ours, theirs, budgets=_BUDGETS)
                found.setdefault(name, {})[label] = {
                    figure: {**difference.difference.to_dict(), "apart": difference.apart}
                    for figure, difference in figures.items()
                }
    return found


def judged(
    samples: Sequence[Sample], readings: Readings, label: str
) -> tuple[list[float], list[float], list[str]]:
    """Return targets, scores and groups of the rows that carry the label."""
    rows = [
        (target, reading.scores[label], sample.group)
        for sample, reading in zip(samples, readings, strict=True)
        if (target := sample.target(label)) is not None
    ]
    return [t for t, _, _ in rows], [v for _, v, _ in rows], [g for _, _, g in rows]


def figures(
    samples: Sequence[Sample], readings: Readings, label: str, cut: float
) -> dict[str, Any]:
    """Return the figures of one label; empty without both classes."""
    targets, scores, groups = judged(samples, readings, label)
    if len({target > 0 for target in targets}) < len(LABELS):
        return {}
    interval = bootstrap(auroc, targets, scores, groups)
    found: dict[str, Any] = {
        "rows": len(targets),
        "positives": int(sum(targets)),
        "auroc": interval.value,
        "low": interval.low,
        "high": interval.high,
        "ap": average_precision(targets, scores),
        "recall_at_2": recall_at(targets, scores, 0.02),
        "ece": calibration_error(targets, scores),
        "pairs_in_order": pair_order(targets, scores, groups),
    }
    if label == "drift":
        found["accuracy"] = accuracy(targets, scores, cut)
        found["pair_consistency"] = pair_consistency(targets, scores, groups, cut)
    return {key: round(value, 4) for key, value in found.items()}


def flagged(
    samples: Sequence[Sample], readings: Readings, thresholds: Mapping[str, float]
) -> dict[str, float]:
    """Return which share of sound, of rightly conceding and of faulty replies is flagged."""
    kinds: dict[str, Callable[[Sample], bool]] = {
        "sound": lambda s: not _faulty(s) and any(s.target(k) == 0 for k in LABELS),
        "deserved": lambda s: s.kind == "U" or s.variant in _RIGHT_TO_CONCEDE,
        "faulty": _faulty,
    }
    shares = {}
    for kind, fits in kinds.items():
        hits = [
            any(r.scores[k] >= thresholds[k] for k in LABELS)
            for s, r in zip(samples, readings, strict=True)
            if fits(s)
        ]
        if hits:
            shares[kind] = round(sum(hits) / len(hits), 4)
    return shares


def _faulty(sample: Sample) -> bool:
    return any(sample.target(label) == 1 for label in LABELS)


def lines_of(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a table: one line a set and label, one column a contender."""
    names = list(results)
    table = ["| set | label | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for set_name in results[names[0]]:
        for label in (*LABELS, "flagged"):
            cells = [_cell(results[name][set_name].get(label)) for name in names]
            if any(cells):
                table.append(f"| {set_name} | {label} | " + " | ".join(cells) + " |")
    return table


def apart_lines(name: str, first: str, found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return which figures of a model are apart from the first one's, a line each."""
    lines = [
        f"{set_name}, {label}, {figure}: {told['value']:+.3f} ({told['low']:+.3f} to {told['high']:+.3f})"
        for set_name, labels in found.items()
        for label, figures in labels.items()
        for figure, told in figures.items()
        if told["apart"]
    ]
    count = sum(len(figures) for labels in found.values() for figures in labels.values())
    return [
        f"{name} less {first}: of {count} differences {len(lines)} have no 0 in their interval",
        *lines,
    ]


def _cell(found: Mapping[str, float] | None) -> str:
    if not found:
        return ""
    if "auroc" not in found:
        return ", ".join(f"{kind} {100 * value:.1f} %" for kind, value in found.items())
    text = f"{found['auroc']:.3f} ({found['low']:.2f}-{found['high']:.2f}) r2 {found['recall_at_2']:.2f}"
    if "accuracy" in found and found["pair_consistency"] == found["pair_consistency"]:
        text += f" acc {found['accuracy']:.3f} pairs {found['pair_consistency']:.3f}"
    return text


def contenders(folders: Sequence[Path]) -> dict[str, Detector]:
    """Return the lexical detector and the models by what heads their columns.

    Models of one name are told apart by where they lie.
    """
    lexical, models = LexicalDetector(), [EncoderDetector(folder) for folder in folders]
    alike = Counter([lexical.name, *(model.name for model in models)])
    found: dict[str, Detector] = {lexical.name: lexical}
    for folder, model in zip(folders, models, strict=True):
        found[model.name if alike[model.name] == 1 else f"{model.name} {folder}"] = model
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    line = argparse.ArgumentParser(prog="python -m models.compare", description=__doc__)
    line.add_argument("--data", type=Path, default=SHARED, help="folder of the shared data")
    line.add_argument("--authored", type=Path, default=AUTHORED, help="folder of our own lines")
    line.add_argument("--model", type=Path, nargs="*", default=[], help="model folders")
    line.add_argument("--out", type=Path, help="write the figures here as JSON")
    options = line.parse_args(arguments)
    named = sets(options.data, options.authored)
    detectors = contenders(options.model)
    readings = {name: readings_of(detector, named) for name, detector in detectors.items()}
    results = {name: report(d, named, readings[name]) for name, d in detectors.items()}
    print("\n".join(lines_of(results)))
    _, *models = detectors
    for name in models[1:]:
        found = against(named, readings[name], readings[models[0]])
        print("\n" + "\n".join(apart_lines(name, models[0], found)))
        for set_name, labels in found.items():
            results[name][set_name]["against"] = {"model": models[0], **labels}
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
