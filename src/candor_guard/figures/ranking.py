"""How well scores put positives before negatives. Ties count half in AUROC and share their precision."""

from __future__ import annotations

import math
from collections.abc import Sequence

BUDGETS = (0.005, 0.02, 0.05)
_HALF = 0.5

# Positives and negatives at one score.
Step = tuple[float, float]


def auroc(targets: Sequence[float], scores: Sequence[float]) -> float:
    """Chance that a positive is scored above a negative, ties half; NaN without both classes."""
    return _area(_steps(targets, scores))


def average_precision(targets: Sequence[float], scores: Sequence[float]) -> float:
    """Mean precision over the positives, by falling score; NaN without positives."""
    return _precision(_steps(targets, scores))


def recall_at(targets: Sequence[float], scores: Sequence[float], budget: float) -> float:
    """Share of positives caught at a false-positive rate; NaN without both classes."""
    return _recall(_steps(targets, scores), budget)


def threshold_at(negatives: Sequence[float], budget: float) -> float:
    """Lowest threshold that at most the budgeted share of negatives lies above; NaN without any."""
    if not negatives:
        return math.nan
    ranked = sorted(negatives, reverse=True)
    allowed = math.floor(budget * len(ranked))
    return math.nextafter(ranked[allowed], math.inf) if allowed < len(ranked) else 0.0


def roc(targets: Sequence[float], scores: Sequence[float]) -> list[tuple[float, float]]:
    """Return the points (false-positive rate, recall) by falling threshold, from (0, 0)."""
    steps = _steps(targets, scores)
    positives, negatives = _totals(steps)
    if not positives or not negatives:
        return []
    points, hits, misses = [(0.0, 0.0)], 0.0, 0.0
    for up, down in steps:
        hits, misses = hits + up, misses + down
        points.append((misses / negatives, hits / positives))
    return points


def recall_name(budget: float) -> str:
    """Name of the recall at a false-positive rate, such as ``recall_at_2pct_fpr``."""
    return f"recall_at_{100 * budget:g}pct_fpr"


def ranked_figures(steps: Sequence[Step], budgets: Sequence[float]) -> dict[str, float]:
    """Return the figures of a ranking by name, recall at each of the budgets."""
    return {
        "auroc": _area(steps),
        "average_precision": _precision(steps),
        **{recall_name(budget): _recall(steps, budget) for budget in budgets},
    }


def _steps(targets: Sequence[float], scores: Sequence[float]) -> list[Step]:
    order = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
    ranked = [targets[i] for i in order], [scores[i] for i in order]
    return merged(*ranked, [1] * len(order))


def merged(targets: Sequence[float], scores: Sequence[float], weights: Sequence[int]) -> list[Step]:
    """Merge equal neighbours; the rows must be sorted by score."""
    steps: list[Step] = []
    up, down, last = 0.0, 0.0, math.nan
    for target, score, weight in zip(targets, scores, weights, strict=True):
        if score != last:
            steps.append((up, down))
            up, down, last = 0.0, 0.0, score
        if target > _HALF:
            up += weight
        else:
            down += weight
    return [*steps, (up, down)][1:]


def _totals(steps: Sequence[Step]) -> Step:
    return sum(up for up, _ in steps), sum(down for _, down in steps)


def _area(steps: Sequence[Step]) -> float:
    positives, negatives = _totals(steps)
    if not positives or not negatives:
        return math.nan
    total, above = 0.0, 0.0
    for up, down in steps:
        total += down * (above + up / 2)
        above += up
    return total / (positives * negatives)


def _precision(steps: Sequence[Step]) -> float:
    positives, _ = _totals(steps)
    if not positives:
        return math.nan
    found, seen, total = 0.0, 0.0, 0.0
    for up, down in steps:
        found, seen = found + up, seen + up + down
        total += up * found / seen if seen else 0.0
    return total / positives


def _recall(steps: Sequence[Step], budget: float) -> float:
    positives, negatives = _totals(steps)
    if not positives or not negatives:
        return math.nan
    allowed = math.floor(budget * negatives)
    found, wrong = 0.0, 0.0
    for up, down in steps:
        wrong += down
        if wrong > allowed:
            break
        found += up
    return found / positives
