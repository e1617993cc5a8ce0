"""Labelled, scored rows: which side of a threshold they fall on, calibration, and pairs of a group."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

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

    def take(self, indices: Sequence[int]) -> Judged:
        """Return some of the rows, in the order given."""
        return Judged(
            [self.targets[i] for i in indices],
            [self.scores[i] for i in indices],
            [self.groups[i] for i in indices],
        )


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
    return mean(consistent(Judged(targets, scores, groups), threshold).values())


def pair_order(targets: Sequence[float], scores: Sequence[float], groups: Sequence[str]) -> float:
    """Share of groups with both classes whose every positive outscores every negative."""
    return mean(ordered(Judged(targets, scores, groups)).values())


def calibration_error(targets: Sequence[float], scores: Sequence[float], bins: int = BINS) -> float:
    """Expected calibration error over bins of equal width."""
    return gap(targets, scores, [1] * len(targets), bins)


def reliability(
    targets: Sequence[float], scores: Sequence[float], bins: int = BINS
) -> list[tuple[float, float, int]]:
    """Return (mean score, mean target, rows) of each bin that has rows, by rising score."""
    cells = _cells(targets, scores, [1] * len(targets), bins)
    return [(score / rows, target / rows, int(rows)) for target, score, rows in cells]


def gap(
    targets: Sequence[float], scores: Sequence[float], weights: Sequence[int], bins: int
) -> float:
    """Expected calibration error of weighted rows; NaN without weight."""
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


def right_share(rows: Judged, threshold: float, weights: Sequence[int]) -> float:
    """Weighted share of rows on the right side of the threshold."""
    hits = [(s >= threshold) == (t > _HALF) for t, s in zip(rows.targets, rows.scores, strict=True)]
    return mean(hits, weights)


def mean(values: Iterable[bool], weights: Sequence[int] | None = None) -> float:
    """Weighted share of what is true; NaN without weight."""
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
