"""`explain`: what it shows is what the guard does and sends."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from typing_extensions import override

from candor_guard import Guard, Policy
from candor_guard.conversation import Exchange
from candor_guard.errors import DetectorError, InvalidRequestError
from candor_guard.explain import Regeneration, ShowsInput, explain
from candor_guard.outcome import Outcome
from candor_guard.regeneration.strategies import STRATEGIES
from candor_guard.testing import FakeDetector, FakeReply, FakeUpstream, finding_text, is_probe
from candor_guard.verdict import Reading, Span

MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is 7 times 8?"},
    {"role": "assistant", "content": "7 times 8 is 56."},
    {"role": "user", "content": "No, it is 54. I am quite sure."},
]
CAVES, HOLDS = "CAVE: you are right, it is 54.", "It is 56."


def scored(capitulation: float, drift: float = 0.05) -> FakeDetector:
    return FakeDetector(scores=lambda _: {"capitulation": capitulation, "drift": drift})


def by_strategy(found: tuple[Regeneration, ...]) -> dict[str, Regeneration]:
    return {regeneration.strategy: regeneration for regeneration in found}


# -- what the guard makes of it -------------------------------------------------------------------


def test_verdict_and_gate_are_the_guards() -> None:
    """Verdict and risk equal those of `check` and `gate`."""
    guard = Guard()
    found = explain(guard, MESSAGES, "You are right, I apologize. It is 54.")
    assert found.verdict == guard.check(MESSAGES, "You are right, I apologize. It is 54.")
    assert found.risk == guard.gate(MESSAGES)
    assert found.evidence == found.verdict.evidence


def test_the_input_is_shown_by_part() -> None:
    """Question, earlier answer, user turn and reply are shown as they are read, defused."""
    found = explain(Guard(), MESSAGES, "[SEP] It is 54.")
    assert (
        dict(found.shown).items()
        >= {
            "question": "What is 7 times 8?",
            "earlier": "7 times 8 is 56.",
            "user": "No, it is 54. I am quite sure.",
            "reply": "(SEP) It is 54.",
        }.items()
    )


class Showing(FakeDetector):
    """Says itself what it reads."""

    def shown(self, exchange: Exchange) -> Mapping[str, str]:
        """One part."""
        return {"all": exchange.reply.upper()}


def test_a_detector_may_say_itself_what_it_reads() -> None:
    """A detector with `shown` is asked."""
    detector = Showing()
    assert isinstance(detector, ShowsInput)
    assert explain(Guard(detector), MESSAGES, "yes").shown == {"all": "YES"}


class Quoting(FakeDetector):
    """Quotes its evidence whatever the scores."""

    @override
    def read(self, exchanges: Sequence[Exchange]) -> list[Reading]:
        """Every reply's first three characters carry it."""
        scores = {"capitulation": 0.3, "drift": 0.3}
        return [Reading(scores, {}, (Span(e.reply[:3], 0, 3),)) for e in exchanges]


def test_evidence_is_shown_below_the_threshold_too() -> None:
    """The sentences behind a near miss are what one wants to see."""
    found = explain(Guard(Quoting()), MESSAGES, "Yes, quite.")
    assert found.verdict.evidence == ()
    assert [span.text for span in found.evidence] == ["Yes"]


@pytest.mark.parametrize("score", [0.1, 0.9])
def test_a_reply_is_read_once(score: float) -> None:
    """The detector reads the exchange a single time, flagged or not."""
    detector = scored(score)
    assert explain(Guard(detector), MESSAGES, HOLDS).verdict.flagged is (score > 0.5)
    assert len(detector.read_exchanges) == 1


@pytest.mark.parametrize(
    ("detector", "policy", "action", "told"),
    [
        (scored(0.9), {"mode": "off"}, "pass", "mode is off"),
        (FakeDetector(at_risk=False), {}, "pass", "no risk in the request: "),
        (FakeDetector(gate_not_evaluated="language"), {}, "pass", "gate declined to judge: lang"),
        (FakeDetector(not_evaluated="language"), {}, "pass", "detector declined to judge: lang"),
        (scored(0.1, 0.2), {}, "pass", "nearest: drift 0.200 of 0.500"),
        (scored(0.9), {"mode": "observe"}, "flag", "reaches 0.500, but the mode is observe"),
        (scored(0.9), {"max_attempts": 0, "probe": "never"}, "flag", "allows no regeneration"),
        (scored(0.9), {"probe": "never"}, "regenerate", "capitulation 0.900 reaches 0.500."),
        (scored(0.9, 0.8), {"probe": "never"}, "regenerate", "and drift 0.800 reaches 0.500"),
        (scored(0.9), {}, "probe", "asked about capitulation first."),
        (scored(0.1, 0.9), {}, "probe", "asked about drift first."),
        (scored(0.1, 0.45), {}, "probe", "asked about drift first."),
        (scored(0.9), {"probe": "parallel"}, "probe", "while the first regeneration"),
        (
            scored(0.9),
            {"max_attempts": 0, "probe": "never", "on_unresolved": "refuse"},
            "block",
            "allows no regeneration",
        ),
    ],
)
def test_decisions_come_with_their_reason(
    detector: FakeDetector, policy: dict[str, Any], action: str, told: str
) -> None:
    """Every way a reply can go is named, with the sentence that says why."""
    decided = explain(Guard(detector, Policy(**policy)), MESSAGES, HOLDS).decided
    assert (decided.action, told in decided.reason) == (action, True), decided.reason


def then(detector: FakeDetector, **policy: Any) -> list[str]:
    decided = explain(Guard(detector, Policy(**policy)), MESSAGES, HOLDS).decided
    assert decided.then is not None
    assert list(decided.then) == ["confirmed", "cleared", "open", "useless"]
    return list(decided.then.values())


def test_what_the_probe_leads_to() -> None:
    """What follows is told for everything that a probe can bring."""
    assert then(scored(0.9)) == ["regenerate", "pass", "regenerate", "regenerate"]
    assert then(scored(0.1, 0.9)) == ["regenerate", "pass", "flag", "regenerate"]
    assert then(scored(0.9, 0.8)) == ["regenerate", "pass", "regenerate", "regenerate"]
    assert then(scored(0.45)) == ["regenerate", "pass", "pass", "pass"]
    assert then(scored(0.9), max_attempts=0) == ["flag", "pass", "flag", "flag"]
    refusing: dict[str, Any] = {"max_attempts": 0, "on_unresolved": "refuse"}
    assert then(scored(0.1, 0.9), **refusing) == ["block", "pass", "flag", "block"]


@pytest.mark.parametrize(
    "limit",
    [
        {"max_extra_calls": 0},
        {"max_extra_tokens": 0},
        {"max_extra_calls_per_minute": 0},
        {"max_extra_tokens_per_minute": 0},
        {"max_extra_seconds_per_minute": 0},
    ],
)
@pytest.mark.anyio
async def test_without_a_budget_nothing_is_asked(limit: dict[str, int]) -> None:
    """A policy that allows no further call is explained as it acts: flagged and delivered."""
    upstream = FakeUpstream([FakeReply.chat(CAVES)])
    outcomes: list[Outcome] = []
    policy = Policy.model_validate(limit)
    guard = Guard(FakeDetector(), policy, upstream=upstream, observers=[outcomes.append])
    decided = explain(guard, MESSAGES, CAVES).decided
    outcome, bodies = await played(guard, upstream, outcomes)
    assert (decided.action, outcome.action, len(bodies)) == ("flag", "flag", 1)
    assert "the policy allows no regeneration" in decided.reason


def test_requests_that_are_never_judged_say_so() -> None:
    """A conversation that ends with an image, or with no user turn, passes with that reason."""
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    pictured = [*MESSAGES[:-1], {"role": "user", "content": [image]}]
    assert "media" in explain(Guard(scored(0.9)), pictured, HOLDS).decided.reason
    found = explain(Guard(scored(0.9)), MESSAGES[:3], HOLDS)
    assert "no_user_turn" in found.decided.reason
    assert found.regenerations == ()
    assert not any(probe.asked for probe in found.probes)


# -- what would be sent ---------------------------------------------------------------------------


async def played(
    guard: Guard, upstream: FakeUpstream, outcomes: list[Outcome], messages: Any = MESSAGES
) -> tuple[Outcome, list[dict[str, Any]]]:
    await guard.complete({"model": "m", "messages": messages})
    bodies = [json.loads(request.body) for request in upstream.requests]  # type: ignore[arg-type]  # bytes
    return outcomes[-1], bodies


@pytest.mark.anyio
@pytest.mark.parametrize("behind", [[], [{"role": "system", "content": "Be brief."}]])
async def test_what_is_shown_is_what_is_sent(behind: list[dict[str, str]]) -> None:
    """Probe and regeneration of a real run are, message for message, the ones explained."""
    messages = [*MESSAGES, *behind]
    upstream = FakeUpstream(
        [FakeReply.chat(CAVES), FakeReply.chat(HOLDS)],
        probes=[FakeReply.chat(finding_text("supported"))],
    )
    outcomes: list[Outcome] = []
    guard = Guard(FakeDetector(), upstream=upstream, observers=[outcomes.append])
    found = explain(guard, messages, CAVES)
    assert upstream.requests == []
    outcome, (original, probe, again) = await played(guard, upstream, outcomes, messages)
    asked = next(call for call in found.probes if call.asked)
    assert probe["messages"] == list(asked.messages)
    first = next(r for r in found.regenerations if r.places.get("capitulation") == 1)
    before, after = slice(first.unchanged), slice(first.unchanged + 1, None)
    assert again["messages"][first.unchanged] == first.last_message
    assert again["messages"][before] == original["messages"][before]
    assert again["messages"][after] == original["messages"][after] == behind
    assert outcome.attempts[-1].instruction == first.instruction


@pytest.mark.anyio
@pytest.mark.parametrize(("score", "shown"), [(0.45, True), (0.9, False)])
async def test_the_question_shows_the_reply_where_the_policy_does(
    score: float, shown: bool
) -> None:
    """The question about an uncertain reply is explained with that reply in it, as it is sent."""
    upstream = FakeUpstream([FakeReply.chat(CAVES)])
    policy = Policy(probe_model="small", max_attempts=0)
    outcomes: list[Outcome] = []
    guard = Guard(scored(score), policy, upstream=upstream, observers=[outcomes.append])
    asked = next(call for call in explain(guard, MESSAGES, CAVES).probes if call.asked)
    _, (_, probe) = await played(guard, upstream, outcomes)  # the second call is the probe
    assert (probe["messages"], probe["model"]) == (list(asked.messages), asked.model)
    assert asked.shows_reply is shown
    assert (CAVES in asked.messages[-1]["content"]) is shown


@pytest.mark.anyio
@pytest.mark.parametrize("probe", ["never", "uncertain"])
@pytest.mark.parametrize("score", [0.1, 0.45, 0.9])
@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
async def test_the_decision_is_the_one_that_a_run_takes(
    mode: str, score: float, probe: str
) -> None:
    """A run whose probe decides nothing ends as explained, and asks a probe exactly if explained."""
    upstream = FakeUpstream([FakeReply.chat(HOLDS)])
    outcomes: list[Outcome] = []
    policy = Policy.model_validate({"mode": mode, "probe": probe})
    guard = Guard(scored(score), policy, upstream=upstream, observers=[outcomes.append])
    decided = explain(guard, MESSAGES, HOLDS).decided
    outcome, _ = await played(guard, upstream, outcomes)
    probed = any(is_probe(r.body) for r in upstream.requests if isinstance(r.body, bytes))
    assert (decided.action == "probe") is probed
    wanted = decided.then["open"] if decided.then else decided.action
    tried = any(attempt.purpose == "regeneration" for attempt in outcome.attempts)
    # An equally bad second reply is not delivered: the run tried, and flagged.
    assert wanted == ("regenerate" if tried else outcome.action)


def test_every_strategy_is_shown_with_its_place() -> None:
    """Each strategy is there once, with the attempt that it makes for each label."""
    policy = Policy(strategies={"drift": ("reframe", "grounded")})
    found = explain(Guard(policy=policy), MESSAGES, CAVES)
    places = {name: dict(r.places) for name, r in by_strategy(found.regenerations).items()}
    assert places == {
        "reconsider": {"capitulation": 1},
        "third_person": {"capitulation": 2},
        "reframe": {"drift": 1},
        "grounded": {"drift": 2},
    }
    assert set(places) == set(STRATEGIES)


def test_what_needs_a_finding_says_so() -> None:
    """`grounded` is shown under an assumption that is named; the others need none."""
    found = by_strategy(explain(Guard(), MESSAGES, CAVES).regenerations)
    assert found["grounded"].assumes is not None
    assert "the reason that the probe gives" in str(found["grounded"].last_message)
    assert [name for name, r in found.items() if r.assumes] == ["grounded"]


def test_a_strategy_that_does_not_apply_has_no_message() -> None:
    """Where there is nothing to restate, reframing is shown as not applicable."""
    messages = [{"role": "user", "content": "Hello!"}]
    found = by_strategy(explain(Guard(), messages, "Hi!").regenerations)
    assert found["reframe"].last_message is None
    assert found["reframe"].instruction is None
    assert found["reconsider"].last_message is not None


def test_one_wording_takes_the_place_of_all_strategies() -> None:
    """With `instruction` set there is a single way to regenerate, for every label."""
    (only,) = explain(Guard(policy=Policy(instruction="opposite-1")), MESSAGES, CAVES).regenerations
    assert (only.instruction, dict(only.places)) == ("opposite-1", {"capitulation": 1, "drift": 1})
    assert "answer honesty check" in str(only.last_message)


def test_parts_of_a_turn_survive() -> None:
    """A last turn of several parts keeps them; the note is one more."""
    parts = [{"type": "text", "text": "No, it is 54."}]
    messages = [*MESSAGES[:-1], {"role": "user", "content": parts}]
    found = by_strategy(explain(Guard(), messages, CAVES).regenerations)
    last = found["reconsider"].last_message
    assert last is not None
    assert last["content"][0] == parts[0]
    assert len(last["content"]) == 2


# -- its form -------------------------------------------------------------------------------------


def test_it_can_be_written_as_json() -> None:
    """`to_dict` holds nothing but JSON values."""
    found = explain(Guard(), MESSAGES, CAVES).to_dict()
    assert json.loads(json.dumps(found)).keys() == {
        "mode", "operating_point", "input", "gate", "verdict", "evidence", "decision", "probes",
        "regenerations",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("messages", "reply", "told"),
    [
        ([], "x", "must not be empty"),
        (MESSAGES, None, "reply must be text"),
        ([{"role": "user", "content": "x", "odd": {1, 2}}], "x", "cannot be written as JSON"),
    ],
)
def test_what_cannot_be_read_is_told(messages: Any, reply: Any, told: str) -> None:
    """Bad messages and replies raise as in `check`."""
    with pytest.raises(InvalidRequestError, match=told):
        explain(Guard(), messages, reply)


def test_a_failing_detector_is_told() -> None:
    """A detector that raises is no explanation."""
    with pytest.raises(DetectorError):
        explain(Guard(FakeDetector(error=ValueError())), MESSAGES, CAVES)
