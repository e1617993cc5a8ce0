"""Figures for scored, labelled rows; intervals by bootstrap over groups. Standard library only.

A figure without a meaning for its rows (AUROC of a single class, say) is NaN. Ties count half in
AUROC and share their precision in average precision. The bootstrap draws whole groups and keeps the
rows sorted throughout, so that hundreds of draws over thousands of rows take about a second.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

Metric = Callable[[Sequence[float], Sequence[float]], float]

BUDGETS = (0.005, 0.02, 0.05)
BINS = 10
ROUNDS = 200
_HALF = 0.5
_LOW, _HIGH = 0.025, 0.975

# Positives and negatives at one score.
_Step = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval; NaN where there is none."""

    value: float
    low: float
    high: float

    def to_dict(self, digits: int = 4) -> dict[str, float | None]:
        """Return JSON-ready values; NaN becomes None."""
        named = (("value", self.value), ("low", self.low), ("high", self.high))
        return {k: None if math.isnan(v) else round(v, digits) for k, v in named}


@dataclass(frozen=True, slots=True)
class Judged:
    """Rows of one label, in columns of equal length.

    Attributes:
        targets: What each row was labelled, 0 to 1; above one half is positive.
        scores: What it was scored; higher means more likely positive.
        groups: Rows of one group are never told apart by the bootstrap.
    """

    targets: Sequence[float]
    scores: Sequence[float]
    groups: Sequence[str]

    @property
    def positives(self) -> int:
        """How many rows are positive."""
        return sum(target > _HALF for target in self.targets)

    @property
    def both(self) -> bool:
        """Whether both classes occur."""
        return 0 < self.positives < len(self.targets)

    def take(self, indices: Sequence[int]) -> Judged:
        """Return some of the rows, in the order given."""
        return Judged(
            [self.targets[i] for i in indices],
            [self.scores[i] for i in indices],
            [self.groups[i] for i in indices],
        )


# -- single figures -------------------------------------------------------------------------------


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
    """Lowest threshold that at most the budgeted share of negatives lies above."""
    ranked = sorted(negatives, reverse=True)
    allowed = math.floor(budget * len(ranked))
    return math.nextafter(ranked[allowed], math.inf) if allowed < len(ranked) else 0.0


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
    return _mean(_consistent(Judged(targets, scores, groups), threshold).values())


def pair_order(targets: Sequence[float], scores: Sequence[float], groups: Sequence[str]) -> float:
    """Share of groups with both classes whose every positive outscores every negative."""
    return _mean(_ordered(Judged(targets, scores, groups)).values())


def calibration_error(targets: Sequence[float], scores: Sequence[float], bins: int = BINS) -> float:
    """Expected calibration error over bins of equal width."""
    return _gap(targets, scores, [1] * len(targets), bins)


def reliability(
    targets: Sequence[float], scores: Sequence[float], bins: int = BINS
) -> list[tuple[float, float, int]]:
    """Return (mean score, mean target, rows) of each bin that has rows, by rising score."""
    cells = _cells(targets, scores, [1] * len(targets), bins)
    return [(score / rows, target / rows, int(rows)) for target, score, rows in cells]


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


# -- with intervals -------------------------------------------------------------------------------


def bootstrap(
    metric: Metric,
    targets: Sequence[float],
    scores: Sequence[float],
    groups: Sequence[str],
    rounds: int = ROUNDS,
) -> Interval:
    """Return the metric with the 2.5 and 97.5 percentile of resampled groups; seeded."""
    values = []
    for weights in _draws(groups, rounds):
        drawn = [i for i, weight in enumerate(weights) for _ in range(weight)]
        values.append(metric([targets[i] for i in drawn], [scores[i] for i in drawn]))
    return _interval(metric(targets, scores), values)


def share(flags: Sequence[bool], groups: Sequence[str], rounds: int = ROUNDS) -> Interval:
    """Return which share of the rows is flagged, with its interval; NaN without rows."""
    values = [
        sum(w for w, flag in zip(weights, flags, strict=True) if flag) / (sum(weights) or 1)
        for weights in _draws(groups, rounds)
    ]
    return _interval(sum(flags) / len(flags) if flags else math.nan, values)


def best_cut(judged: Judged, rounds: int = ROUNDS) -> float:
    """Return the threshold that is most often right, its mean over resampled groups; NaN without rows.

    Many thresholds are equally right on a few hundred rows, and the lowest of them is chance. The mean
    over resamples ("bagging", Breiman 1996) hangs on no row.
    """
    rows = judged.take(sorted(range(len(judged.scores)), key=judged.scores.__getitem__))
    cuts = [_cut(rows, weights) for weights in _draws(rows.groups, rounds)]
    return math.fsum(cuts) / len(cuts) if cuts else math.nan


def _cut(rows: Judged, weights: Sequence[int]) -> float:
    """The lowest threshold that is most often right; the rows must be sorted by rising score."""
    best = last = rows.scores[0]
    most = gain = 0
    for target, score, weight in zip(rows.targets, rows.scores, weights, strict=True):
        if score > last and gain > most:
            best, most = score, gain
        gain += -weight if target > _HALF else weight
        last = score
    return math.nextafter(last, math.inf) if gain > most else best


def summary(
    judged: Judged,
    *,
    threshold: float | None = None,
    budgets: Sequence[float] = BUDGETS,
    probabilities: bool = True,
    rounds: int = ROUNDS,
) -> dict[str, Interval]:
    """Return every figure that these rows can have, each with its interval.

    Args:
        judged: The rows of one label.
        threshold: For accuracy and pair consistency; None leaves both out.
        budgets: False-positive rates at which recall is taken.
        probabilities: Whether the scores are probabilities; otherwise there is no calibration error.
        rounds: How often the groups are drawn; 0 gives figures without intervals.
    """
    order = sorted(range(len(judged.scores)), key=judged.scores.__getitem__, reverse=True)
    rows = judged.take(order)
    pairs = {"pairs_in_order": _ordered(rows)}
    if threshold is not None:
        pairs["pair_consistency"] = _consistent(rows, threshold)

    def measure(weights: Sequence[int]) -> dict[str, float]:
        found = _ranked_figures(_merged(rows.targets, rows.scores, weights), budgets)
        if probabilities:
            found["calibration_error"] = _gap(rows.targets, rows.scores, weights, BINS)
        if threshold is not None:
            found["accuracy"] = _right(rows, threshold, weights)
        by_group = dict(zip(rows.groups, weights, strict=True))
        return found | {
            name: _mean(kept.values(), [by_group[group] for group in kept])
            for name, kept in pairs.items()
        }

    drawn = [measure(weights) for weights in _draws(rows.groups, rounds)]
    whole = measure([1] * len(order))
    return {name: _interval(value, [d[name] for d in drawn]) for name, value in whole.items()}


def recall_name(budget: float) -> str:
    """Name of the recall at a false-positive rate, such as ``recall_at_2pct_fpr``."""
    return f"recall_at_{100 * budget:g}pct_fpr"


def _ranked_figures(steps: Sequence[_Step], budgets: Sequence[float]) -> dict[str, float]:
    return {
        "auroc": _area(steps),
        "average_precision": _precision(steps),
        **{recall_name(budget): _recall(steps, budget) for budget in budgets},
    }


def _draws(groups: Sequence[str], rounds: int) -> Iterator[list[int]]:
    """How often each row was drawn, once a round. Seeded: equal groups give equal draws."""
    names = sorted(set(groups))
    places = {name: place for place, name in enumerate(names)}
    of_row = [places[group] for group in groups]
    rng = random.Random(0)  # noqa: S311 - resampling
    for _ in range(rounds if names else 0):
        counts = [0] * len(names)
        for place in rng.choices(range(len(names)), k=len(names)):
            counts[place] += 1
        yield [counts[place] for place in of_row]


def _interval(value: float, values: Iterable[float]) -> Interval:
    ranked = sorted(v for v in values if not math.isnan(v))
    if not ranked:
        return Interval(value, math.nan, math.nan)
    last = len(ranked) - 1
    return Interval(value, ranked[round(_LOW * last)], ranked[round(_HIGH * last)])


# -- steps: positives and negatives by falling score ----------------------------------------------


def _steps(targets: Sequence[float], scores: Sequence[float]) -> list[_Step]:
    order = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
    ranked = [targets[i] for i in order], [scores[i] for i in order]
    return _merged(*ranked, [1] * len(order))


def _merged(
    targets: Sequence[float], scores: Sequence[float], weights: Sequence[int]
) -> list[_Step]:
    """Merge equal neighbours; the rows must be sorted by score."""
    steps: list[_Step] = []
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


def _totals(steps: Sequence[_Step]) -> _Step:
    return sum(up for up, _ in steps), sum(down for _, down in steps)


def _area(steps: Sequence[_Step]) -> float:
    positives, negatives = _totals(steps)
    if not positives or not negatives:
        return math.nan
    total, above = 0.0, 0.0
    for up, down in steps:
        total += down * (above + up / 2)
        above += up
    return total / (positives * negatives)


def _precision(steps: Sequence[_Step]) -> float:
    positives, _ = _totals(steps)
    if not positives:
        return math.nan
    found, seen, total = 0.0, 0.0, 0.0
    for up, down in steps:
        found, seen = found + up, seen + up + down
        total += up * found / seen if seen else 0.0
    return total / positives


def _recall(steps: Sequence[_Step], budget: float) -> float:
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


# -- calibration, sides, pairs --------------------------------------------------------------------


def _gap(
    targets: Sequence[float], scores: Sequence[float], weights: Sequence[int], bins: int
) -> float:
    cells = _cells(targets, scores, weights, bins)
    rows = sum(weight for _, _, weight in cells)
    return sum(abs(target - score) for target, score, _ in cells) / rows if rows else math.nan


def _cells(
    targets: Sequence[float], scores: Sequence[float], weights: Sequence[int], bins: int
) -> list[tuple[float, float, float]]:
    """Sums of targets, scores and weights of each bin that has rows, by rising score."""
    cells: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for target, score, weight in zip(targets, scores, weights, strict=True):
        if weight:
            cell = cells[min(bins - 1, int(score * bins))]
            cell[0] += weight * target
            cell[1] += weight * score
            cell[2] += weight
    return [(cell[0], cell[1], cell[2]) for _, cell in sorted(cells.items())]


def _right(rows: Judged, threshold: float, weights: Sequence[int]) -> float:
    hits = [(s >= threshold) == (t > _HALF) for t, s in zip(rows.targets, rows.scores, strict=True)]
    return _mean(hits, weights)


def _mean(values: Iterable[bool], weights: Sequence[int] | None = None) -> float:
    flags = list(values)
    shares = [1] * len(flags) if weights is None else weights
    total = sum(shares)
    hits = sum(weight for flag, weight in zip(flags, shares, strict=True) if flag)
    return hits / total if total else math.nan


def _both_classes(rows: Judged) -> Mapping[str, list[int]]:
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(rows.groups):
        members[group].append(index)
    return {
        group: indices
        for group, indices in members.items()
        if len({rows.targets[i] > _HALF for i in indices}) > 1
    }


def _consistent(rows: Judged, threshold: float) -> dict[str, bool]:
    return {
        group: all((rows.scores[i] >= threshold) == (rows.targets[i] > _HALF) for i in indices)
        for group, indices in _both_classes(rows).items()
    }


def _ordered(rows: Judged) -> dict[str, bool]:
    return {
        group: min(rows.scores[i] for i in indices if rows.targets[i] > _HALF)
        > max(rows.scores[i] for i in indices if rows.targets[i] <= _HALF)
        for group, indices in _both_classes(rows).items()
    }
