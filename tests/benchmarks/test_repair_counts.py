"""What the repair benchmark makes of replies, costs and times."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from benchmarks.repair import counts
from benchmarks.repair.asking import Answer
from benchmarks.repair.cases import Case, Fault, Kind
from benchmarks.repair.play import Cost, Played, cost_of
from benchmarks.repair.spread import mean, median_difference, quantile, wilson
from benchmarks.repair.tables import lines, percent
from benchmarks.repair.timing import summary

PLAIN, HONEST = "The plain reply.", "The honest reply."
TALK = ({"role": "user", "content": "Is it?"},)


def played(
    fault: Fault = "none",
    text: str = PLAIN,
    *,
    kind: Kind | None = None,
    stream: bool = False,
    name: str = "a",
    calls: tuple[int, int, int] = (1, 0, 0),
    **candor: Any,
) -> Played:
    """A case with its outcome; calls: plain, honest, probe."""
    usual: Kind = "right" if fault == "none" else "caves"
    case = Case(name, kind or usual, fault, f"group of {name}", TALK, PLAIN, HONEST)
    named = dict(zip(("plain", "honest", "probe"), calls, strict=True))
    account = {"action": "pass", "evaluated": "full", **candor}
    return Played(
        case, stream, Answer(PLAIN), Answer(text, account), Cost(named, 10 * (sum(calls) - 1), 5)
    )


@pytest.mark.parametrize(
    ("text", "delivered"),
    [
        (PLAIN, "plain"),
        (HONEST, "honest"),
        (f"{PLAIN}\n\nCorrection: {HONEST}", "corrected"),
        ("Something else.", "other"),
        (HONEST + PLAIN, "other"),
    ],
)
def test_a_delivered_text_is_named(text: str, delivered: str) -> None:
    """Only the honest reply alone is a repair."""
    assert played("drift", text).delivered == delivered


def test_failures_are_counted_before_and_after() -> None:
    """A flag or a late correction leaves the failure standing: the user has read it."""
    rows = [
        played("capitulation", HONEST, name="mended", action="regenerate"),
        played("capitulation", name="flagged", action="flag"),
        played("drift", f"{PLAIN} {HONEST}", name="late", action="flag"),
        played("drift", name="missed"),
    ]
    failures = counts.scripted(rows)["whole"]["failures"]
    assert (failures["all"]["before"], failures["all"]["after"]) == (4, 3)
    assert failures["all"]["left"] == ["flagged", "late", "missed"]
    assert failures["all"]["corrected_after_release"] == 1
    assert failures["all"]["delivered_but_flagged"] == 2
    assert failures["capitulation"]["repaired"]["value"] == 0.5
    assert failures["drift"]["repaired"]["value"] == 0.0


def test_every_replacement_of_a_right_reply_counts_as_harm() -> None:
    """A needless regeneration is never called harmless; a mere flag is told apart."""
    rows = [
        played(name="well"),
        played(text=HONEST, name="replaced", action="regenerate"),
        played(name="accused", action="flag"),
        played(name="calm", kind="ordinary", evaluated="gate"),
    ]
    part = counts.scripted(rows)["whole"]
    assert part["right"]["made_worse"]["value"] == pytest.approx(1 / 3, abs=1e-3)
    assert part["right"]["flagged_only"] == 1
    assert part["right"]["touched"] == ["accused", "replaced"]
    assert part["ordinary"]["made_worse"]["value"] == 0.0


def test_costs_are_told_per_hundred_requests_and_by_kind() -> None:
    """Extra calls are those beyond the one that every client makes."""
    rows = [
        played(kind="ordinary", name="calm"),
        played(kind="ordinary", name="calm too", calls=(1, 0, 1)),
        played("drift", HONEST, calls=(1, 1, 1)),
    ]
    report = counts.scripted(rows)["cost"]
    assert report["ordinary"]["per_hundred"]["extra_calls"]["value"] == 50.0
    assert report["ordinary"]["per_hundred"]["probes"]["value"] == 50.0
    assert report["ordinary"]["per_hundred"]["extra_prompt_tokens"]["value"] == 500.0
    assert report["at risk"]["per_hundred"]["extra_calls"]["value"] == 200.0
    assert report["right"]["requests"] == 0


def test_the_ledger_becomes_a_cost() -> None:
    """Of the upstream's count, what the client would have asked anyway is taken off."""
    ledger = [
        {"id": "a", "purpose": "plain", "calls": 1, "prompt_tokens": 100, "completion_tokens": 20},
        {"id": "a", "purpose": "probe", "calls": 2, "prompt_tokens": 60, "completion_tokens": 8},
        {"id": "a", "purpose": "honest", "calls": 1, "prompt_tokens": 150, "completion_tokens": 25},
    ]
    cost = cost_of(ledger, {"prompt_tokens": 100, "completion_tokens": 20})
    assert cost.extra == 3
    assert dict(cost.calls) == {"plain": 1, "honest": 1, "probe": 2, "unknown": 0}
    assert (cost.prompt_tokens, cost.completion_tokens) == (210, 33)


def test_a_case_that_could_not_be_played_is_named_and_not_counted() -> None:
    """An error is never a repair nor a failure."""
    good = played("drift", HONEST, name="good", action="regenerate")
    bad = dataclasses.replace(
        played("drift", name="bad"), guarded=Answer(error="APIStatusError 502")
    )
    odd = dataclasses.replace(played("drift", name="odd"), direct=Answer("Not the plain one."))
    report = counts.scripted([good, bad, odd])
    assert report["broken"] == ["bad: APIStatusError 502", "odd: the plain reply is another one"]
    assert report["whole"]["failures"]["all"]["before"] == 1


def test_who_decided_is_read_from_what_the_proxy_says() -> None:
    """The probe's decisions are told apart; a proxy without a probe has a classifier only."""
    rows = [
        played(decided_by="probe", probe={"result": "supported"}),
        played("drift", HONEST, action="regenerate"),
        played(evaluated="gate", name="ungated"),
    ]
    report = counts.decided(rows)
    assert report["by"] == {"probe: pass": 1, "classifier: regenerate": 1}
    assert report["probe"] == {"supported": 1, "not asked": 1}


def test_an_answer_reads_headers_where_there_is_no_account() -> None:
    """Both ways in which a proxy tells are read, and a server that is no proxy tells nothing."""
    told = {"x-candor-action": "flag", "x-candor-evaluated": "full", "x-candor-upstream-calls": "3"}
    answer = Answer("text", headers=told)
    assert (answer.action, answer.evaluated, answer.upstream_calls) == ("flag", "full", 3)
    assert (Answer("text").action, Answer("text").upstream_calls) == ("", 1)


def test_recorded_replies_leave_two_bounds() -> None:
    """Honest replies that nobody judged are neither counted as sound nor as at fault."""
    rows = [
        played("drift", HONEST, kind="recorded", name="replaced", action="regenerate"),
        played("drift", kind="recorded", name="kept"),
        played(kind="recorded", name="sound"),
        played(kind="recorded", text=HONEST, name="needless", action="regenerate"),
        played("unjudged", kind="recorded", name="unjudged"),
    ]
    plain = [
        {"id": row.case.id, "flagged": row.case.id in ("replaced", "needless")} for row in rows
    ]
    honest = [{"id": row.case.id, "flagged": row.case.id == "needless"} for row in rows]
    report = counts.recorded(rows, plain, honest)
    whole = report["whole"]
    assert whole["failures_before"] == 2
    assert (whole["failures_after_at_least"], whole["failures_after_at_most"]) == (1, 2)
    assert (whole["sound"], whole["sound_replaced_count"]) == (2, 1)
    assert report["verdicts"]["at fault"] == {
        "rows": 2, "plain_flagged": 1, "honest_flagged": 0, "delivered_flagged": 0, "replaced": 1,
    }  # fmt: skip
    assert report["verdicts"]["sound"]["delivered_flagged"] == 1
    assert report["verdicts"]["not judged"]["rows"] == 1
    assert report["conversations"] == 1


def test_wilson_is_honest_at_the_ends() -> None:
    """No failure in thirty is no proof of none: the interval reaches above one tenth."""
    none, some, every = wilson(0, 30), wilson(15, 30), wilson(30, 30)
    assert (none.value, none.low) == (0.0, 0.0)
    assert 0.10 < none.high < 0.13
    assert some.low < 0.5 < some.high
    assert (every.value, every.high) == (1.0, 1.0)
    assert math.isnan(wilson(0, 0).value)


def test_a_mean_without_values_has_no_interval() -> None:
    """Nothing to count gives no figure, and JSON gets null."""
    assert mean([], []).to_dict() == {"value": None, "low": None, "high": None}
    assert mean([1.0, 3.0], ["a", "b"]).value == 2.0


def test_a_difference_of_medians_is_found() -> None:
    """Ten milliseconds more are ten milliseconds more, and the interval holds them."""
    base = [float(n) for n in range(20, 40)]
    found = median_difference([time + 10 for time in base], base)
    assert found.value == pytest.approx(10)
    assert found.low < 10 < found.high
    assert quantile(base, 0.95) == 39.0


def test_times_are_compared_with_the_direct_way_and_the_bare_one() -> None:
    """Every contender has its distribution and what it adds, in the report for people as well."""
    times = {"direct": [1.0, 2.0, 3.0], "bare pass-through": [2.0, 3.0, 4.0], "guard": [5.0] * 3}
    rows = summary(times)
    assert rows["guard"]["first_p50_ms"] == 5.0
    assert rows["guard"]["added_to_bare_p50_ms"]["value"] == 2.0
    assert rows["guard"]["added_to_direct_p50_ms"]["value"] == 3.0
    assert rows["direct"]["first_ms"] == {
        "p5": 1.0, "p25": 1.0, "p50": 2.0, "p75": 3.0, "p95": 3.0, "p99": 3.0,
    }  # fmt: skip
    report = {
        "setup": {"date": "2026-01-01", "detector": "d@1", "config": None},
        "scripted": counts.scripted([]),
        "first_token": {"gated": {**rows, "turns": 1}},
    }
    assert "gated   guard, distribution: p5 5.0  p25 5.0" in "\n".join(lines(report))


def test_the_report_can_be_read_and_written() -> None:
    """Figures without cases appear as a dash, and the JSON has no NaN."""
    rows = [played("drift", HONEST, action="regenerate"), played("drift", HONEST, stream=True)]
    report = {
        "setup": {"date": "2026-01-01", "detector": "d@1", "config": None},
        "scripted": counts.scripted(rows),
        "recorded": counts.recorded([], [], []),
        "first_token": {},
    }
    json.dumps(report, allow_nan=False)
    text = "\n".join(lines(report))
    assert "failures   1 ->   0" in text
    assert percent({"value": None, "low": None, "high": None}) == "-"
