"""Figures of two detectors on the same rows, and how far they are apart.

The paired bootstrap: each draw is of the same groups for both, so that what makes a draw easy or hard
for both is in no difference (Efron and Tibshirani 1993, chapters 8 and 13: pairs are drawn, percentiles
taken; Koehn 2004: for two systems on one test set; Field and Welsh 2007: whole groups). Intervals of
two figures that overlap do not say that the figures are alike; the interval of their difference does
say whether they are apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from operator import sub

from candor_guard.figures.intervals import (
    LOW,
    ROUNDS,
    Interval,
    draws,
    interval,
    percentiles,
    resampled,
    share_of,
)
from candor_guard.figures.ranking import BUDGETS
from candor_guard.figures.rows import Judged, mean


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of two detectors on the same rows.

    Attributes:
        first: Of the one.
        second: Of the other.
        difference: The first less the second, with the interval of that.
    """

    first: Interval
    second: Interval
    difference: Interval

    @property
    def apart(self) -> bool:
        """Whether the difference has an interval that does not hold 0."""
        return self.difference.low > 0 or self.difference.high < 0


def differences(
    first: Judged,
    second: Judged,
    *,
    thresholds: tuple[float, float] | None = None,
    budgets: Sequence[float] = BUDGETS,
    probabilities: bool = True,
    rounds: int = ROUNDS,
) -> dict[str, Difference]:
    """Return the figures that `summary` has for two detectors, and their paired differences.

    The difference of the calibration errors is moved by what resampling adds to it, as each error is.

    Args:
        first: The rows of one label, as the one detector scored them.
        second: The same rows in the same order, as the other one did.
        thresholds: Of either, for accuracy and pair consistency; None leaves both out.
        budgets: False-positive rates at which recall is taken.
        probabilities: Whether the scores are probabilities; otherwise there is no calibration error.
        rounds: How often the groups are drawn; 0 gives figures without intervals.

    Raises:
        ValueError: If these are not the same rows.
    """
    if (*first.targets,) != (*second.targets,) or (*first.groups,) != (*second.groups,):
        raise ValueError("the rows of two detectors must be the same, in the same order")
    (whole, drawn), (others, drawn_others) = (
        resampled(rows, cut, budgets, rounds, probabilities=probabilities)
        for rows, cut in zip((first, second), thresholds or (None, None), strict=True)
    )
    return {
        name: Difference(
            interval(name, value, drawn[name]),
            interval(name, others[name], drawn_others[name]),
            # Equal groups are drawn equally often: these are figures of the same draws.
            interval(name, value - others[name], _less(drawn[name], drawn_others[name]), -1.0),
        )
        for name, value in whole.items()
    }


def share_difference(
    first: Sequence[bool], second: Sequence[bool], groups: Sequence[str], rounds: int = ROUNDS
) -> Difference:
    """Return which share of the rows two detectors flag, and the paired difference; NaN without rows.

    Where every group has the same difference, so has every draw. By Clopper and Pearson (1934), as in
    `share`, a bound is known for the share of groups that have it; the interval leaves the rest open.
    """
    drawn, drawn_others = list[float](), list[float]()
    for weights in draws(groups, rounds):
        drawn.append(mean(first, weights))
        drawn_others.append(mean(second, weights))
    one, other = share_of(first, groups, drawn), share_of(second, groups, drawn_others)
    value = one.value - other.value
    if drawn and len(_by_group(first, second, groups)) == 1:
        same = LOW ** (1 / len(set(groups)))
        low, high = same * value - (1 - same), same * value + (1 - same)
        return Difference(one, other, Interval(value, max(-1.0, low), min(1.0, high)))
    return Difference(one, other, percentiles(value, _less(drawn, drawn_others)))


def _less(values: Sequence[float], others: Sequence[float]) -> list[float]:
    return list(map(sub, values, others))


def _by_group(first: Sequence[bool], second: Sequence[bool], groups: Sequence[str]) -> set[float]:
    """The differences of the shares that groups have."""
    members: dict[str, list[int]] = defaultdict(list)
    for one, other, group in zip(first, second, groups, strict=True):
        members[group].append(one - other)
    return {sum(found) / len(found) for found in members.values()}
