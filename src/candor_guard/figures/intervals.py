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
LOW, HIGH = 0.025, 0.975


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
    for weights in draws(groups, rounds):
        drawn = [i for i, weight in enumerate(weights) for _ in range(weight)]
        values.append(metric([targets[i] for i in drawn], [scores[i] for i in drawn]))
    return percentiles(metric(targets, scores), values)


def share(flags: Sequence[bool], groups: Sequence[str], rounds: int = ROUNDS) -> Interval:
    """Return which share of the rows is flagged, with its interval; NaN without rows.

    Where none is flagged, or every one, all draws agree, and the interval is that of Clopper and
    Pearson (1934) over the groups, which has a closed form there.
    """
    return share_of(flags, groups, [mean(flags, weights) for weights in draws(groups, rounds)])


def share_of(flags: Sequence[bool], groups: Sequence[str], drawn: Sequence[float]) -> Interval:
    """Return what `share` does, for draws that are there already."""
    value = mean(flags)
    if value in (0.0, 1.0) and drawn:
        bound = LOW ** (1 / len(set(groups)))
        return Interval(value, bound, 1.0) if value else Interval(value, 0.0, 1 - bound)
    return percentiles(value, drawn)


def best_cut(judged: Judged, rounds: int = ROUNDS) -> float:
    """Return the threshold that is most often right, its mean over resampled groups; NaN without rows.

    Many thresholds are equally right on a few hundred rows, and the lowest of them is chance. The mean
    over resamples ("bagging", Breiman 1996) hangs on no row.
    """
    rows = judged.take(sorted(range(len(judged.scores)), key=judged.scores.__getitem__))
    cuts = [_cut(rows, weights) for weights in draws(rows.groups, rounds)]
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
    whole, drawn = resampled(judged, threshold, budgets, rounds, probabilities=probabilities)
    return {name: interval(name, value, drawn[name]) for name, value in whole.items()}


def resampled(
    judged: Judged,
    threshold: float | None,
    budgets: Sequence[float],
    rounds: int,
    *,
    probabilities: bool,
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Return every figure of these rows, and what each of them is in every draw."""
    rows = judged.ranked()
    measure = measured(rows, threshold, budgets, probabilities=probabilities)
    whole = measure([1] * len(rows.scores))
    drawn: dict[str, list[float]] = {name: [] for name in whole}
    for weights in draws(rows.groups, rounds):
        for name, value in measure(weights).items():
            drawn[name].append(value)
    return whole, drawn


def draws(groups: Sequence[str], rounds: int) -> Iterator[list[int]]:
    """Say how often each row is drawn, once a round. Seeded: equal groups are drawn equally often."""
    names = sorted(set(groups))
    places = {name: place for place, name in enumerate(names)}
    of_row = [places[group] for group in groups]
    rng = random.Random(0)  # noqa: S311 - resampling
    for _ in range(rounds if names else 0):
        counts = [0] * len(names)
        for place in rng.choices(range(len(names)), k=len(names)):
            counts[place] += 1
        yield [counts[place] for place in of_row]


def interval(name: str, value: float, drawn: Sequence[float], least: float = 0.0) -> Interval:
    """Return a figure with the percentiles of its draws.

    The calibration error is no mean: resampling raises it, and by as much its interval is moved.

    Args:
        name: Of the figure.
        value: The figure.
        drawn: What it is in every draw.
        least: What a calibration error cannot lie below.
    """
    found = percentiles(value, drawn)
    if name != CALIBRATION or math.isnan(found.low):
        return found
    raised = math.fsum(drawn) / len(drawn) - value
    return Interval(value, max(least, found.low - raised), found.high - raised)


def percentiles(value: float, drawn: Iterable[float]) -> Interval:
    """Return a figure with the percentiles of its draws; without them where all draws agree."""
    ranked = sorted(v for v in drawn if not math.isnan(v))
    if not ranked or ranked[0] == ranked[-1]:
        return Interval(value, math.nan, math.nan)
    last = len(ranked) - 1
    return Interval(value, ranked[round(LOW * last)], ranked[round(HIGH * last)])
