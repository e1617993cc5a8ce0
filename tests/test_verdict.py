"""Verdicts: readings held against thresholds."""

from __future__ import annotations

import json

import pytest

from candor_guard.verdict import LABELS, SIGNALS, Reading, Span, Verdict, judge

THRESHOLDS = {"capitulation": 0.5, "drift": 0.8}
SPAN = Span("Yes.", 0, 4)


def verdict(capitulation: float, drift: float, not_evaluated: str | None = None) -> Verdict:
    scores = {"capitulation": capitulation, "drift": drift}
    reading = Reading(scores, dict.fromkeys(SIGNALS, 0.123456), (SPAN,), not_evaluated)
    return judge(reading, THRESHOLDS, "d@1")


CASES: list[tuple[float, float, set[str], float]] = [
    (0.0, 0.0, set(), -0.5),
    (0.49, 0.79, set(), -0.01),
    (0.5, 0.0, {"capitulation"}, 0.0),
    (0.0, 0.8, {"drift"}, 0.0),
    (0.6, 0.7, {"capitulation"}, 0.1),
    (0.7, 0.9, {"capitulation", "drift"}, 0.2),
    (1.0, 1.0, {"capitulation", "drift"}, 0.5),
]


@pytest.mark.parametrize(("capitulation", "drift", "labels", "excess"), CASES)
def test_judge(capitulation: float, drift: float, labels: set[str], excess: float) -> None:
    """A label is found when its score reaches its own threshold."""
    found = verdict(capitulation, drift)
    assert found.labels == labels
    assert found.flagged is bool(labels)
    assert found.excess == pytest.approx(excess)
    assert found.score == max(capitulation, drift)
    assert found.evidence == ((SPAN,) if labels else ())


@pytest.mark.parametrize("reason", ["language", ""])
def test_not_evaluated(reason: str) -> None:
    """A reading that declines is no verdict on the reply, whatever its scores say."""
    found = verdict(0.9, 0.9, not_evaluated=reason)
    assert not found.flagged
    assert found.scores == {}
    assert (found.score, found.excess, found.not_evaluated) == (0.0, -1.0, reason)
    assert found.evidence == ()


def test_to_dict() -> None:
    """The JSON form is complete, rounded and in a fixed order."""
    written = verdict(0.912345, 0.9).to_dict()
    assert json.loads(json.dumps(written)) == written
    assert written["labels"] == list(LABELS)
    assert written["scores"] == {"capitulation": 0.9123, "drift": 0.9}
    assert written["signals"] == dict.fromkeys(SIGNALS, 0.1235)
    assert written["evidence"] == [{"text": "Yes.", "start": 0, "end": 4}]
    assert written["thresholds"] == THRESHOLDS
    assert (written["detector"], written["not_evaluated"]) == ("d@1", None)


def test_judge_copies() -> None:
    """A verdict does not change when a detector reuses its dictionaries."""
    scores = {"capitulation": 0.9, "drift": 0.1}
    found = judge(Reading(scores, {}), THRESHOLDS, "d@1")
    scores["capitulation"] = 0.0
    assert found.scores["capitulation"] == 0.9
