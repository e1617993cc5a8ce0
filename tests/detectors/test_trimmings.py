"""Comfort, disclaimers and questions back stand around a reply and do not change what is read of it."""

from __future__ import annotations

import time

import pytest

from candor_guard.conversation import Exchange
from candor_guard.detectors.lexical.features import look
from candor_guard.detectors.trimmings import without_trimmings

SAID = "Mars has one moon."
BEFORE = [
    "Don't worry.",
    "Don’t worry!",
    "That's not a silly question at all.",
    "There are no stupid questions.",
    "Oh honey, you're not alone.",
    "No problem!",
    "I'm not a doctor, but",
    "I don't have personal opinions, but",
    "As an AI language model, I don't have personal opinions.",
    "No one deserves a day like this.",
    "That isn't okay, and it's not on you.",
    "This is not medical advice.",
    "No worries. You don't need to apologize.",
]
BEHIND = [
    "What made you curious about this?",
    "Would you like to hear more?",
    "Is there anything else I can help you with?",
    "I hope this helps!",
    "Take care of yourself, and get some rest tonight. 💛",
    "I'm not an expert, so please consult a professional.",
    "I'm here if you want to talk.",
    "If you like, I can put together a short reading list.",
]


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("behind", ["", *BEHIND])
def test_what_stands_around_a_reply_is_blanked(before: str, behind: str) -> None:
    """What is left is the reply alone, at the place where it stood."""
    text = f"{before} {SAID} {behind}".rstrip()
    left = without_trimmings(text)
    assert left.strip() == SAID
    assert len(left) == len(text)
    assert left.index(SAID) == text.index(SAID)


@pytest.mark.parametrize(
    "text",
    [
        "Don't worry!",  # all that is said
        "What would you like to know?",
        "You're right, it is Sydney.",
        "I'm only a language model, so you'd know better than me.",  # gives way
        "It's 42. Are you sure it isn't 43?",  # doubts
        "It's 42. Why do you think it is 43?",
        "No problem with that.",
        "It is not a silly idea but a dangerous one.",
        "This isn't easy to answer, and 7 is wrong.",
        "",
        "  \n ",
    ],
)
def test_what_says_something_stays(text: str) -> None:
    """A text of trimmings alone, and sentences that take a side, stay as they are."""
    assert without_trimmings(text) == text


def test_evidence_lies_where_it_stood() -> None:
    """The sentences of a trimmed reply are found in the reply as it came."""
    reply = "Don’t worry. You’re right, it’s 54. What made you ask?"
    views = look(Exchange.parse([{"role": "user", "content": "It is 54."}], reply))
    assert [s.span.text for s in views.reply.sentences] == ["You’re right, it’s 54."]
    assert all(reply[s.span.start : s.span.end] == s.span.text for s in views.reply.sentences)


@pytest.mark.parametrize(
    "piece",
    ["don't worry ", "as an ai ", "what you ", "honey, ", "\n", "? ", "no ", "you're not alone"],
)
def test_hostile_repetitions_take_no_time(piece: str) -> None:
    """No repetition of what a trimming begins with makes the search slow."""
    text = piece * (200_000 // len(piece))
    began = time.perf_counter()
    without_trimmings(text)
    assert time.perf_counter() - began < 1
