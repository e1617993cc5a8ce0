"""Fit the lexical detector's weights: ``python -m models.lexical.fit --data ../shared/data``.

Needs scikit-learn (not a dependency of the package). Logistic regression per head on the train
rows, strength of the penalty by group-wise cross-validation, Platt scaling on out-of-fold scores,
thresholds on the valid rows for false-positive budgets of 0.5, 2 and 5 %, and for a recall of 95 %
among those that the gate has read. Deterministic.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from candor_guard.detectors.lexical import LexicalDetector
from candor_guard.detectors.lexical.features import (
    FEATURE_NAMES,
    REQUEST_NAMES,
    extract,
)
from candor_guard.detectors.lexical.scoring import parse_weights
from candor_guard.verdict import LABELS, NEED_EARLIER, SIGNALS
from models.dataset import DataMissingError
from models.lexical.rows import Row, digests, load

WEIGHTS = Path("src/candor_guard/detectors/lexical/weights.json")
BUDGETS = {"strict": 0.005, "balanced": 0.02, "sensitive": 0.05}
RECALL_POINT, RECALL = "recall", 0.95
PENALTIES = (0.003, 0.01, 0.03, 0.1)
FOLDS = 5
_HALF = 0.5
DIGITS = 5

# Length goes with the source, not with the stance; a head that sees it learns which set it reads.
_NO_LENGTHS = ("earlier:length", "user:length", "user:terse", "reply:length", "reply:terse")
# Readings of the user's turn must not be guessed from how the reply took it.
_USER_ONLY = frozenset(("pressure", "evidence"))


@dataclass(frozen=True, slots=True)
class Table:
    """Rows for one head: features by column name, targets, weights, groups."""

    names: tuple[str, ...]
    features: list[list[float]]
    targets: list[float]
    weights: list[float]
    groups: list[str]


def columns_for(head: str) -> tuple[str, ...]:
    """Return the features that a head may see."""
    if head in _USER_ONLY:
        return REQUEST_NAMES
    return tuple(name for name in FEATURE_NAMES if name not in _NO_LENGTHS)


def teaches(row: Row, head: str) -> bool:
    """Whether the row carries a label for the head and the head has a meaning there."""
    if row.labels.get(head) is None:
        return False
    return row.has_earlier or head not in NEED_EARLIER


def split_targets(value: float, weight: float) -> list[tuple[float, float]]:
    """Return (target, weight) pairs; a graded label becomes a part of each class."""
    pairs = [(1.0, weight * value), (0.0, weight * (1.0 - value))]
    return [pair for pair in pairs if pair[1] > 0]


def balance(targets: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Raise the rarer class to half the weight of the other, so that it is learnt at all."""
    positive = sum(w for y, w in zip(targets, weights, strict=True) if y)
    negative = sum(weights) - positive
    if not positive or not negative:
        return list(weights)
    raised = max(1.0, 0.5 * negative / positive)
    return [w * (raised if y else 1.0) for y, w in zip(targets, weights, strict=True)]


def threshold_for(negatives: Sequence[float], budget: float) -> float:
    """Return the lowest threshold that at most the budgeted share of negatives reaches."""
    ranked = sorted(negatives, reverse=True)
    allowed = math.floor(budget * len(ranked))
    highest_refused = ranked[allowed] if allowed < len(ranked) else 0.0
    return min(1.0, math.floor(highest_refused * 10_000 + 1) / 10_000)


def recall_threshold(positives: Sequence[float], share: float) -> float:
    """Return the highest threshold that at least this share of positives reaches."""
    ranked = sorted(positives, reverse=True)
    last = max(0, math.ceil(share * len(ranked)) - 1)
    return math.floor(ranked[last] * 10_000) / 10_000


# --- Fitting --------------------------------------------------------------------------------


def _toolkit() -> Any:
    """Import scikit-learn, which only this script needs."""
    try:
        return importlib.import_module("sklearn.linear_model")
    except ImportError:
        sys.exit("fitting needs scikit-learn: pip install scikit-learn")


def _table(
    rows: Sequence[Row],
    names: tuple[str, ...],
    features: Callable[[Row], Sequence[float]],
    label: Callable[[Row], float | None],
) -> Table:
    table = Table(names, [], [], [], [])
    for row in rows:
        value = label(row)
        if value is None:
            continue
        for target, weight in split_targets(value, row.weight):
            table.features.append(list(features(row)))
            table.targets.append(target)
            table.weights.append(weight)
            table.groups.append(row.group)
    return table


def _fit_head(table: Table) -> dict[str, Any]:
    """Fit one head: penalty by cross-validation, then Platt scaling of out-of-fold scores."""
    means, scales = _moments(table)
    scaled = [
        [(v - m) / s for v, m, s in zip(row, means, scales, strict=True)] for row in table.features
    ]
    best = max(PENALTIES, key=lambda c: _quality(table, _out_of_fold(table, scaled, c)))
    slope, shift = _platt(table, _out_of_fold(table, scaled, best))
    model = _logistic(best, scaled, table.targets, balance(table.targets, table.weights))
    coefficients = model.coef_[0].tolist()
    return {
        "bias": round(slope * float(model.intercept_[0]) + shift, DIGITS),
        "penalty": best,
        "features": {
            name: [round(slope * w, DIGITS), round(m, DIGITS), round(s, DIGITS)]
            for name, w, m, s in zip(table.names, coefficients, means, scales, strict=True)
        },
    }


def _moments(table: Table) -> tuple[list[float], list[float]]:
    """Weighted mean and spread by column; a constant column gets spread 1."""
    total = sum(table.weights)
    means, scales = [], []
    for column in zip(*table.features, strict=True):
        mean = sum(v * w for v, w in zip(column, table.weights, strict=True)) / total
        spread = sum(w * (v - mean) ** 2 for v, w in zip(column, table.weights, strict=True))
        means.append(mean)
        # The floor keeps a nearly constant feature from exploding on the rare row that has it.
        scales.append(max(0.05, math.sqrt(spread / total)) if spread > 0 else 1.0)
    return means, scales


def _logistic(
    c: float, features: list[list[float]], targets: list[float], weights: list[float]
) -> Any:
    model = _toolkit().LogisticRegression(C=c, max_iter=3000)
    return model.fit(features, targets, sample_weight=weights)


def _out_of_fold(table: Table, scaled: list[list[float]], c: float) -> list[float]:
    """Decision value of each row by a model that saw no row of its group."""
    folds = importlib.import_module("sklearn.model_selection").GroupKFold(n_splits=FOLDS)
    scores = [0.0] * len(scaled)
    for train, held in folds.split(scaled, table.targets, table.groups):
        targets = [table.targets[i] for i in train]
        weights = balance(targets, [table.weights[i] for i in train])
        model = _logistic(c, [scaled[i] for i in train], targets, weights)
        values = model.decision_function([scaled[i] for i in held]).tolist()
        for index, value in zip(held, values, strict=True):
            scores[index] = value
    return scores


def _quality(table: Table, scores: list[float]) -> float:
    metrics = importlib.import_module("sklearn.metrics")
    return -float(
        metrics.log_loss(
            table.targets,
            [1 / (1 + math.exp(-s)) for s in scores],
            sample_weight=balance(table.targets, table.weights),
        )
    )


def _platt(table: Table, scores: list[float]) -> tuple[float, float]:
    model = _logistic(1e6, [[s] for s in scores], table.targets, table.weights)
    return float(model.coef_[0][0]), float(model.intercept_[0])


# --- Thresholds and the record ---------------------------------------------------------------


def _operating_points(detector: LexicalDetector, valid: Sequence[Row]) -> dict[str, Any]:
    """Thresholds by budget over all valid negatives, hard and ordinary ones together.

    The one for a recall is over the positives that are read at all.
    """
    readings = detector.read([row.exchange for row in valid])
    points: dict[str, dict[str, float]] = {name: {} for name in (*BUDGETS, RECALL_POINT)}
    for label in LABELS:
        negatives = [
            reading.scores[label]
            for row, reading in zip(valid, readings, strict=True)
            if row.labels.get(label) == 0
        ]
        for name, budget in BUDGETS.items():
            points[name][label] = threshold_for(negatives, budget)
        positives = [
            reading.scores[label]
            for row, reading in zip(valid, readings, strict=True)
            if (row.labels.get(label) or 0) > _HALF
            and detector.gate(row.exchange.conversation).at_risk
        ]
        points[RECALL_POINT][label] = recall_threshold(positives, RECALL)
    return points


def _metrics(detector: LexicalDetector, valid: Sequence[Row]) -> dict[str, Any]:
    """AUROC by head and file on the valid rows; benchmarks/quality has the full report."""
    auroc = importlib.import_module("sklearn.metrics").roc_auc_score
    readings = detector.read([row.exchange for row in valid])
    report: dict[str, dict[str, Any]] = {}
    for head in (*SIGNALS, *LABELS):
        pairs: dict[str, list[tuple[float, float]]] = {}
        for row, reading in zip(valid, readings, strict=True):
            value = row.labels.get(head)
            if value is not None and teaches(row, head):
                score = {**reading.signals, **reading.scores}[head]
                pairs.setdefault(row.file, []).append((float(value > 0.5), score))
        report[head] = {
            file: {"auroc": round(float(auroc(*zip(*rows, strict=True))), 4), "rows": len(rows)}
            for file, rows in pairs.items()
            if len({target for target, _ in rows}) > 1
        }
    return report


def fit(rows: Sequence[Row], data: dict[str, str]) -> dict[str, Any]:
    """Fit all heads and return the document that is weights.json."""
    train = [row for row in rows if row.split == "train"]
    valid = [row for row in rows if row.split == "valid"]
    vectors = {id(row): extract(row.exchange) for row in train}
    heads = {name: _fit_head(_head_table(name, train, vectors)) for name in (*SIGNALS, *LABELS)}
    document: dict[str, Any] = {"heads": heads}
    draft = {**document, "operating_points": {"draft": dict.fromkeys(LABELS, 1.0)}}
    detector = LexicalDetector(weights=parse_weights(draft))
    document["operating_points"] = _operating_points(detector, valid)
    document["metrics"] = {"valid": _metrics(detector, valid)}
    document["fitted"] = datetime.now(UTC).date().isoformat()
    document["data_sha256"] = data
    return document


def _head_table(name: str, train: Sequence[Row], vectors: dict[int, tuple[float, ...]]) -> Table:
    names = columns_for(name)
    positions = [FEATURE_NAMES.index(column) for column in names]
    return _table(
        train,
        names,
        lambda row: [vectors[id(row)][i] for i in positions],
        lambda row: row.labels[name] if teaches(row, name) else None,
    )


def _render(document: dict[str, Any]) -> str:
    """Indented JSON with each row of numbers on one line, so that a refit reads as a diff."""
    text = json.dumps(document, indent=1, sort_keys=True)
    return re.sub(r"\[\s+([^\[\]]*?)\s+\]", _one_line, text) + "\n"


def _one_line(match: re.Match[str]) -> str:
    return "[" + re.sub(r"\s*\n\s*", " ", match.group(1)) + "]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m models.lexical.fit", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="data folder")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where to write the weights")
    options = parser.parse_args(arguments)
    try:
        rows = load(options.data)
    except DataMissingError as error:
        print(error, file=sys.stderr)
        return 2
    document = fit(rows, digests(options.data))
    options.out.write_text(_render(document), encoding="utf-8")
    print(json.dumps(document["metrics"], indent=1))
    print(json.dumps(document["operating_points"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
