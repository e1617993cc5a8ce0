"""Figures with intervals, by ranks that are kept sorted, against the plain definitions."""

from __future__ import annotations

import math
import random
from dataclasses import astuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candor_guard.figures import (
    BUDGETS,
    Interval,
    Judged,
    accuracy,
    auroc,
    average_precision,
    best_cut,
    bootstrap,
    calibration_error,
    pair_consistency,
    pair_order,
    recall_at,
    recall_name,
    reliability,
    roc,
    share,
    summary,
    threshold_at,
)

_SCORES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.99, 1.0])
_ROWS = st.lists(st.tuples(st.booleans(), _SCORES, st.sampled_from("abcd")), max_size=40)
# Small enough to count by hand.
_TARGETS = [1.0, 0.0, 1.0, 0.0]
_FEW = [0.9, 0.8, 0.4, 0.1]
_GROUPS = ["a", "a", "b", "b"]


def judged(rows: list[tuple[bool, float, str]]) -> Judged:
    return Judged([float(t) for t, _, _ in rows], [s for _, s, _ in rows], [g for _, _, g in rows])


def same(left: float, right: float) -> bool:
    return left == pytest.approx(right) or (math.isnan(left) and math.isnan(right))


def test_auroc_counts_ordered_pairs_and_halves_ties() -> None:
    """AUROC is the share of ordered pairs, ties counted half."""
    assert auroc(_TARGETS, _FEW) == 0.75
    assert auroc([1.0, 0.0], [0.5, 0.5]) == 0.5
    assert math.isnan(auroc([1.0], [0.5]))


def test_average_precision_goes_by_falling_score() -> None:
    """Average precision follows the falling scores."""
    assert average_precision(_TARGETS, _FEW) == pytest.approx((1 + 2 / 3) / 2)
    assert math.isnan(average_precision([0.0], [0.5]))


def test_recall_respects_the_budget() -> None:
    """Recall is taken at a threshold within the false-positive budget."""
    assert recall_at(_TARGETS, _FEW, 0.0) == 0.5
    assert recall_at(_TARGETS, _FEW, 0.5) == 1.0
    assert math.isnan(recall_at([1.0], [0.5], 0.1))
    assert threshold_at([0.3], 1.0) == 0.0


def test_pairs_count_only_when_every_row_is_right() -> None:
    """A pair counts only when all its rows are right."""
    assert pair_consistency(_TARGETS, _FEW, _GROUPS) == 0.0
    assert pair_consistency(_TARGETS, _FEW, _GROUPS, threshold=0.3) == 0.5
    assert pair_order(_TARGETS, _FEW, _GROUPS) == 1.0
    assert math.isnan(pair_consistency([1.0], [0.9], ["a"]))


def test_accuracy_and_calibration() -> None:
    """Accuracy and calibration error match values worked out by hand."""
    assert accuracy(_TARGETS, _FEW) == 0.5
    assert calibration_error([1.0, 0.0], [1.0, 0.0]) == 0.0
    assert calibration_error([0.0, 0.0], [0.95, 0.95]) == pytest.approx(0.95)


def test_the_interval_holds_the_value_and_is_repeatable() -> None:
    """The bootstrap interval holds the value and does not change from run to run."""
    first = bootstrap(auroc, _TARGETS * 5, _FEW * 5, [str(i) for i in range(20)])
    assert first.low <= first.value <= first.high
    assert first == bootstrap(auroc, _TARGETS * 5, _FEW * 5, [str(i) for i in range(20)])


@settings(deadline=None)
@given(_ROWS)
def test_auroc_is_the_share_of_ordered_pairs(rows: list[tuple[bool, float, str]]) -> None:
    """AUROC equals the count over all pairs of a positive and a negative."""
    found = judged(rows)
    pairs = [
        1.0 if up > down else 0.5 * (up == down)
        for target, up, _ in rows
        if target
        for other, down, _ in rows
        if not other
    ]
    wanted = sum(pairs) / len(pairs) if pairs else math.nan
    assert same(auroc(found.targets, found.scores), wanted)


@settings(deadline=None)
@given(_ROWS, st.sampled_from([0.0, *BUDGETS, 0.5, 1.0]))
def test_recall_is_taken_at_the_budgets_threshold(
    rows: list[tuple[bool, float, str]], budget: float
) -> None:
    """Recall at a budget is the share of positives at or above `threshold_at`."""
    found = judged(rows)
    positives = [s for t, s, _ in rows if t]
    negatives = [s for t, s, _ in rows if not t]
    cut = threshold_at(negatives, budget)
    caught = sum(s >= cut for s in positives)
    wanted = caught / len(positives) if positives and negatives else math.nan
    assert same(recall_at(found.targets, found.scores, budget), wanted)
    assert sum(s >= cut for s in negatives) <= budget * len(negatives)


@settings(deadline=None)
@given(_ROWS)
def test_the_summary_has_the_single_figures(rows: list[tuple[bool, float, str]]) -> None:
    """Every value of a summary is the one that its own function gives."""
    found = judged(rows)
    figures = summary(found, threshold=0.5, rounds=3)
    columns = found.targets, found.scores
    wanted = {
        "auroc": auroc(*columns),
        "average_precision": average_precision(*columns),
        **{recall_name(b): recall_at(*columns, b) for b in BUDGETS},
        "calibration_error": calibration_error(*columns),
        "accuracy": accuracy(*columns),
        "pair_consistency": pair_consistency(*columns, found.groups),
        "pairs_in_order": pair_order(*columns, found.groups),
    }
    assert figures.keys() == wanted.keys()
    assert all(same(figures[name].value, value) for name, value in wanted.items())


def sample(count: int = 200) -> Judged:
    rng = random.Random(1)  # noqa: S311 - sample data
    rows = [(rng.random() < 0.3, rng.random(), str(n // 4)) for n in range(count)]
    return judged([(t, round((s + t) / 2, 2), g) for t, s, g in rows])


def test_intervals_equal_the_plain_bootstrap() -> None:
    """Keeping rows sorted and counting draws gives what drawing the rows themselves gives."""
    rows = sample()
    figures = summary(rows, threshold=0.5, rounds=40)
    columns = (rows.targets, rows.scores, rows.groups)
    for name, metric in (
        ("auroc", auroc),
        ("average_precision", average_precision),
        ("accuracy", accuracy),
    ):
        plain = bootstrap(metric, *columns, rounds=40)
        found = figures[name]
        assert (found.low, found.high) == pytest.approx((plain.low, plain.high), nan_ok=True)


def test_the_calibration_errors_interval_is_moved_by_what_resampling_adds() -> None:
    """Draws of calibrated rows have larger errors than the rows: the interval holds the value all the same."""
    outside = 0
    for seed in range(40):
        rng = random.Random(seed)  # noqa: S311 - sample data
        scores = [rng.random() for _ in range(200)]
        targets = [float(rng.random() < score) for score in scores]
        found = summary(Judged(targets, scores, list(map(str, range(200)))), rounds=40)
        figure = found["calibration_error"]
        assert 0.0 <= figure.low < figure.high
        outside += not figure.low <= figure.value <= figure.high
    assert outside == 0


def test_order_of_the_rows_does_not_matter() -> None:
    """Shuffled rows have the same figures and intervals."""
    rows = sample()
    shuffled = rows.take(random.Random(2).sample(range(200), 200))  # noqa: S311 - sample data
    found, wanted = (summary(each, threshold=0.5, rounds=20) for each in (shuffled, rows))
    for name, figure in wanted.items():
        assert astuple(found[name]) == pytest.approx(astuple(figure), nan_ok=True)


def test_groups_are_drawn_whole() -> None:
    """With one group there is nothing to resample: a figure has no interval, not one without width."""
    rows = sample(40)
    figures = summary(Judged(rows.targets, rows.scores, ["g"] * 40), rounds=10)
    assert all(math.isnan(f.low) and math.isnan(f.high) for f in figures.values())


def test_shares_have_intervals() -> None:
    """A share of flags lies within its interval; of no rows there is none."""
    flags = [n % 4 == 0 for n in range(100)]
    found = share(flags, [str(n) for n in range(100)])
    assert found.value == 0.25
    assert 0.1 < found.low < 0.25 < found.high < 0.4
    assert math.isnan(share([], []).value)


@pytest.mark.parametrize(("groups", "bound"), [(1, 0.975), (10, 0.3085), (243, 0.0151)])
def test_a_share_of_none_or_all_has_the_exact_interval(groups: int, bound: float) -> None:
    """Where every draw agrees, the bound is that of Clopper and Pearson over the groups."""
    names = [str(n) for n in range(groups)] * 2
    none, every = (share([flag] * len(names), names) for flag in (False, True))
    assert astuple(none) == pytest.approx((0.0, 0.0, bound), abs=1e-4)
    assert astuple(every) == pytest.approx((1.0, 1 - bound, 1.0), abs=1e-4)
    assert math.isnan(share([True], ["g"], rounds=0).low)


def test_scores_that_are_no_probabilities_have_no_calibration_error() -> None:
    """Calibration, and what needs a threshold, can be left out."""
    figures = summary(sample(), probabilities=False, rounds=0)
    assert set(figures) == {
        "auroc", "average_precision", "pairs_in_order", *map(recall_name, BUDGETS),
    }  # fmt: skip
    assert math.isnan(figures["auroc"].low)


def test_intervals_without_a_value_are_null_in_json() -> None:
    """NaN is no JSON: it is written as null, and numbers are rounded."""
    assert Interval(0.123456, math.nan, 1.0).to_dict() == {
        "value": 0.1235,
        "low": None,
        "high": 1.0,
    }


def test_curves_end_where_they_must() -> None:
    """ROC runs from (0, 0) to (1, 1); reliability bins hold every row; one class has no ROC."""
    rows = sample()
    points = roc(rows.targets, rows.scores)
    assert (points[0], points[-1]) == ((0.0, 0.0), (1.0, 1.0))
    assert points == sorted(points)
    assert roc([1.0], [0.5]) == []
    bins = reliability(rows.targets, rows.scores)
    assert sum(count for _, _, count in bins) == 200
    assert [score for score, _, _ in bins] == sorted(score for score, _, _ in bins)


def test_budgets_are_named_by_percent() -> None:
    """Names of recalls say the false-positive rate in percent."""
    assert [recall_name(b) for b in BUDGETS] == [
        "recall_at_0.5pct_fpr", "recall_at_2pct_fpr", "recall_at_5pct_fpr",
    ]  # fmt: skip


@given(st.lists(st.tuples(st.booleans(), st.integers(-4, 4)), min_size=1, max_size=30))
def test_the_best_cut_of_one_group_is_the_lowest_that_is_most_often_right(
    rows: list[tuple[bool, int]],
) -> None:
    """No threshold is right more often, and no lower one as often; one group is drawn as it is."""
    targets, scores = [float(t) for t, _ in rows], [s / 4 for _, s in rows]
    candidates = [*sorted(set(scores)), math.nextafter(max(scores), math.inf)]
    lowest = max(candidates, key=lambda cut: accuracy(targets, scores, cut))
    assert best_cut(Judged(targets, scores, ["one"] * len(rows)), rounds=2) == lowest


def test_the_best_cut_lies_among_equals_and_not_at_their_edge() -> None:
    """Where every row that a redraw brings moves the lowest of equals, the mean is between them."""
    rng = random.Random(5)  # noqa: S311 - made-up rows
    scores = [rng.random() for _ in range(120)]
    targets = [float(score + rng.gauss(0, 0.3) > 0.5) for score in scores]
    groups = [str(number) for number in range(len(scores))]
    lowest = best_cut(Judged(targets, scores, ["one"] * len(scores)))
    found = best_cut(Judged(targets, scores, groups))
    assert min(scores) < found < max(scores)
    assert found != lowest
    assert accuracy(targets, scores, found) >= accuracy(targets, scores, lowest) - 0.05


def test_no_rows_have_no_best_cut() -> None:
    """Without rows there is nothing to be right about."""
    assert math.isnan(best_cut(Judged([], [], [])))
