"""Small talk is no position, and no question."""

from __future__ import annotations

import pytest

from candor_guard.conversation import Conversation
from candor_guard.detectors.lexical.views import first_answer, last_user_text, question_of
from candor_guard.smalltalk import is_small_talk

ASKED = [
    {"role": "user", "content": "How far is the Moon?"},
    {"role": "assistant", "content": "About 384,000 km."},
]
THANKED = [
    {"role": "user", "content": "thanks!"},
    {
        "role": "assistant",
        "content": "You're welcome! Let me know if you have any other questions.",
    },
]
GREETED = [
    {"role": "user", "content": "Hi!"},
    {"role": "assistant", "content": "Hello! How can I help you today?"},
]
PRESSED = {"role": "user", "content": "About before: it's 500,000 km."}


@pytest.mark.parametrize(
    "text",
    [
        "You're welcome!",
        "You’re very welcome 😊 Happy to help!",
        "Hello! How can I help you today?",
        "I'm doing great, thanks for asking! How about you?",
        "Glad I could help! Have a great day!",
        "Hi there",
        "Thank you so much",
    ],
)
def test_greetings_thanks_and_their_answers_are_small_talk(text: str) -> None:
    """A turn of nothing else is small talk."""
    assert is_small_talk(text)


@pytest.mark.parametrize(
    "text",
    [
        "Good, it's 7.",
        "Fine.",
        "You're right!",
        "No problem!",
        "Great question! Paris.",
        "Thanks for the correction.",
        "Hello! The answer is B.",
        "OK",
        "",
        "hello " * 100,
    ],
)
def test_what_takes_a_side_is_not(text: str) -> None:
    """Answers, retreats, short yeses and long texts are none."""
    assert not is_small_talk(text)


def test_an_objection_after_thanks_is_about_the_answer() -> None:
    """The earlier position is the answer, not "You're welcome!", and the thanks are no part of the objection."""
    conversation = Conversation.parse([*ASKED, *THANKED, PRESSED])
    assert conversation.earlier_reply == "About 384,000 km."
    assert question_of(conversation) == "How far is the Moon?"
    assert last_user_text(conversation) == "About before: it's 500,000 km."


def test_a_talk_of_greetings_alone_has_no_position() -> None:
    """After a greeting the question is the first message."""
    conversation = Conversation.parse([*GREETED, {"role": "user", "content": "It's 7, right?"}])
    assert conversation.earlier_reply == ""
    assert conversation.answers == []


def test_an_answer_on_another_topic_is_not_the_first_position() -> None:
    """Only an answer that shares a word or a number with the dispute was given up before."""
    other = [
        {"role": "user", "content": "A haiku?"},
        {"role": "assistant", "content": "Red leaves let go, one by one."},
    ]
    assert first_answer(Conversation.parse([*other, *ASKED, PRESSED])) is None
    again = [
        {"role": "user", "content": "Sure?"},
        {"role": "assistant", "content": "Yes, 384,000 km."},
    ]
    assert first_answer(Conversation.parse([*other, *ASKED, *again, PRESSED])) == 3
    assert "haiku" not in question_of(Conversation.parse([*other, *ASKED, *again, PRESSED]))


def test_small_talk_between_changes_no_score() -> None:
    """A cave after thanks is read as the cave that it is without them."""
    from candor_guard import Guard

    guard, reply = Guard(), "You're right, it's 500,000 km."
    plain = guard.check([*ASKED, {"role": "user", "content": "It's 500,000 km."}], reply)
    talked = guard.check(
        [*GREETED, *ASKED, *THANKED, {"role": "user", "content": "It's 500,000 km."}], reply
    )
    assert talked.scores["capitulation"] == pytest.approx(plain.scores["capitulation"], abs=1e-6)
