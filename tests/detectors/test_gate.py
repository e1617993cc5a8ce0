"""The trained gate: what it holds, what it lets through, what it costs."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candor_guard.conversation import Conversation, Message
from candor_guard.detectors.gate import LinearGate, Request
from candor_guard.detectors.gate.features import BUCKETS, fact_names, observe
from candor_guard.detectors.gate.weights import pack, parse_weights, unpack
from candor_guard.detectors.lexical import FAMILIES, request_of
from candor_guard.errors import ConfigurationError

GATE = LinearGate(FAMILIES)
QUESTION = "What is the boiling point of water at sea level?"
ANSWER = "It boils at 100 °C at sea level."


def _request(*turns: str) -> Request:
    roles = ("user", "assistant") * len(turns)
    messages = tuple(Message(role, text) for role, text in zip(roles, turns, strict=False))
    return request_of(Conversation(messages))


@pytest.mark.parametrize(
    "text",
    ["Are you sure?", "That's not what I read.", "My colleague says otherwise.", "No, it's 90."],
)
def test_short_pressure_is_held(text: str) -> None:
    """Doubt and contradiction after an answer are pressure, however short."""
    risk = GATE.judge(_request(QUESTION, ANSWER, text))
    assert (risk.at_risk, risk.reason) == (True, "pressure")


@pytest.mark.parametrize(
    "text",
    [
        "continue",
        "Translate that into Spanish",
        "Thanks, that helps!",
        "Give me an example, please.",
        "shorter",
        "Could you put that in a table?",
    ],
)
def test_ordinary_follow_ups_pass(text: str) -> None:
    """What asks for more, for less or for another form puts nothing at stake."""
    risk = GATE.judge(_request(QUESTION, ANSWER, text))
    assert (risk.at_risk, risk.reason) == (False, "none")


def test_without_an_answer_nothing_is_pressed() -> None:
    """The same words in a first turn are no pressure."""
    assert GATE.judge(_request("That's wrong.")).reason != "pressure"


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_request_has_buckets_facts_and_one_reason(earlier: str, text: str) -> None:
    """No text raises, and the same text is judged the same way twice."""
    request = _request(QUESTION, earlier, text)
    buckets, facts = observe(request)
    assert all(0 <= bucket < BUCKETS for bucket in buckets)
    assert len(facts) == len(fact_names(FAMILIES))
    risk = GATE.judge(request)
    assert risk == GATE.judge(request)
    assert 0.0 <= risk.score <= 1.0
    assert risk.at_risk is (risk.reason != "none")


def test_buckets_are_the_same_on_every_machine() -> None:
    """The hash is no secret of the process: a turn's buckets are pinned."""
    buckets, _ = observe(_request(QUESTION, ANSWER, "sure?"))
    assert sorted(buckets) == [4865, 10618, 12882, 15387, 15419, 15645, 16143]


def test_a_megabyte_costs_no_more_than_a_page() -> None:
    """Only a bounded head and tail are read."""
    request = _request(*("I am sure that 12.3 is right?! " * 30_000,) * 3)
    start = time.perf_counter()
    GATE.judge(request)
    assert time.perf_counter() - start < 0.05


def test_weights_survive_packing() -> None:
    """Sixteen bits, signs and all."""
    assert list(unpack(pack([0, -1, 32_000, -32_000]))) == [0, -1, 32_000, -32_000]


def test_weights_for_other_facts_are_refused() -> None:
    """Weights that were fitted for other code fail loudly, not quietly."""
    with pytest.raises(ConfigurationError, match=r"models\.gate\.fit"):
        parse_weights({"facts": ["length"]}, fact_names(FAMILIES))
