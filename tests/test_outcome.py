"""Outcomes: truthful records without content."""

from __future__ import annotations

import json
from typing import Any

import pytest

from candor_guard.outcome import Attempt, Outcome, deferred_headers, sum_usage, total_tokens
from candor_guard.verdict import Reading, Span, Verdict, judge

WORDS = "my secret words"
THRESHOLDS = {"capitulation": 0.5, "drift": 0.5}


def verdict(score: float) -> Verdict:
    span = (Span(WORDS, 0, len(WORDS)),)
    scores = {"drift": score, "capitulation": score}
    return judge(Reading(scores, {"pressure": 0.5}, span), THRESHOLDS, "d@1")


def outcome(**fields: Any) -> Outcome:
    basics: dict[str, Any] = {
        "action": "pass", "evaluated": "none", "mode": "enforce", "delivered": "original",
        "detector": "d@1", "request_id": "id-1",
    }  # fmt: skip
    return Outcome(**{**basics, **fields})


FULL = outcome(
    action="regenerate", evaluated="full", delivered="regenerated", guard_seconds=0.00123,
    first_verdict=verdict(0.91), verdict=verdict(0.1),
    attempts=(
        Attempt("original", "read", 1.5, verdict=verdict(0.91), usage={"total_tokens": 3}),
        Attempt("regeneration", "read", 0.25, "reconsider-1", verdict(0.1), {"total_tokens": 4}),
    ),
)  # fmt: skip


def test_headers_of_a_full_record() -> None:
    """The headers say what was found, what was done and what it cost."""
    assert dict(FULL.headers()) == {
        "x-candor-action": "regenerate",
        "x-candor-evaluated": "full",
        "x-candor-upstream-calls": "2",
        "x-candor-guard-ms": "1.23",
        "x-candor-request-id": "id-1",
        "x-candor-delivered": "regenerated",
        "x-candor-labels": "capitulation,drift",
        "x-candor-score": "0.9100",
    }


def test_headers_of_a_bare_record() -> None:
    """What is not known is left out."""
    assert dict(outcome(delivered=None, skipped="n").headers()) == {
        "x-candor-action": "pass",
        "x-candor-evaluated": "none",
        "x-candor-upstream-calls": "1",
        "x-candor-guard-ms": "0.00",
        "x-candor-request-id": "id-1",
        "x-candor-skipped": "n",
    }


def test_headers_while_nothing_is_decided() -> None:
    """Who starts a body before the verdict claims nothing about it, not even what is at hand."""
    started = outcome(evaluated="deferred", first_verdict=verdict(0.91))
    told = [("x-candor-evaluated", "deferred"), ("x-candor-request-id", "id-1")]
    assert started.headers() == deferred_headers("id-1") == told


def test_no_user_text() -> None:
    """Neither headers nor record contain a word of the conversation, though the verdicts do."""
    assert FULL.first_verdict is not None
    assert WORDS in json.dumps(FULL.first_verdict.to_dict())
    assert WORDS not in json.dumps(FULL.to_dict())
    assert all(WORDS not in value and value.isascii() for _, value in FULL.headers())


def test_record() -> None:
    """The candor object is JSON, complete, and tells the first reply from the delivered one."""
    record = FULL.to_dict()
    assert json.loads(json.dumps(record)) == record
    assert record["schema"] == 1
    assert record["scores"] == {"drift": 0.91, "capitulation": 0.91}
    assert record["delivered_scores"] == {"drift": 0.1, "capitulation": 0.1}
    assert record["labels"] == ["capitulation", "drift"]
    assert record["instruction"] == "reconsider-1"
    assert record["upstream_calls"] == 2
    assert record["usage"] == {
        "original": {"total_tokens": 3},
        "probe": None,
        "regenerated": {"total_tokens": 4},
    }
    assert [a["ms"] for a in record["attempts"]] == [1500.0, 250.0]
    assert [a["flagged"] for a in record["attempts"]] == [True, False]
    assert FULL.usage == {"total_tokens": 7}


def test_bare_record() -> None:
    """A record without verdict and calls is written all the same."""
    record = outcome().to_dict()
    assert (record["scores"], record["thresholds"], record["labels"]) == (None, None, [])
    assert record["usage"] == {"original": None, "probe": None, "regenerated": None}
    assert outcome().usage is None


PROBED = outcome(
    action="pass", evaluated="full", first_verdict=verdict(0.2), decided_by="probe",
    probe={"purpose": "drift", "result": "taste", "ruling": "cleared", "new_evidence": False,
           "confidence": 0.8},
    attempts=(
        Attempt("original", "read", 1.0, usage={"total_tokens": 3}, model="m"),
        Attempt("probe", "useless", 0.5, usage={"total_tokens": 1}, model="s"),
        Attempt("probe", "taste", 0.5, usage={"total_tokens": 1}, model="s",
                content={"finding": {"claim": WORDS, "why": WORDS}}),
    ),
)  # fmt: skip


def test_probed_record() -> None:
    """The record says what the probe said, who decided and what it cost."""
    record = PROBED.to_dict()
    assert (record["decided_by"], record["probe"]["result"]) == ("probe", "taste")
    assert record["usage"]["probe"] == {"total_tokens": 2}
    assert [a["model"] for a in record["attempts"]] == ["m", "s", "s"]
    assert record["attempts"][2]["finding"]["claim"] == WORDS
    told = dict(PROBED.headers())
    assert (told["x-candor-probe"], told["x-candor-decided-by"]) == ("taste", "probe")
    assert json.loads(json.dumps(record)) == record


TOTALS: dict[str, tuple[Any, int]] = {
    "none": (None, 0),
    "told": ({"total_tokens": 7}, 7),
    "untold": ({"prompt_tokens": 7}, 0),
    "chat's parts": ({"prompt_tokens": 7, "completion_tokens": 3}, 10),
    "null beside chat's parts": (
        {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": None}, 10,
    ),
    "both formats' parts": (
        {"prompt_tokens": 7, "completion_tokens": 3, "input_tokens": 7, "output_tokens": 3}, 10,
    ),
    "text": ({"total_tokens": "7"}, 0),
    "truth": ({"total_tokens": True}, 0),
    "no count": ({"total_tokens": 10**400}, 0),
    "negative": ({"total_tokens": -7}, 0),
    "in parts": ({"input_tokens": 7, "output_tokens": 3}, 10),
    "cached parts": (
        {"input_tokens": 7, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 1}, 10,
    ),
    "parts beside a total": ({"input_tokens": 7, "output_tokens": 3, "total_tokens": 11}, 11),
    "part that is no count": ({"input_tokens": "7", "output_tokens": 3}, 3),
}  # fmt: skip


@pytest.mark.parametrize(("usage", "total"), TOTALS.values(), ids=TOTALS)
def test_total_tokens(usage: Any, total: int) -> None:
    """Only a number of tokens that makes sense is counted."""
    assert total_tokens(usage) == total


SUMS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "none": ([], {}),
    "one": ([{"a": 1}], {"a": 1}),
    "two": ([{"a": 1}, {"a": 2}], {"a": 3}),
    "disjoint": ([{"a": 1}, {"b": 2}], {"a": 1, "b": 2}),
    "nested": ([{"d": {"x": 1, "y": 2}}, {"d": {"x": 3}}], {"d": {"x": 4, "y": 2}}),
    "nested twice": ([{"d": {"e": {"x": 1}}}, {"d": {"e": {"x": 1}}}], {"d": {"e": {"x": 2}}}),
    "three": ([{"a": 1}, {"a": 2}, {"a": 3}], {"a": 6}),
    "fractions": ([{"cost": 0.5}, {"cost": 0.25}], {"cost": 0.75}),
    "null first": ([{"a": None}, {"a": 2}], {"a": 2}),
    "null last": ([{"a": 2}, {"a": None}], {"a": 2}),
    "null details last": ([{"d": {"x": 1}}, {"d": None}], {"d": {"x": 1}}),
    "details last only": ([{"d": None}, {"d": {"x": 1}}], {"d": {"x": 1}}),
    "text is not added": ([{"tier": "a"}, {"tier": "b"}], {"tier": "b"}),
    "truth is not added": ([{"cached": True}, {"cached": True}], {"cached": True}),
    "kind changes": ([{"a": 1}, {"a": {"x": 1}}], {"a": {"x": 1}}),
}


@pytest.mark.parametrize(("parts", "total"), SUMS.values(), ids=SUMS)
def test_sum_usage(parts: list[Any], total: dict[str, Any]) -> None:
    """Numbers are added field by field, nested ones too; the parts stay as they were."""
    before = json.dumps(parts)
    assert sum_usage(parts) == total
    assert json.dumps(parts) == before


def test_sum_usage_does_not_follow_any_depth() -> None:
    """An upstream's details, however deep, do not break the sum; what lies too deep is the last's."""
    deep: Any = {"n": 1}
    for _ in range(5000):
        deep = {"d": deep}
    total = sum_usage([{"total_tokens": 1, **deep}, {"total_tokens": 2, **deep}])
    assert total["total_tokens"] == 3
