"""Labelled, scored rows: which side of a threshold they fall on, calibration, and pairs of a group."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, groupby
from operator import mul, sub

from candor_guard.figures.ranking import falling

BINS = 10
_HALF = 0.5


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

    def ranked(self) -> Judged:
        """Return the rows by falling score."""
        return self.take(falling(self.scores))

    def take(self, indices: Sequence[int]) -> Judged:
        """Return some of the rows, in the order given."""
        return Judged(
            [self.targets[i] for i in indices],
            [self.scores[i] for i in indices],
            [self.groups[i] for i in indices],
        )


def accuracy(targets: Sequence[float], scores: Sequence[float], threshold: float = _HALF) -> float:
    """Share of rows on the right side of the threshold."""
    return mean(right(targets, scores, threshold))


def pair_consistency(
    targets: Sequence[float],
    scores: Sequence[float],
    groups: Sequence[str],
    threshold: float = _HALF,
) -> float:
    """Share of groups with both classes in which every row is on the right side."""
    return mean([*consistent(Judged(targets, scores, groups), threshold).values()])


def pair_order(targets: Sequence[float], scores: Sequence[float], groups: Sequence[str]) -> float:
    """Share of groups with both classes whose every positive outscores every negative."""
    return mean([*ordered(Judged(targets, scores, groups)).values()])


def calibration_error(targets: Sequence[float], scores: Sequence[float], bins: int = BINS) -> float:
    """Expected calibration error over bins of equal width; NaN without rows."""
    order = falling(scores)
    ranked = [targets[i] for i in order], [scores[i] for i in order]
    return Calibration.of(*ranked, bins).error([1] * len(order))


def reliability(
    targets: Sequence[float], scores: Sequence[float], bins: int = BINS
) -> list[tuple[float, float, int]]:
    """Return (mean score, mean target, rows) of each bin that has rows, by rising score."""
    order = sorted(range(len(scores)), key=scores.__getitem__)
    found = []
    for held in _stretches([scores[i] for i in order], bins):
        rows = order[held]
        score, target = sum(scores[i] for i in rows), sum(targets[i] for i in rows)
        found.append((score / len(rows), target / len(rows), len(rows)))
    return found


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far each row's target lies above its score, and which rows share a bin."""

    errors: Sequence[float]
    stretches: Sequence[slice]

    @classmethod
    def of(cls, targets: Sequence[float], scores: Sequence[float], bins: int = BINS) -> Calibration:
        """Read rows, which must be sorted by score."""
        return cls(list(map(sub, targets, scores)), _stretches(scores, bins))

    def error(self, weights: Sequence[int]) -> float:
        """Expected calibration error of weighted rows; NaN without weight."""
        total = sum(weights)
        sums = (sum(map(mul, weights[held], self.errors[held])) for held in self.stretches)
        return sum(map(abs, sums)) / total if total else math.nan


def _stretches(scores: Sequence[float], bins: int) -> list[slice]:
    """The rows of each bin of equal width; they must be sorted by score."""
    found, start = [], 0
    for _, members in groupby(min(bins - 1, int(score * bins)) for score in scores):
        found.append(slice(start, start + len(list(members))))
        start = found[-1].stop
    return found


def mean(flags: Sequence[bool], weights: Sequence[int] | None = None) -> float:
    """Weighted share of what is true; NaN without weight."""
    shares = [1] * len(flags) if weights is None else weights
    total = sum(shares)
    return sum(compress(shares, flags)) / total if total else math.nan


def right(targets: Sequence[float], scores: Sequence[float], threshold: float) -> list[bool]:
    """Which rows are on the right side of the threshold."""
    return [(s >= threshold) == (t > _HALF) for t, s in zip(targets, scores, strict=True)]


def _both_classes(rows: Judged) -> Mapping[str, list[int]]:
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(rows.groups):
        members[group].append(index)
    return {
        group: indices
        for group, indices in members.items()
        if len({rows.targets[i] > _HALF for i in indices}) > 1
    }


def consistent(rows: Judged, threshold: float) -> dict[str, bool]:
    """Whether every row is on the right side, for each group with both classes."""
    return {
        group: all((rows.scores[i] >= threshold) == (rows.targets[i] > _HALF) for i in indices)
        for group, indices in _both_classes(rows).items()
    }


def ordered(rows: Judged) -> dict[str, bool]:
    """Whether every positive outscores every negative, for each group with both classes."""
    return {
        group: min(rows.scores[i] for i in indices if rows.targets[i] > _HALF)
        > max(rows.scores[i] for i in indices if rows.targets[i] <= _HALF)
        for group, indices in _both_classes(rows).items()
    }
