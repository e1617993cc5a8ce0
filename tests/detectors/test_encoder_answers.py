"""What a text lands on: option letters, numbers, boxes."""

from __future__ import annotations

import time

import pytest

from candor_guard.detectors.encoder.relation.answers import (
    Answer,
    answer_of,
    lettered,
    options_of,
    without_farewell,
)

RIVERS = options_of("Which one?\nA) a mountain range\nB) a river in Egypt\nC) a desert\nD) a lake")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("C", "C"),
        (" (b) ", "B"),
        ("**D**", "D"),
        ("We weigh (A) first, but the answer is (C).", "C"),
        ("(A) is too high and (D) too flat. Therefore, the correct answer is **B**.", "B"),
        ("Looking again: the correct choice is still C) a desert.", "C"),
        ("I looked at (A) and (C). I stand by (B).", "B"),
        ("It does flow north, so it's B.", "B"),
        ("(B) is right, and my A was wrong.", "B"),
        ("At first I said A. B, the river in Egypt, is the correct one.", "B"),
        ("Given all this: C it is, with apologies for the curt letter.", "C"),
        ("Thus (D).", "D"),
        ("The final answer is $\\boxed{(B)}$.", "B"),
        ("\\boxed{\\text{C}}", "C"),
        ("B) a river in Egypt\n\nIt flows north for most of its length.", "B"),
        ("D. It has no outflow, which is what makes it salty.", "D"),
        ("I went through all of them. You made me check, and it says: **B**, once more.", "B"),
        ("It is clearly the river in Egypt.", "B"),
        ("The letter stays the same. B again.", "B"),
        ("So A instead of B.", "A"),
        ("Taking this into account, the correct answer is c) a desert.", "C"),
        ("b) a river in Egypt", "B"),
        ("I'm changing my answer from (B) to (D).", "D"),
        ("The correct answer is neither (A) nor (C), but (B).", "B"),
        ("So it is not (C) but (B). Sorry for the confusion.", "B"),
        ("Sorry. The correct answer is indeed (C) a desert. Thank you! (B) would be wet.", "C"),
        ("The answer is (B) a river. Options (A), (C) and (D) can be ruled out.", "B"),
        ("I previously said (B), but (C) fits better. I'm sorry. Is there anything else?", "C"),
        ("The only option that fits is (D). (B) is a river. (C) is dry.", "D"),
        ("The correct response is (C). (B) needs water. (A) needs rock.", "C"),
        ("(D) seems to be more accurate. In (B), the water flows. In (A), too.", "D"),
        ("Thus \\boxed{\\textbf{(C) }a desert}.", "C"),
        ("Thus \\boxed{C) a desert}", "C"),
    ],
)
def test_a_stated_or_closing_letter_is_found(text: str, letter: str) -> None:
    """A letter counts where the text states it or closes with it."""
    assert answer_of(text, RIVERS).letter == letter


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The answer is a bit more complicated than that.",
        "Let me go through them.\n(A) is dry. (B) is wet. (C) is dry.\nNothing else to add here. "
        "That is all I can say about it. I would look it up.",
        "It is 30 °C, at most. It feels like more.",
        "So (A) is impossible. One would have to look at the map. I cannot from here.",
        "I'd say E.",
    ],
)
def test_a_letter_that_is_only_discussed_does_not_count(text: str) -> None:
    """A letter on the way, an article, a unit, or one that no option has, is no answer."""
    assert answer_of(text, RIVERS).letter == ""


@pytest.mark.parametrize(
    "text", ["I'd put (B) and (D) on a par now.", "It depends. So A or B, whichever you like."]
)
def test_a_text_that_closes_with_two_options_is_torn(text: str) -> None:
    """Two options at the end and none stated: the text is torn and has no letter."""
    found = answer_of(text, RIVERS)
    assert (found.torn, found.letter) == (True, "")


@pytest.mark.parametrize(
    ("text", "number", "stated"),
    [
        ("So 3 + 4 = 7. The answer is 12.", "12", True),
        ("Therefore \\boxed{1,250.50}", "1250.5", True),
        ("Hence $\\boxed{\\frac{3}{4}}$", "3/4", True),
        ("It adds up to 7 = 7", "7", False),
        (
            "First 2 + 2 = 4. Then there is more to say. It leaves 9 on Monday. So 5 + 4 = 9 in 2 days.",
            "9",
            False,
        ),
        ("#### 42", "42", True),
        ("So we have $\\boxed{2^7 = 128}$.", "128", True),
        ("\\boxed{720^\\circ}", "720", True),
        ("So the final answer is 1/2.", "1/2", True),
        ("They left in 1994.", "1994", False),
        ("It is 42 in all. I hope this helps! If you have 2 more questions, ask.", "42", False),
        ("So it is 18, not 15.", "18", False),
        ("Thus the train takes 2.5 hours (150 minutes).", "2.5", False),
        ("I made a mistake; it should be 18 instead of 15.", "18", True),
        ("We find $y = 4$ and $x = 3$. So the sum is 7.", "7", False),
        ("My answer of 15 is right. The 3 ends count twice.", "15", True),
    ],
)
def test_a_final_number_is_found(text: str, number: str, stated: bool) -> None:
    """A number counts as stated in a box or after the word; else the last equation's or the last."""
    found = answer_of(text, {})
    assert (found.number, found.stated) == (number, stated)


def test_options_are_written_in_many_ways() -> None:
    """Options may stand in small letters, in one line, or without a space behind the bracket."""
    assert options_of("Which?\n(A)a lake\n(B)a river").keys() == {"A", "B"}
    assert options_of("Which? A)5 B)7 C)12") == {"A": set(), "B": set(), "C": set()}
    assert options_of("Which? A. a lake B. a river")["A"] == {"lake"}
    assert options_of("Which? a) a lake b) a river").keys() == {"A", "B"}
    assert options_of("Which?\n(a) a lake\n(b) a river").keys() == {"A", "B"}


def test_without_options_there_is_no_letter() -> None:
    """Where the question offers no options, a letter is a name."""
    assert answer_of("The answer is (C).", {}) == Answer()


def test_every_beginning_of_a_text_can_be_read() -> None:
    """A stream's beginnings are read like whole texts, one character longer each time."""
    text = "Let's see: (A) no. \\boxed{(B)} It's $\\boxed{\\frac{1}{2}}$, so the answer is **(B)**."
    letters = [answer_of(text[:end], RIVERS).letter for end in range(len(text) + 1)]
    assert letters[0] == ""
    assert letters[-1] == "B"


@pytest.mark.parametrize(
    "unit",
    ["(A) ", "answer is ", "\\boxed{", "so so ", "correct is the the ", "A) x\n", "**", "B, "],
)
def test_no_text_makes_it_slow(unit: str) -> None:
    """Six thousand characters of anything take a few milliseconds, not seconds."""
    text = (unit * 6_000)[:6_000]
    start = time.perf_counter()
    answer_of(text, RIVERS)
    assert time.perf_counter() - start < 0.5


NUMBERED = "Which one?\n1. a mountain range\n2. a river in Egypt\n3) a desert"


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("2", "B"),
        ("2. A river in Egypt", "B"),
        ("The correct answer is option 3.", "C"),
        ("Therefore (1) is correct.", "A"),
        ("The answer is 2, as I said.", "B"),
        ("It has 2 arms. The answer: 3", "C"),
    ],
)
def test_numbered_options_are_read_as_letters(text: str, letter: str) -> None:
    """Options numbered from 1 are spelled as letters, in the question and in texts on it."""
    question, spelled = lettered(NUMBERED, text)
    assert answer_of(spelled, options_of(question)).letter == letter


@pytest.mark.parametrize(
    "question",
    ["What are 2. and 3. in French?", "A) one\nB) two\nwith\n1. this\n2. that", "Only\n1. this"],
)
def test_other_numbers_stay_numbers(question: str) -> None:
    """Without a list from 1, or beside lettered options, numbers are left alone."""
    assert lettered(question, "option 2") == (question, "option 2")


def test_a_text_of_farewells_only_keeps_one_sentence() -> None:
    """Wishes go from the end, and something always stays."""
    assert without_farewell("It is 4. Thank you! Let me know.") == "It is 4."
    assert without_farewell("I hope this helps! Let me know.") == "I hope this helps!"
    assert without_farewell("") == ""
