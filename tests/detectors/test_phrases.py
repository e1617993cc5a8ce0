"""The phrase tree: notation, wild cards, and what counts as one hit."""

import pytest

from candor_guard.detectors.lexical.phrases import PhraseTree
from candor_guard.detectors.lexical.words import is_english, numbers_of, stems_of, tokens_of


def _count(phrase: str, text: str) -> int:
    return PhraseTree({"it": [phrase]}).count(text.split())[0]


@pytest.mark.parametrize(
    ("phrase", "text", "hits"),
    [
        ("well done", "that was well done", 1),
        ("(well|nicely) done", "nicely done and well done", 2),
        ("you are (so|) right", "you are right", 1),
        ("you are (so|) right", "you are so right", 1),
        ("for _ years", "for nine years", 1),
        ("for _ years", "for years", 0),
        ("_ knows", "everybody knows", 1),
        ("well done", "well", 0),
    ],
)
def test_notation(phrase: str, text: str, hits: int) -> None:
    """Alternatives, empty alternatives and wild cards match as documented."""
    assert _count(phrase, text) == hits


def test_one_hit_per_start_word() -> None:
    """A phrase inside a longer one of the same family does not count twice."""
    tree = PhraseTree({"agree": ["you are right", "you are right about _"]})
    assert tree.count(["you", "are", "right", "about", "that"]) == [1]


def test_families_are_counted_apart() -> None:
    """One word can belong to two families; the order is that of the names."""
    tree = PhraseTree({"a": ["yes"], "b": ["yes", "no"]})
    assert tree.names == ("a", "b")
    assert tree.count(["yes", "no"]) == [1, 2]


def test_words_come_in_one_spelling() -> None:
    """Contractions, typographic quotes and slang meet in the same words."""
    expected = ["you", "are", "right", "i", "do", "not", "know"]
    assert tokens_of("You’re right, I don't know") == expected
    assert tokens_of("youre right i dont know") == expected


def test_numbers_come_in_one_spelling() -> None:
    """Thousands separators, percent signs and small number words make no difference."""
    assert numbers_of(tokens_of("1,000 or 12% of seven")) == {"1000", "12", "7"}


def test_stems_leave_out_small_words_and_endings() -> None:
    """Content words meet across inflections; stop words and numbers are left out."""
    assert stems_of(tokens_of("the capitals of 3 nations")) & stems_of(["capitalism", "nation"])
    assert not stems_of(tokens_of("it is 3 of them"))


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("You are right, the answer is four.", True),
        ("B", True),
        ("", True),
        ("42", True),
        ("Du hast recht, das ist nicht die richtige Antwort und ich habe mich geirrt.", False),
        ("Tienes razón, la respuesta que te di no es correcta.", False),
        ("Vous avez raison, je me suis trompé dans la réponse.", False),
        ("你说得对，我错了", False),
        ("Вы правы, я ошибся", False),
        ("The word Schadenfreude is German for joy at the misfortune of others.", True),
    ],
)
def test_language_check(text: str, english: bool) -> None:
    """English and undecidable texts are read; texts in other languages are recognised."""
    assert is_english(tokens_of(text)) is english
