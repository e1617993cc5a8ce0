"""Figures for scored, labelled rows; intervals by bootstrap over groups. Standard library only."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Metric = Callable[[Sequence[float], Sequence[float]], float]
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def auroc(targets: Sequence[float], scores: Sequence[float]) -> float:
    """Chance that a positive is scored above a negative, ties half; NaN without both classes."""
    order = sorted(range(len(scores)), key=scores.__getitem__)
    positives = sum(target > _HALF for target in targets)
    negatives = len(targets) - positives
    if not positives or not negatives:
        return math.nan
    total, start = 0.0, 0
    while start < len(order):
        end = start
        while end < len(order) and scores[order[end]] == scores[order[start]]:
            end += 1
        rank = (start + end + 1) / 2
        total += rank * sum(targets[i] > _HALF for i in order[start:end])
        start = end
    return (total - positives * (positives + 1) / 2) / (positives * negatives)


def average_precision(targets: Sequence[float], scores: Sequence[float]) -> float:
    """Mean precision over the positives, by falling score; NaN without positives."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    positives = sum(target > _HALF for target in targets)
    if not positives:
        return math.nan
    found, total, seen, start = 0, 0.0, 0, 0
    while start < len(order):
        end = start
        while end < len(order) and scores[order[end]] == scores[order[start]]:
            end += 1
        hits = sum(targets[i] > _HALF for i in order[start:end])
        found, seen = found + hits, end
        total += hits * found / seen
        start = end
    return total / positives


def threshold_at(negatives: Sequence[float], budget: float) -> float:
    """Lowest threshold that at most the budgeted share of negatives lies above."""
    ranked = sorted(negatives, reverse=True)
    allowed = math.floor(budget * len(ranked))
    return math.nextafter(ranked[allowed], math.inf) if allowed < len(ranked) else 0.0


def recall_at(targets: Sequence[float], scores: Sequence[float], budget: float) -> float:
    """Share of positives caught at a false-positive rate; NaN without both classes."""
    positives = [s for t, s in zip(targets, scores, strict=True) if t > _HALF]
    negatives = [s for t, s in zip(targets, scores, strict=True) if t <= _HALF]
    if not positives or not negatives:
        return math.nan
    threshold = threshold_at(negatives, budget)
    return sum(score >= threshold for score in positives) / len(positives)


def accuracy(targets: Sequence[float], scores: Sequence[float], threshold: float = _HALF) -> float:
    """Share of rows on the right side of the threshold."""
    right = sum((s >= threshold) == (t > _HALF) for t, s in zip(targets, scores, strict=True))
    return right / len(targets) if targets else math.nan


def pair_consistency(
    targets: Sequence[float],
    scores: Sequence[float],
    groups: Sequence[str],
    threshold: float = _HALF,
) -> float:
    """Share of groups with both classes in which every row is on the right side."""
    verdicts: dict[str, list[bool]] = defaultdict(list)
    classes: dict[str, set[bool]] = defaultdict(set)
    for target, score, group in zip(targets, scores, groups, strict=True):
        verdicts[group].append((score >= threshold) == (target > _HALF))
        classes[group].add(target > _HALF)
    pairs = [all(verdicts[group]) for group, seen in classes.items() if len(seen) > 1]
    return sum(pairs) / len(pairs) if pairs else math.nan


def pair_order(targets: Sequence[float], scores: Sequence[float], groups: Sequence[str]) -> float:
    """Share of groups with both classes whose every positive outscores every negative."""
    high: dict[str, float] = {}
    low: dict[str, float] = {}
    for target, score, group in zip(targets, scores, groups, strict=True):
        if target > _HALF:
            low[group] = min(score, low.get(group, math.inf))
        else:
            high[group] = max(score, high.get(group, -math.inf))
    both = low.keys() & high.keys()
    return sum(low[g] > high[g] for g in both) / len(both) if both else math.nan


def calibration_error(targets: Sequence[float], scores: Sequence[float], bins: int = 10) -> float:
    """Expected calibration error over bins of equal width."""
    cells: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for target, score in zip(targets, scores, strict=True):
        cells[min(bins - 1, int(score * bins))].append((target, score))
    gaps = (abs(sum(t for t, _ in rows) - sum(s for _, s in rows)) for rows in cells.values())
    return sum(gaps) / len(targets) if targets else math.nan


def bootstrap(
    metric: Metric,
    targets: Sequence[float],
    scores: Sequence[float],
    groups: Sequence[str],
    rounds: int = 200,
) -> Interval:
    """Return the metric with the 2.5 and 97.5 percentile of resampled groups; seeded."""
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    names = sorted(members)
    rng = random.Random(0)  # noqa: S311 - resampling
    values = []
    for _ in range(rounds):
        drawn = [i for name in rng.choices(names, k=len(names)) for i in members[name]]
        value = metric([targets[i] for i in drawn], [scores[i] for i in drawn])
        if not math.isnan(value):
            values.append(value)
    values.sort()
    found = metric(targets, scores)
    if not values:
        return Interval(found, math.nan, math.nan)
    last = len(values) - 1
    return Interval(found, values[round(0.025 * last)], values[round(0.975 * last)])
