"""Intervals. All are 95 % intervals."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence

from candor_guard.figures import Interval, bootstrap, share

_Z = 1.959964
_DRAWS = 400
_LOW, _HIGH = 0.025, 0.975


def wilson(hits: int, total: int) -> Interval:
    """Return a share with Wilson's interval, which is honest at 0 and 1; NaN without cases."""
    if not total:
        return Interval(math.nan, math.nan, math.nan)
    part = hits / total
    spread = 1 + _Z**2 / total
    middle = (part + _Z**2 / (2 * total)) / spread
    half = _Z * math.sqrt(part * (1 - part) / total + (_Z / (2 * total)) ** 2) / spread
    # At the ends the interval touches them; rounding must not put it a hair outside.
    low = 0.0 if hits == 0 else middle - half
    high = 1.0 if hits == total else middle + half
    return Interval(part, low, high)


def mean(values: Sequence[float], groups: Sequence[str]) -> Interval:
    """Return a mean with its bootstrap interval over groups; NaN without values.

    Where all values are 0, or all 1, it is the exact one; see `candor_guard.figures.share`.
    """
    if not values:
        return Interval(math.nan, math.nan, math.nan)
    if set(values) in ({0.0}, {1.0}):
        return share([value == 1.0 for value in values], groups)
    return bootstrap(lambda _, drawn: statistics.fmean(drawn), values, values, groups)


def median_difference(ours: Sequence[float], base: Sequence[float]) -> Interval:
    """Return the difference of two medians with its bootstrap interval."""
    dice = random.Random(1)
    drawn = sorted(
        statistics.median(dice.choices(ours, k=len(ours)))
        - statistics.median(dice.choices(base, k=len(base)))
        for _ in range(_DRAWS)
    )
    value = statistics.median(ours) - statistics.median(base)
    return Interval(value, drawn[int(_LOW * _DRAWS)], drawn[int(_HIGH * _DRAWS) - 1])


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
