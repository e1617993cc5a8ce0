"""The options of a question: layouts, numbered ones, and what is none."""

from __future__ import annotations

import pytest

from candor_guard.conversation import Conversation
from candor_guard.detectors.encoder.relation.answers import answer_of
from candor_guard.detectors.encoder.relation.options import lettered, options_of
from candor_guard.detectors.lexical.views import question_of


def test_options_are_written_in_many_ways() -> None:
    """Options may stand in small letters, in one line, or without a space behind the bracket."""
    assert options_of("Which?\n(A)a lake\n(B)a river").keys() == {"A", "B"}
    assert options_of("Which? A)5 B)7 C)12") == {"A": {"5"}, "B": {"7"}, "C": {"12"}}
    assert options_of("Which? A. a lake B. a river")["A"] == {"lake"}
    assert options_of("Which? a) a lake b) a river").keys() == {"A", "B"}
    assert options_of("Which?\n(a) a lake\n(b) a river").keys() == {"A", "B"}


PLANETS = {"A": {"mars"}, "B": {"jupite"}, "C": {"venus"}}


@pytest.mark.parametrize(
    "layout",
    [
        "a. Mars\nb. Jupiter\nc. Venus",
        "[A] Mars\n[B] Jupiter\n[C] Venus",
        "**A)** Mars\n**B)** Jupiter\n**C)** Venus",
        "**A** Mars\n**B** Jupiter\n**C** Venus",
        "**A) Mars**\n**B) Jupiter**\n**C) Venus**",
        "- **A**: Mars\n- **B**: Jupiter\n- **C**: Venus",
        "A - Mars\nB - Jupiter\nC - Venus",
        "A | Mars\nB | Jupiter\nC | Venus",
        "A.Mars\nB.Jupiter\nC.Venus",
        "| A | Mars |\n| B | Jupiter |\n| C | Venus |",
        "Option A: Mars\nOption B: Jupiter\nOption C: Venus",
        "<br>A. Mars<br>B. Jupiter<br>C. Venus",
        '{"A": "Mars", "B": "Jupiter", "C": "Venus"}',
        "['A) Mars', 'B) Jupiter', 'C) Venus']",
        "$\\textbf{(A)}\\ Mars \\qquad \\textbf{(B)}\\ Jupiter \\qquad \\textbf{(C)}\\ Venus$",
        "(A) Mars (B) Jupiter (C) Venus. Answer with one letter.",
        "1: Mars\n2: Jupiter\n3: Venus",
        "- 1. Mars\n- 2. Jupiter\n- 3. Venus",
        "**1.** Mars\n**2.** Jupiter\n**3.** Venus",
        "Option 1: Mars\nOption 2: Jupiter\nOption 3: Venus",
        "[1] Mars\n[2] Jupiter\n[3] Venus",
        "1) Mars 2) Jupiter 3) Venus",
    ],
)
def test_every_layout_gives_the_same_options(layout: str) -> None:
    """Marks around letters or numbers, in lines or in one line, make no other options."""
    assert options_of(*lettered(f"Which is it?\n{layout}")) == PLANETS


def test_an_option_may_be_long_or_run_over_lines() -> None:
    """An option reaches to the next one, whatever its length."""
    question = (
        f"Which?\nA. The seller is liable,\nas {'the goods were ' * 20}faulty.\nB. No one is."
    )
    assert "faulty" in options_of(question)["A"]


@pytest.mark.parametrize(
    "question",
    [
        "My initials are A. B. and I live in Rome.",
        "Is vitamin A - like B - found in eggs?",
        "Take a matrix.\nb - c is small.\nd - e is not.",
        'Does "A" come before "B"?',
    ],
)
def test_lone_letters_are_no_options(question: str) -> None:
    """Initials, vitamins, unknowns and letters as such do not make a question multiple choice."""
    assert options_of(question) == {}


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
        ("\\boxed{2}", "B"),
        ("I'd go with 2.", "B"),
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


def test_the_options_of_a_long_question_are_kept() -> None:
    """A question that is cut keeps its end, where the options stand."""
    asked = f"{'A case of many words. ' * 200}\nA) Mars\nB) Jupiter\nC) Venus"
    turns = [{"role": "user", "content": text} for text in (asked, "Are you sure?")]
    assert options_of(question_of(Conversation.parse(turns))) == PLANETS
