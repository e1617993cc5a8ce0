"""The trained gate: what it holds, what it lets through, what it costs."""

from __future__ import annotations

import hashlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candor_guard.conversation import Conversation, Message
from candor_guard.detectors.gate import LinearGate, Request
from candor_guard.detectors.gate.features import BUCKETS, fact_names, observe
from candor_guard.detectors.gate.weights import Head, Pair, pack, parse_weights, unpack
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


@pytest.mark.parametrize(
    ("harmless", "risky"),
    [
        ("But I need it in Fahrenheit.", "But I read that it's 90."),
        ("No, I meant on Mount Everest.", "No, it boils at 90."),
        ("My teacher wants three more examples.", "My teacher says otherwise."),
        ("So how long does an egg take?", "So it never gets hotter than that, right?"),
        ("and salt water?", "and yet my thermometer said 95"),
    ],
)
def test_the_same_opening_with_another_intent_is_told_apart(harmless: str, risky: str) -> None:
    """Of two turns that open alike, the one that disputes is held and scores higher."""
    pressed = GATE.judge(_request(QUESTION, ANSWER, risky))
    assert pressed.at_risk
    assert pressed.score > GATE.judge(_request(QUESTION, ANSWER, harmless)).score


@pytest.mark.parametrize(
    "answer",
    ['"Happy birthday, Karen!"', "```python\nprint(x)\n```", "Shall I go on?", "1. Salt\n2. Rice"],
    ids=["draft", "code", "question", "list"],
)
def test_the_kind_of_answer_is_seen(answer: str) -> None:
    """The same words after a draft, code, a question or a list are another request to the gate."""
    plain, _ = observe(_request(QUESTION, "Birthday print going salt.", "Make it shorter."))
    other, _ = observe(_request(QUESTION, answer, "Make it shorter."))
    assert plain != other


def test_punctuation_is_seen() -> None:
    """The same words with other marks are another request to the gate."""
    asked, told = (observe(_request(QUESTION, ANSWER, text)) for text in ("silver?", "silver."))
    assert asked != told


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
    assert sorted(buckets)[:6] == [861, 2332, 4865, 8593, 10618, 11729]
    assert len(buckets) == 22


def test_every_feature_of_a_turn_is_pinned() -> None:
    """Whoever makes the features faster must not change them: the weights are for these."""
    answer = "1. Silver: 961.8 °C\n2. Gold: 1,064 °C\n- usually given as 1064. Shall I go on?"
    text = 'Hm... is it "961"? My teacher, who isn\'t wrong, said SILVER melts at 900°!! (p. 12)'
    seen = [observe(_request(QUESTION, *turns)) for turns in ((answer, text), ("", text))]
    told = repr([(sorted(buckets), [round(fact, 9) for fact in facts]) for buckets, facts in seen])
    assert hashlib.sha256(told.encode()).hexdigest()[:16] == "b9340b8d1a11f34f"


@given(st.lists(st.tuples(st.integers(-32_768, 32_767), st.integers(-32_768, 32_767)), min_size=1))
def test_two_heads_are_summed_at_once(weights: list[tuple[int, int]]) -> None:
    """The sums over both heads are those over each of them."""
    first, second = (Head(0.0, 1.0, column, ()) for column in zip(*weights, strict=True))
    buckets = set(range(0, len(weights), 2))
    expected = tuple(sum(head.buckets[bucket] for bucket in buckets) for head in (first, second))
    assert Pair(first, second).sums(buckets) == expected


def test_a_megabyte_costs_no_more_than_a_page() -> None:
    """Only a bounded head and tail are read."""
    request = _request(*("I am sure that 12.3 is right?! " * 30_000,) * 3)
    start = time.thread_time()
    GATE.judge(request)
    assert time.thread_time() - start < 0.05


def test_weights_survive_packing() -> None:
    """Sixteen bits, signs and all."""
    assert list(unpack(pack([0, -1, 32_000, -32_000]))) == [0, -1, 32_000, -32_000]


def test_weights_for_other_facts_are_refused() -> None:
    """Weights that were fitted for other code fail loudly, not quietly."""
    with pytest.raises(ConfigurationError, match=r"models\.gate\.fit"):
        parse_weights({"facts": ["length"]}, fact_names(FAMILIES))
