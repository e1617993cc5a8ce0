"""Whose words are whose, as token types: the comparison that a sentence encoder never learnt.

An encoder reads the words; which of the reply's words are the user's, which its own earlier ones
and which nobody's is handed to it as the type of each token. What it learns on such marks carries
over to topics that it has not seen, as with `phrasing`, but in context.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from candor_guard.detectors.lexical.words import STOP_WORDS

# The context's types, then the reply's; the reply's are those from `REPLY` on.
PLAIN, KEPT, DROPPED, TAKEN, LEFT = range(5)
REPLY, OWN, USERS, SHARED, NEW = range(5, 10)
TYPES = 10
_STEM = 6


class Encoding(Protocol):
    """What is used of `tokenizers.Encoding`."""

    @property
    def ids(self) -> list[int]: ...  # noqa: D102 - as in tokenizers

    @property
    def offsets(self) -> list[tuple[int, int]]: ...  # noqa: D102 - as in tokenizers


def stems(text: str, encoding: Encoding) -> list[str]:
    """Return for each token the stem of the word that it is part of, "" for function words."""
    found: list[str] = []
    start, count = 0, 0
    end = -1
    for begin, until in encoding.offsets:
        if begin != end or not _inside(text, begin):
            found += [stem(text, start, end)] * count
            start, count = begin, 0
        count += 1
        end = until
    return found + [stem(text, start, end)] * count


def stem(text: str, start: int, end: int) -> str:
    """Return a content word's stem, six letters of it, or the whole number or option letter."""
    word = text[start:end]
    if not word[:1].isalnum():
        return ""
    if word[0].isdigit():
        return word
    if len(word) == 1:
        return word if _is_option(text, start) else ""
    lowered = word.lower()
    return "" if lowered in STOP_WORDS or (len(word) == 2 and word.islower()) else lowered[:_STEM]


def of_earlier(stems: Iterable[str], reply: Collection[str]) -> list[int]:
    """Types of an earlier answer's tokens: is the word still there in the reply?"""
    return [PLAIN if not s else KEPT if s in reply else DROPPED for s in stems]


def of_user(stems: Iterable[str], earlier: Collection[str], reply: Collection[str]) -> list[int]:
    """Types of the user's tokens: is what is new there taken over by the reply?"""
    return [PLAIN if not s or s in earlier else TAKEN if s in reply else LEFT for s in stems]


def of_reply(
    stems: Sequence[str],
    question: Collection[str],
    earlier: Collection[str],
    user: Collection[str],
) -> list[int]:
    """Types of the reply's tokens, by where the word comes from."""
    return [_origin(s, question, earlier, user) if s else REPLY for s in stems]


def _origin(
    stem: str, question: Collection[str], earlier: Collection[str], user: Collection[str]
) -> int:
    if stem in earlier:
        return SHARED if stem in user else OWN
    if stem in user:
        return USERS
    return REPLY if stem in question else NEW


def _inside(text: str, index: int) -> bool:
    """Whether a word goes on at this place."""
    return text[index - 1].isalnum() and text[index].isalnum()


def _is_option(text: str, index: int) -> bool:
    """Whether a single letter stands for an answer: "(A)", "A)", or a capital that is no word."""
    letter, after = text[index], text[index + 1 : index + 2]
    return letter.isupper() and (letter not in "AI" or after in (")", "."))
