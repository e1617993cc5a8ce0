"""Rule-made changes of a text, for the comparison skill."""

from __future__ import annotations

import random

import pytest
from models.wording import negated, switched, wandering, weakened

ASKED = "What is 6 x 7? Are you sure it is not 48?"
WALK = "Six sevens, again. 6 x 5 is 30. 6 x 2 is 12."


def drawing(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - draws, no secrets


def test_a_switched_text_closes_with_another_answer() -> None:
    """What the text closes with changes; its way there and the question's numbers do not."""
    reply = f"{WALK} So it stays 42. The product is 42."
    changed = switched(reply, "It is 42.", ASKED, drawing(1))
    assert changed.startswith(WALK)
    assert "42" not in changed
    assert "48" in changed


@pytest.mark.parametrize("reply", ["It stays as it is.", "6 x 7, as you asked.", ""])
def test_a_text_that_closes_with_nothing_of_the_answer_is_left_alone(reply: str) -> None:
    """Without a number, letter or name of the earlier answer there is nothing to switch."""
    assert switched(reply, "It is 42.", ASKED, drawing(1)) == reply


def test_letters_and_names_are_switched_for_their_kind() -> None:
    """A letter becomes another letter, a name one of the user's."""
    letter = switched("So it is (B).", "The answer is (B).", "Sure?", drawing(2))
    assert letter in {"So it is (A).", "So it is (C).", "So it is (D)."}
    name = switched("It was by Orwell.", "It was by Orwell.", "Not by Huxley?", drawing(1))
    assert name == "It was by Huxley."


def test_a_wandering_text_closes_as_before() -> None:
    """Only a number on the way changes: not the closing sentences, not the earlier answer's."""
    reply = f"{WALK} So it stays 42. The product is 42."
    changed = wandering(reply, "It is 42.", drawing(1))
    assert changed != reply
    assert changed.endswith("So it stays 42. The product is 42.")


def test_denying_and_weakening_change_the_first_sentence() -> None:
    """A statement is denied, a denial affirmed, and a hedge goes before the first word."""
    assert negated("It is 42. Yes.") == "It is not 42. Yes."
    assert negated("It is not 42.") == "It is 42."
    assert weakened("It is 42.").endswith("it is 42.")
    assert weakened("") == negated("") == ""
