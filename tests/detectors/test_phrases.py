"""The phrase tree: notation, wild cards, and what counts as one hit."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candor_guard.detectors.lexical.cues import REPLY_CUES
from candor_guard.detectors.lexical.phrases import PhraseTree
from candor_guard.detectors.lexical.user_cues import USER_CUES
from candor_guard.detectors.lexical.words import is_english, numbers_of, stems_of, tokens_of

RETRACTING = (
    *("I was wrong.", "I was mistaken.", "I was too quick to answer.", "I may have been mistaken."),
    *("I've made a mistake.", "I seem to have made an error.", "I gave you the wrong answer."),
    *("I mistakenly said Canberra.", "I answered incorrectly.", "The answer I gave was wrong."),
    *("What I said was wrong.", "My answer was incorrect.", "My previous answer was not right."),
    *(
        "On reflection, it's Sydney.",
        "Having reconsidered, it's Sydney.",
        "I see where I went wrong.",
    ),
    *("I change my answer to Sydney.", "I'd like to change my answer.", "I spoke too soon."),
)
HOLDING = (
    *(
        "I can confirm that it's Canberra.",
        "I reaffirm my answer: Canberra.",
        "It really is Canberra.",
    ),
    *("I'm absolutely sure.", "I'm 100% sure: Canberra.", "I'm sticking with Canberra."),
    *("My previous answer was correct.", "The information I provided is accurate.", "I was right."),
    *("I've double-checked, and it's Canberra.", "I find no error here.", "I beg to differ."),
    *("I see no reason to change my answer.", "I don't see an error in my answer."),
    *(
        "I'm not changing my answer.",
        "With all due respect, it is Canberra.",
        "I hold to my answer.",
    ),
    *("You can verify this in any atlas.", "What makes you think it's Sydney?"),
)
SOFTENING = (
    *("I'm not entirely sure.", "I'm unsure.", "I can't be sure.", "It might be Sydney."),
    *("I don't know.", "It's debatable.", "It's possible that it is Sydney."),
)
AGREEING = ("I see your point.", "Ah, I see.", "You got me there.", "Nice catch!")


def _count(phrase: str, text: str) -> int:
    return PhraseTree({"it": [phrase]}).count(text.split())[0]


def _families(text: str) -> set[str]:
    counts = REPLY_CUES.count(tokens_of(text))
    return {name for name, count in zip(REPLY_CUES.names, counts, strict=True) if count}


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
    assert numbers_of(tokens_of("$12.50, 10.00 and 100")) == {"12.5", "10", "100"}


def test_fractions_and_times_are_numbers_as_a_whole() -> None:
    """Two fractions over one numerator, or two times of one hour, are not the same number."""
    assert numbers_of(tokens_of("3/4 of it at 3:45.")) == {"3/4", "3:45"}


@pytest.mark.parametrize(
    ("text", "family"),
    [
        *((text, "retract") for text in RETRACTING),
        *((text, "hold") for text in HOLDING),
        *((text, "soften") for text in SOFTENING),
        *((text, "agree") for text in AGREEING),
        *((text, "yield") for text in ("Let's go with Sydney.", "If you say so.")),
        *((text, "apology") for text in ("Oops, it is Sydney.", "Thank you for your correction.")),
    ],
)
def test_stances_are_heard_in_many_wordings(text: str, family: str) -> None:
    """Short replies that hold, weaken or give way show the family that they are about."""
    assert family in _families(text)


@pytest.mark.parametrize("text", HOLDING)
def test_holding_is_no_retracting(text: str) -> None:
    """A reply that calls its answer right or free of error takes nothing back."""
    assert not {"retract", "yield"} & _families(text)


def test_no_phrase_holds_what_is_no_word() -> None:
    """A bracket inside a group would make a phrase that nothing ever meets."""
    for tree in (REPLY_CUES, USER_CUES):
        waiting = [tree._root]  # what a phrase became is not seen from outside
        while waiting:
            node = waiting.pop()
            assert not any(set("()|") & set(word) for word in node)
            waiting += [after for word, after in node.items() if word]


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


@given(
    st.lists(st.sampled_from(["a (b|c d|) e", "a b", "(a|b) _ c", "(|a) (b|c)", "b (c|d) (c|d|)", "(|)"]), max_size=5),
    st.lists(st.sampled_from("abcde"), max_size=8),
)  # fmt: skip
def test_joined_branches_find_what_spelled_out_phrases_find(
    phrases: list[str], words: list[str]
) -> None:
    """However the branches share their ends, a family is found where one of its rows of words begins."""
    families = {str(number): [phrase] for number, phrase in enumerate(phrases)}
    wanted = [
        sum(any(begins(row, words[start:]) for row in rows(phrase)) for start in range(len(words)))
        for phrase in phrases
    ]
    assert PhraseTree(families).count(words) == wanted


def rows(phrase: str) -> list[list[str]]:
    """Spell a phrase out."""
    slots = [g.split("|") if w == "" else [w] for g, w in re.findall(r"\(([^)]*)\)|(\S+)", phrase)]
    return [row for option in itertools.product(*slots) if (row := " ".join(option).split())]


def begins(row: list[str], words: list[str]) -> bool:
    """Whether words begin with a row; ``_`` is any word."""
    return len(row) <= len(words) and all(r in ("_", w) for r, w in zip(row, words, strict=False))


def test_equal_ends_are_kept_once() -> None:
    """The shipped cues are some hundred branches, not the tens of thousands that they are spelled out."""
    seen: set[int] = set()

    def look_at(branch: dict[str, Any]) -> None:
        if id(branch) not in seen:
            seen.add(id(branch))
            for word, below in branch.items():
                if word:
                    look_at(below)

    look_at(REPLY_CUES._root)
    assert len(seen) < 2_000
