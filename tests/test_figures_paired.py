"""Paired differences against draws that are made row by row, and cases whose answer is known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import astuple
from functools import partial

import pytest

from candor_guard.figures import (
    BUDGETS,
    Judged,
    accuracy,
    auroc,
    average_precision,
    calibration_error,
    differences,
    pair_consistency,
    pair_order,
    recall_at,
    recall_name,
    share,
    share_difference,
    summary,
)

ROUNDS = 60
CUTS = 0.5, 0.4
Rows = tuple[list[float], list[float], list[str]]


def recall(rows: Rows, budget: float) -> float:
    return recall_at(*rows[:2], budget)


def plain(cut: float) -> dict[str, Callable[[Rows], float]]:
    """Every figure by its plain definition."""
    return {
        "auroc": lambda rows: auroc(*rows[:2]),
        "average_precision": lambda rows: average_precision(*rows[:2]),
        **{recall_name(budget): partial(recall, budget=budget) for budget in BUDGETS},
        "calibration_error": lambda rows: calibration_error(*rows[:2]),
        "accuracy": lambda rows: accuracy(*rows[:2], cut),
        "pair_consistency": lambda rows: pair_consistency(*rows, cut),
        "pairs_in_order": lambda rows: pair_order(*rows),
    }


def two(count: int, *, better: float = 0.0, seed: int = 3) -> tuple[Judged, Judged]:
    """Scores of two detectors; the first separates the classes by so much more. Groups of 1 to 3 rows."""
    rng = random.Random(seed)  # noqa: S311 - sample data
    targets = [float(rng.random() < 0.4) for _ in range(count)]
    groups = [f"g{n * 2 // 4 if n % 3 else n}" for n in range(count)]
    hard = [rng.random() for _ in range(count)]

    def scored(gain: float) -> list[float]:
        found = (
            t * gain + 0.6 * h + 0.3 * rng.random() for t, h in zip(targets, hard, strict=True)
        )
        return [round(min(1.0, score), 2) for score in found]

    return Judged(targets, scored(0.1 + better), groups), Judged(targets, scored(0.1), groups)


def drawn(rows: Judged, rounds: int = ROUNDS) -> list[Rows]:
    """The rows of each draw, one by one; a group that is drawn twice is two groups."""
    names = sorted(set(rows.groups))
    rng = random.Random(0)  # noqa: S311 - resampling, as the library does
    found = []
    for _ in range(rounds):
        columns: Rows = [], [], []
        for copy, name in enumerate(rng.choices(names, k=len(names))):
            for target, score, group in zip(rows.targets, rows.scores, rows.groups, strict=True):
                if group == name:
                    columns[0].append(target)
                    columns[1].append(score)
                    columns[2].append(f"{group} {copy}")
        found.append(columns)
    return found


def percentiles(values: Sequence[float]) -> tuple[float, float]:
    ranked = sorted(value for value in values if not math.isnan(value))
    last = len(ranked) - 1
    return ranked[round(0.025 * last)], ranked[round(0.975 * last)]


def test_differences_equal_those_of_rows_drawn_one_by_one() -> None:
    """Values, differences and intervals are those of plain figures of the same draws of both."""
    first, second = two(90, better=0.2)
    found = differences(first, second, thresholds=CUTS, rounds=ROUNDS)
    draws = drawn(first), drawn(second)
    ours, theirs = plain(CUTS[0]), plain(CUTS[1])
    assert found.keys() == ours.keys()
    for name, figure in found.items():
        whole = [
            figures[name]((list(rows.targets), list(rows.scores), list(rows.groups)))
            for figures, rows in ((ours, first), (theirs, second))
        ]
        each = [ours[name](a) - theirs[name](b) for a, b in zip(*draws, strict=True)]
        value = whole[0] - whole[1]
        moved = math.fsum(each) / len(each) - value if name == "calibration_error" else 0.0
        low, high = percentiles(each)
        wanted = value, low - moved, high - moved
        assert (figure.first.value, figure.second.value) == pytest.approx(whole), name
        assert astuple(figure.difference) == pytest.approx(wanted, abs=1e-12), name


def test_either_detectors_own_figures_are_those_of_its_summary() -> None:
    """Beside the difference stands what each detector measured alone would have."""
    first, second = two(80, better=0.1)
    found = differences(first, second, thresholds=CUTS, rounds=ROUNDS)
    alone = [
        summary(rows, threshold=cut, rounds=ROUNDS)
        for rows, cut in zip((first, second), CUTS, strict=True)
    ]
    for name, figure in found.items():
        assert astuple(figure.first) == pytest.approx(astuple(alone[0][name]), nan_ok=True)
        assert astuple(figure.second) == pytest.approx(astuple(alone[1][name]), nan_ok=True)


def test_a_detector_is_not_apart_from_itself() -> None:
    """Equal scores differ by 0 exactly, in every draw, so that there is no interval either."""
    rows, _ = two(120)
    for figure in differences(rows, rows, thresholds=(0.5, 0.5), rounds=ROUNDS).values():
        assert figure.difference.value == 0.0
        assert math.isnan(figure.difference.low)
        assert not figure.apart


def test_a_better_detector_is_apart() -> None:
    """Where one separates better throughout, the interval lies above 0; the other way round, below."""
    first, second = two(300, better=0.4)
    found = differences(first, second, thresholds=CUTS, rounds=ROUNDS)
    turned = differences(second, first, thresholds=CUTS[::-1], rounds=ROUNDS)
    for name in ("auroc", "average_precision", "recall_at_5pct_fpr", "accuracy", "pairs_in_order"):
        assert 0 < found[name].difference.low <= found[name].difference.value, name
        assert found[name].apart
        assert turned[name].apart
        assert turned[name].difference.value == -found[name].difference.value
        assert turned[name].difference.high < 0


def test_pairing_tells_apart_what_two_intervals_do_not() -> None:
    """Rows that are hard for both widen either's interval, and not that of the difference."""
    first, second = two(400, better=0.05)
    figure = differences(first, second, rounds=200)["auroc"]
    assert figure.first.low < figure.second.high  # they overlap
    assert figure.apart
    width = figure.difference.high - figure.difference.low
    alone = [own.high - own.low for own in (figure.first, figure.second)]
    assert width < 0.6 * math.hypot(*alone)


def test_equally_good_detectors_are_seldom_apart() -> None:
    """Of two detectors that differ by chance alone, few samples in a hundred say that one is better."""
    count = 60
    found = [differences(*two(120, seed=seed), rounds=100)["auroc"].apart for seed in range(count)]
    assert sum(found) <= 8  # 5 % would be 3; more than 8 has a chance of one in three hundred


def test_rows_of_two_detectors_must_be_the_same() -> None:
    """Figures of different rows, or of the same in another order, are not compared."""
    first, second = two(40)
    for other in (second.take(range(39)), second.take(range(39, -1, -1))):
        with pytest.raises(ValueError, match="must be the same, in the same order"):
            differences(first, other)
    with pytest.raises(ValueError, match="must be the same"):
        differences(first, Judged(first.targets, first.scores, ["g"] * 40))


def test_without_draws_there_are_differences_and_no_intervals() -> None:
    """No rounds give values alone; without both classes there is no ranking, nor a difference."""
    first, second = two(40, better=0.3)
    assert all(
        math.isnan(figure.difference.low) and not math.isnan(figure.difference.value)
        for figure in differences(first, second, rounds=0).values()
    )
    one = Judged([1.0, 1.0], [0.5, 0.6], ["a", "b"])
    found = differences(one, one, probabilities=False, rounds=5)
    assert math.isnan(found["auroc"].difference.value)
    assert "calibration_error" not in found


def test_shares_are_drawn_together_too() -> None:
    """The difference of flagged shares equals that of rows drawn one by one."""
    first, second = two(90, better=0.2)
    flags, others = ([score >= 0.5 for score in rows.scores] for rows in (first, second))
    found = share_difference(flags, others, first.groups, ROUNDS)
    each = [
        sum(s >= 0.5 for s in a[1]) / len(a[1]) - sum(s >= 0.5 for s in b[1]) / len(b[1])
        for a, b in zip(drawn(first), drawn(second), strict=True)
    ]
    assert (found.difference.low, found.difference.high) == pytest.approx(percentiles(each))
    assert found.first == share(flags, first.groups, ROUNDS)
    assert found.second == share(others, first.groups, ROUNDS)
    assert found.difference.value == found.first.value - found.second.value


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        ([True] * 40, [False] * 40, (1.0, 2 * 0.025 ** (1 / 20) - 1, 1.0)),
        ([False] * 40, [False] * 40, (0.0, 0.025 ** (1 / 20) - 1, 1 - 0.025 ** (1 / 20))),
        ([True, False] * 20, [True, False] * 20, (0.0, -0.1684, 0.1684)),
        ([True, True] * 20, [True, False] * 20, (0.5, 1.5 * 0.025 ** (1 / 20) - 1, 0.5842)),
    ],
    ids=["always", "never", "the same", "one in each group"],
)
def test_shares_that_differ_alike_in_every_group_have_a_bound(
    first: list[bool], second: list[bool], wanted: tuple[float, float, float]
) -> None:
    """Where every draw agrees, the interval is of the groups that might differ otherwise."""
    groups = [str(n // 2) for n in range(40)]
    found = share_difference(first, second, groups).difference
    assert astuple(found) == pytest.approx(wanted, abs=1e-4)
    assert math.isnan(share_difference(first, second, groups, rounds=0).difference.low)


def test_no_rows_have_no_shares() -> None:
    """Of nothing there is no share, nor a difference."""
    assert math.isnan(share_difference([], [], []).difference.value)
