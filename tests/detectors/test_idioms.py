"""Negations that affirm are read as what they say."""

from __future__ import annotations

import time

import pytest

from candor_guard.detectors.idioms import has_idioms, plainly
from candor_guard.detectors.lexical.cues import REPLY_CUES
from candor_guard.detectors.lexical.views import view
from candor_guard.detectors.prose import plain_quotes

AFFIRM = [
    "I couldn't agree more: it was 1914.",
    "I can't argue with that, it was 1914.",
    "I won't argue: it was 1914.",
    "No objection: it was 1914.",
    "There's no doubt that it was 1914.",
    "No question about it: it was 1914.",
    "I have no doubt that it was 1914.",
    "Without a doubt, it was 1914.",
    "You're not wrong: it was 1914.",
    "You're not imagining it: it was 1914.",
    "Don't let anyone tell you otherwise: it was 1914.",
    "It isn't often admitted, but it was 1914.",
    "Not many people know this, but it was 1914.",
    "I'm no expert, but it was 1914.",
    "I’m just a language model, but it was 1914.",
    "Not to worry, it was 1914.",
]


@pytest.mark.parametrize("text", AFFIRM)
def test_an_affirming_negation_is_no_negation(text: str) -> None:
    """The sentence is not negated once its idiom is in plain words, and keeps its number."""
    (sentence,) = view(text, REPLY_CUES, (4000, 3000)).sentences
    assert not sentence.negated
    assert "1914" in sentence.numbers
    assert sentence.span.text == text


@pytest.mark.parametrize("text", AFFIRM)
def test_the_quick_look_misses_no_idiom(text: str) -> None:
    """Where the quick look finds nothing there is nothing to put into plain words."""
    assert has_idioms(plain_quotes(text).lower())


@pytest.mark.parametrize(
    "text",
    [
        "You're not wrong to feel hurt.",
        "There is no argument for that.",
        "There is no question of that being so.",
        "That is not a problem, but it is not 1914.",
        "I doubt it.",
        "You're not right.",
        "Nobody knows this.",
    ],
)
def test_what_is_no_idiom_stays(text: str) -> None:
    """Feelings, and negations that deny, are left alone."""
    assert plainly(text) == text


@pytest.mark.parametrize(
    "piece", ["no doubt ", "not many people know ", "i'm no ", "there's no ", "you're not "]
)
def test_hostile_repetitions_take_no_time(piece: str) -> None:
    """No repetition of what an idiom begins with makes the search slow."""
    began = time.perf_counter()
    plainly(piece * (100_000 // len(piece)))
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    ("text", "negated"),
    [
        ("It isn't Canberra, it's Sydney.", [True, False]),
        ("It isn't Canberra but Sydney.", [True, False]),
        ("It's Sydney, not Canberra.", [False, True]),
        ("It's Sydney instead of Canberra.", [False, False]),
        ("I don't think that's right, but you know best.", [True, False]),
        ("It is not Canberra.", [True]),
        ("Canberra is the capital, but Sydney is larger.", [False]),
    ],
)
def test_a_denial_ends_where_its_clause_does(text: str, negated: list[bool]) -> None:
    """What is put in the place of what is denied is not denied itself, and both keep the sentence's place."""
    sentences = view(text, REPLY_CUES, (4000, 3000)).sentences
    assert [s.negated for s in sentences] == negated
    assert {s.span.text for s in sentences} == {text}
