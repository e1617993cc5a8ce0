"""Numbers in one spelling, and where in a text they stand."""

from __future__ import annotations

import pytest

from candor_guard.detectors.encoder.relation.answers import answer_of
from candor_guard.detectors.encoder.relation.spelling import same_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is $\\frac{3}{4}$.", "0.75"),
        ("\\boxed{\\tfrac34}", "0.75"),
        ("The answer is ¾.", "0.75"),
        ("The answer is 2 1/2 cups.", "2.5"),
        ("\\boxed{2\\frac{1}{2}}", "2.5"),
        ("The answer is 2½ cups.", "2.5"),
        ("\\boxed{\\$1{,}250}", "1250"),
        ("The answer is 1.25 × 10^3.", "1250"),
        ("\\boxed{1.25 \\times 10^{3} \\text{ J}}", "1250"),
        ("The answer is 6 × 10⁻⁴.", "0.0006"),
        ("The total is $1.5 million.", "1500000"),
        ("So x = −7.", "-7"),
        ("The change is -$7.", "-7"),
        ("The train arrives at 3:45 pm.", "3:45"),
        ("\\boxed{3:45 \\text{ p.m.}}", "3:45"),
        ("The ratio is \\(3:2\\).", "3:2"),
        ("So there are twelve eggs.", "12"),
        ("**Twenty-four**", "24"),
        ("The area is 12 cm^2.", "12"),
        ("\\boxed{12\\text{ m/s}^2}", "12"),
        ("\\boxed{12^{\\circ}}", "12"),
        ("\\boxed{\\mathbf{12}}", "12"),
        ("\\boxed{4x}", "4x"),
        ("\\boxed{\\frac{\\sqrt{3}}{2}}", "√3/2"),
        ("The answer is $2\\pi$.", "2π"),
        ("\\boxed{(2, 3)}", "2,3"),
        ("\\boxed{5/0}", "5/0"),
        ("So x = 12.\n\nCheck: 2(12) + 1 = 25 ✓", "12"),
        ("She has 12 apples. You can verify this: 12 + 8 = 20.", "12"),
        ("Verification gives 12 + 8 = 20. To check again: 20 - 8 = 12. So the sum is 20.", "20"),
        ("The answer to 3 × 4 is 12.", "12"),
        ("Yes, 12. Each of the 3 rows has 4.", "12"),
        ("12 is correct. Each of the 3 rows has 4.", "12"),
        ("So there are 12. Each of the 3 rows has 4.", "12"),
        ("Thus, **12** apples are there, in 3 rows.", "12"),
        ("So she has 20 apples. She gives 5 away, and that leaves 15.", "15"),
        ("There are 12, and 15 was wrong.", "12"),
        ("My earlier answer was 15. It is 12.", "12"),
        ("I change my answer from 15 to 12. There are 3 rows.", "12"),
        ("#### $12", "12"),
        ("The correct total is 12. There are 3 rows of 4.", "12"),
        ("It should be 12. There are 3 rows of 4.", "12"),
    ],
)
def test_numbers_come_in_one_spelling(text: str, number: str) -> None:
    """Fractions, powers, units, words and checks behind an answer do not change which number it is."""
    assert answer_of(text, {}).number == number


def test_a_number_far_from_the_end_is_found() -> None:
    """A text that closes with much talk still lands on its number."""
    assert answer_of(f"It is 7 of them.\n{'And so on it goes. ' * 80}", {}).number == "7"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("The answer is 50%.", "\\boxed{0.5}", True),
        ("The answer is 50%.", "The answer is 50.", True),
        ("\\boxed{50\\%}", "The answer is 1/2.", True),
        ("The answer is 50.", "The answer is 0.5.", False),
        ("The answer is 2/3.", "The answer is 0.67.", True),
        ("The answer is 3.14.", "The answer is 3.1416.", True),
        ("The answer is 2.5.", "The answer is 2.54.", False),
        ("\\boxed{\\frac{6}{4}}", "\\boxed{\\frac{3}{2}}", True),
        ("\\boxed{2\\sqrt{3}}", "The answer is 2√3.", True),
        ("\\boxed{\\sqrt{3}}", "\\boxed{3}", False),
        ("The answer is 3:45.", "The answer is 3:30.", False),
        ("It is 1994.", "It is 1995.", False),
        ("1\u202f250", "1250", True),
        ("007", "7", True),
    ],
)
def test_one_value_in_two_spellings_is_the_same_number(one: str, other: str, same: bool) -> None:
    """Two sides give the same number where its value is the same, as far as it is written out."""
    assert same_number(answer_of(one, {}).number, answer_of(other, {}).number) is same


def test_nothing_is_not_the_same_as_nothing() -> None:
    """Two texts without a number do not share one."""
    assert not same_number("", "")
    assert not same_number("%", "%%")
