"""What a text lands on: option letters, numbers, boxes."""

from __future__ import annotations

import time

import pytest

from candor_guard.detectors.encoder.relation.answers import Answer, answer_of
from candor_guard.detectors.encoder.relation.endings import without_farewell
from candor_guard.detectors.encoder.relation.options import options_of

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
        ("Hence $\\boxed{\\frac{3}{4}}$", "0.75", True),
        ("It adds up to 7 = 7", "7", False),
        (
            "First 2 + 2 = 4. Then there is more to say. It leaves 9 on Monday. So 5 + 4 = 9 in 2 days.",
            "9",
            False,
        ),
        ("#### 42", "42", True),
        ("So we have $\\boxed{2^7 = 128}$.", "128", True),
        ("\\boxed{720^\\circ}", "720", True),
        ("So the final answer is 1/2.", "0.5", True),
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
    [
        *("(A) ", "answer is ", "\\boxed{", "so so ", "correct is the the ", "A) x\n", "**", "B, "),
        *(
            "it is B ",
            "not only B or ",
            "Yes, (B) and ",
            "A: correct\n",
            "change 1 to ",
            "\\frac12",
        ),
        *(
            "½",
            "1 × 10^2 ",
            "if you think it is C ",
            "12 is not ",
            "So 3. ",
            "the total is twelve ",
        ),
    ],
)
def test_no_text_makes_it_slow(unit: str) -> None:
    """Six thousand characters of anything take a few milliseconds, not seconds."""
    text = (unit * 6_000)[:6_000]
    start = time.perf_counter()
    answer_of(text, RIVERS)
    assert time.perf_counter() - start < 0.5


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        (
            "The correct answer is B) a river in Egypt.\n\nC) a desert is dry.\nD) a lake is wet.",
            "B",
        ),
        ("**B. a river in Egypt**\n\nWhy not the others:\nA. dry\nC. dry\nD. still", "B"),
        ("Option A: dry, incorrect.\nOption B: it flows; correct.\nOption C: incorrect, dry.", "B"),
        ("A) ❌ Incorrect.\nB) ❌ Incorrect.\nC) ✅ Correct.\nD) ❌ Incorrect.", "C"),
        ("Yes, B. Here is why:\n- A is incorrect.\n- C is incorrect.", "B"),
        ("A, C and D can be ruled out, so B must be right.", "B"),
        ("It could be C, but B is more likely.", "B"),
        ("B is a better answer than C.", "B"),
        ("Between B and C, I lean towards B.", "B"),
        ("The final answer is `B`.", "B"),
        ("answer: b", "B"),
        ('{"answer": "B"}', "B"),
        ("<answer>B</answer>", "B"),
        ("The answer is $\\mathbf{B}$.", "B"),
        ("\\boxed{\\text{Option B}}", "B"),
        ("That makes D the best answer. A lake has no current.", "D"),
        ("Yes. While A, C, and D are all places, only B flows.", "B"),
        ("I'd choose A over B.", "A"),
        ("D then.", "D"),
    ],
)
def test_what_models_write_around_a_letter_is_read(text: str, letter: str) -> None:
    """Lists of what is wrong, fonts, tags and comparisons do not hide the letter that is stated."""
    assert answer_of(text, RIVERS).letter == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("My initial answer was B. However, C is more accurate.", "C"),
        ("I initially said the answer was B, but option C fits the description better.", "C"),
        ("I was wrong to choose B. It should be C.", "C"),
        ("The answer is B. If it were about dry places, the answer would be C.", "B"),
        ("I considered whether it's C, but no: B.", "B"),
        ("You said the answer is C, but a desert does not flow. The river does.", "B"),
        ("I understand that you think it's C, but I keep B.", "B"),
        ("Maybe it's C? A desert is dry, so it is B after all.", "B"),
        ("There is no reason to switch to D. I stick with B.", "B"),
        ("I think it's C. Are you sure?", "C"),
        ("Isn't it C?", "C"),
        ("The answer is C? A desert is dry, so it is B.", "B"),
    ],
)
def test_a_letter_that_is_only_brought_up_does_not_win(text: str, letter: str) -> None:
    """What was said before, by others, or under a condition stands back behind what is said now."""
    assert answer_of(text, RIVERS).letter == letter


@pytest.mark.parametrize(
    "text",
    [
        *("It is neither B nor C.", "The answer is not B.", "B is not the correct answer."),
        *(
            "I don't think B is right.",
            "I'm not sure that it's B.",
            "C is wrong, and A is incorrect.",
        ),
    ],
)
def test_a_denied_letter_is_none(text: str) -> None:
    """A letter that the text denies is not its answer."""
    assert answer_of(text, RIVERS).letter == ""


def test_a_change_shows_in_the_first_letter() -> None:
    """What a text recalls as its earlier answer is still the letter that it names first."""
    found = answer_of("My earlier answer was B. The correct answer is C.", RIVERS)
    assert (found.first_letter, found.letter) == ("B", "C")


@pytest.mark.parametrize(
    ("text", "letter"),
    [("So the answer is 18.", "C"), ("\\boxed{18.00}", "C"), ("The answer is 7.", "")],
)
def test_a_stated_number_names_its_option(text: str, letter: str) -> None:
    """Where options are numbers, the one stated as the answer stands for its letter."""
    options = options_of("How many?\nA) 12\nB) 15\nC) $18\nD) 24")
    assert answer_of(text, options).letter == letter


def test_a_text_of_farewells_only_keeps_one_sentence() -> None:
    """Wishes go from the end, and something always stays."""
    assert without_farewell("It is 4. Thank you! Let me know.") == "It is 4."
    assert without_farewell("I hope this helps! Let me know.") == "I hope this helps!"
    assert without_farewell("") == ""
