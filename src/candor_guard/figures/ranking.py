"""How well scores put positives before negatives. Ties count half in AUROC and share their precision."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import add, mul, sub

BUDGETS = (0.005, 0.02, 0.05)
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class Curve:
    """Positives and negatives at or above each score, by falling score."""

    hits: Sequence[int]
    misses: Sequence[int]

    @property
    def totals(self) -> tuple[int, int]:
        """All positives and all negatives."""
        return (self.hits[-1], self.misses[-1]) if self.hits else (0, 0)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Rows by falling score, each of which may count several times or not at all.

    Attributes:
        positive: Whether each row is.
        ends: The last row of each score.
    """

    positive: Sequence[bool]
    ends: Sequence[int]

    @classmethod
    def of(cls, targets: Sequence[float], scores: Sequence[float]) -> Ranking:
        """Read rows, which must be sorted by falling score."""
        after = pairwise([*scores, math.nan])
        ends = [place for place, (score, following) in enumerate(after) if score != following]
        return cls([target > _HALF for target in targets], ends)

    def curve(self, weights: Sequence[int]) -> Curve:
        """Count the rows, each as often as it weighs."""
        # Whole columns at once: in a loop over rows, a bootstrap takes several times as long.
        hits = list(accumulate(map(mul, weights, self.positive)))
        seen = list(accumulate(weights))
        kept = [hits[end] for end in self.ends]
        return Curve(kept, list(map(sub, (seen[end] for end in self.ends), kept)))


def auroc(targets: Sequence[float], scores: Sequence[float]) -> float:
    """Chance that a positive is scored above a negative, ties half; NaN without both classes."""
    return _area(_curve(targets, scores))


def average_precision(targets: Sequence[float], scores: Sequence[float]) -> float:
    """Mean precision over the positives, by falling score; NaN without positives."""
    return _precision(_curve(targets, scores))


def recall_at(targets: Sequence[float], scores: Sequence[float], budget: float) -> float:
    """Share of positives caught at a false-positive rate; NaN without both classes."""
    return _recall(_curve(targets, scores), budget)


def threshold_at(negatives: Sequence[float], budget: float) -> float:
    """Lowest threshold that at most the budgeted share of negatives lies above; NaN without any."""
    if not negatives:
        return math.nan
    ranked = sorted(negatives, reverse=True)
    allowed = math.floor(budget * len(ranked))
    return math.nextafter(ranked[allowed], math.inf) if allowed < len(ranked) else 0.0


def roc(targets: Sequence[float], scores: Sequence[float]) -> list[tuple[float, float]]:
    """Return the points (false-positive rate, recall) by falling threshold, from (0, 0)."""
    curve = _curve(targets, scores)
    positives, negatives = curve.totals
    if not positives or not negatives:
        return []
    points = zip(curve.hits, curve.misses, strict=True)
    return [(0.0, 0.0), *((misses / negatives, hits / positives) for hits, misses in points)]


def recall_name(budget: float) -> str:
    """Name of the recall at a false-positive rate, such as ``recall_at_2pct_fpr``."""
    return f"recall_at_{100 * budget:g}pct_fpr"


def ranked_figures(curve: Curve, budgets: Sequence[float]) -> dict[str, float]:
    """Return the figures of a ranking by name, recall at each of the budgets."""
    return {
        "auroc": _area(curve),
        "average_precision": _precision(curve),
        **{recall_name(budget): _recall(curve, budget) for budget in budgets},
    }


def falling(scores: Sequence[float]) -> list[int]:
    """Return the rows' places by falling score."""
    return sorted(range(len(scores)), key=scores.__getitem__, reverse=True)


def _curve(targets: Sequence[float], scores: Sequence[float]) -> Curve:
    order = falling(scores)
    ranking = Ranking.of([targets[i] for i in order], [scores[i] for i in order])
    return ranking.curve([1] * len(order))


def _area(curve: Curve) -> float:
    """The trapezoids under the curve."""
    positives, negatives = curve.totals
    if not positives or not negatives:
        return math.nan
    widths = map(sub, curve.misses, (0, *curve.misses))
    heights = map(add, curve.hits, (0, *curve.hits))
    doubled: int = sum(map(mul, widths, heights))
    return doubled / (2 * positives * negatives)


def _precision(curve: Curve) -> float:
    positives, _ = curve.totals
    if not positives:
        return math.nan
    gains = map(sub, curve.hits, (0, *curve.hits))
    steps = zip(gains, curve.hits, curve.misses, strict=True)
    total: float = sum(gain * hits / (hits + misses) for gain, hits, misses in steps if gain)
    return total / positives


def _recall(curve: Curve, budget: float) -> float:
    positives, negatives = curve.totals
    if not positives or not negatives:
        return math.nan
    within = bisect_right(curve.misses, math.floor(budget * negatives))
    return curve.hits[within - 1] / positives if within else 0.0
