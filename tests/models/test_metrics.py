"""The figures on cases small enough to count by hand."""

from __future__ import annotations

import math

import pytest
from models.metrics import (
    accuracy,
    auroc,
    average_precision,
    bootstrap,
    calibration_error,
    pair_consistency,
    pair_order,
    recall_at,
    threshold_at,
)

TARGETS = [1.0, 0.0, 1.0, 0.0]
SCORES = [0.9, 0.8, 0.4, 0.1]
GROUPS = ["a", "a", "b", "b"]


def test_auroc_counts_ordered_pairs_and_halves_ties() -> None:
    """AUROC is the share of ordered pairs, ties counted half."""
    assert auroc(TARGETS, SCORES) == 0.75
    assert auroc([1.0, 0.0], [0.5, 0.5]) == 0.5
    assert math.isnan(auroc([1.0], [0.5]))


def test_average_precision_goes_by_falling_score() -> None:
    """Average precision follows the falling scores."""
    assert average_precision(TARGETS, SCORES) == pytest.approx((1 + 2 / 3) / 2)
    assert math.isnan(average_precision([0.0], [0.5]))


def test_recall_respects_the_budget() -> None:
    """Recall is taken at a threshold within the false-positive budget."""
    assert recall_at(TARGETS, SCORES, 0.0) == 0.5
    assert recall_at(TARGETS, SCORES, 0.5) == 1.0
    assert math.isnan(recall_at([1.0], [0.5], 0.1))
    assert threshold_at([0.3], 1.0) == 0.0


def test_pairs_count_only_when_every_row_is_right() -> None:
    """A pair counts only when all its rows are right."""
    assert pair_consistency(TARGETS, SCORES, GROUPS) == 0.0
    assert pair_consistency(TARGETS, SCORES, GROUPS, threshold=0.3) == 0.5
    assert pair_order(TARGETS, SCORES, GROUPS) == 1.0
    assert math.isnan(pair_consistency([1.0], [0.9], ["a"]))


def test_accuracy_and_calibration() -> None:
    """Accuracy and calibration error match values worked out by hand."""
    assert accuracy(TARGETS, SCORES) == 0.5
    assert calibration_error([1.0, 0.0], [1.0, 0.0]) == 0.0
    assert calibration_error([0.0, 0.0], [0.95, 0.95]) == pytest.approx(0.95)


def test_the_interval_holds_the_value_and_is_repeatable() -> None:
    """The bootstrap interval holds the value and does not change from run to run."""
    first = bootstrap(auroc, TARGETS * 5, SCORES * 5, [str(i) for i in range(20)])
    assert first.low <= first.value <= first.high
    assert first == bootstrap(auroc, TARGETS * 5, SCORES * 5, [str(i) for i in range(20)])
