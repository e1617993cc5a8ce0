"""Figures with their 95 % intervals, by bootstrap over groups."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from candor_guard.figures.measured import CALIBRATION, measured
from candor_guard.figures.ranking import BUDGETS
from candor_guard.figures.rows import Judged, mean

Metric = Callable[[Sequence[float], Sequence[float]], float]

ROUNDS = 200
_HALF = 0.5
_LOW, _HIGH = 0.025, 0.975


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
    """Return which share of the rows is flagged, with its interval; NaN without rows.

    Where none is flagged, or every one, all draws agree, and the interval is that of Clopper and
    Pearson (1934) over the groups, which has a closed form there.
    """
    if not flags:
        return Interval(math.nan, math.nan, math.nan)
    value = sum(flags) / len(flags)
    if value in (0.0, 1.0) and rounds:
        bound = _LOW ** (1 / len(set(groups)))
        return Interval(value, bound, 1.0) if value else Interval(value, 0.0, 1 - bound)
    return _interval(value, [mean(flags, weights) for weights in _draws(groups, rounds)])


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
    rows = judged.ranked()
    measure = measured(rows, threshold, budgets, probabilities=probabilities)
    drawn = [measure(weights) for weights in _draws(rows.groups, rounds)]
    whole = measure([1] * len(rows.scores))
    found = {name: _interval(value, [d[name] for d in drawn]) for name, value in whole.items()}
    if probabilities and drawn:
        found[CALIBRATION] = _centred(whole[CALIBRATION], [d[CALIBRATION] for d in drawn])
    return found


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
    if not ranked or ranked[0] == ranked[-1]:
        return Interval(value, math.nan, math.nan)
    last = len(ranked) - 1
    return Interval(value, ranked[round(_LOW * last)], ranked[round(_HIGH * last)])


def _centred(value: float, values: Sequence[float]) -> Interval:
    """The interval of a figure that is no mean: resampling makes it larger, by so much it is moved."""
    raised = math.fsum(values) / len(values) - value
    found = _interval(value, values)
    if math.isnan(found.low):
        return found
    return Interval(value, max(0.0, found.low - raised), found.high - raised)
