"""Find many phrases in a list of words in one pass.

A regular expression with hundreds of alternatives tries each of them at every word; a tree of
words looks at one branch only. The cost is linear in the text whatever the text says, so no input
can make it slow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_GROUP = re.compile(r"\(([^)]*)\)|(\S+)")
_ANY = "_"
_END = ""
# The next words, with the branch below each; at `_END` the families of the phrases that end here.
_Branch = dict[str, Any]


class PhraseTree:
    """Compiled phrase families.

    A phrase is a row of words. ``(a|b c|)`` stands for one of the alternatives, an empty one for
    nothing; ``_`` for any one word. Words are in the spelling of `words.tokens_of`.
    """

    def __init__(self, families: Mapping[str, Sequence[str]]) -> None:
        self.names = tuple(families)
        joined = _Joined()
        made = [
            joined.phrase(_slots(phrase), index)
            for index, phrases in enumerate(families.values())
            for phrase in phrases
        ]
        self._root = joined.all(made)
        self._root.pop(_END, None)  # a phrase of nothing is none

    def count(self, tokens: Sequence[str]) -> list[int]:
        """Return how often each family occurs, by the order of `names`; one hit per start word."""
        counts = [0] * len(self.names)
        root = self._root
        wild = root.get(_ANY)
        for start, token in enumerate(tokens):
            node = root.get(token)
            if node is None and wild is None:
                continue
            hits: set[int] = set()
            if node is not None:
                _walk(node, tokens, start + 1, hits)
            if wild is not None:
                _walk(wild, tokens, start + 1, hits)
            for index in hits:
                counts[index] += 1
        return counts


class _Joined:
    """Joins branches without writing into them, so that equal ends of a phrase are one object.

    Spelled out, the alternatives of a few hundred phrases are thirty thousand branches.
    """

    def __init__(self) -> None:
        # With what they were made of, or another branch might get the identity of one that is gone.
        self._known: dict[tuple[int, int], tuple[_Branch, _Branch, _Branch]] = {}

    def phrase(self, slots: Sequence[Sequence[Sequence[str]]], index: int) -> _Branch:
        """Return the branches of a phrase, built from its end."""
        below: _Branch = {_END: frozenset((index,))}
        for options in reversed(slots):
            below = self.all([_row(words, below) for words in options])
        return below

    def all(self, branches: Sequence[_Branch]) -> _Branch:
        """Return one branch for several."""
        if len(branches) > 2:
            half = len(branches) // 2
            return self.all([self.all(branches[:half]), self.all(branches[half:])])
        return self.two(branches[0], branches[-1]) if branches else {}

    def two(self, one: _Branch, other: _Branch) -> _Branch:
        """Return one branch for two."""
        if one is other:
            return one
        key = id(one), id(other)
        if key not in self._known:
            made = dict(one)
            for word, below in other.items():
                if word not in made:
                    made[word] = below
                elif word == _END:
                    made[word] |= below
                else:
                    made[word] = self.two(made[word], below)
            self._known[key] = one, other, made
        return self._known[key][2]


def _row(words: Sequence[str], below: _Branch) -> _Branch:
    for word in reversed(words):
        below = {word: below}
    return below


def _slots(phrase: str) -> list[list[list[str]]]:
    """Return the places of a phrase, each as its alternatives, each of these as its words."""
    return [
        [option.split() for option in ([word] if word else group.split("|"))]
        for group, word in _GROUP.findall(phrase)
    ]


def _walk(node: dict[str, Any], tokens: Sequence[str], at: int, hits: set[int]) -> None:
    """Follow a branch as far as the words go; at most as deep as the longest phrase."""
    while True:
        if _END in node:
            hits |= node[_END]
        if at >= len(tokens):
            return
        wild = node.get(_ANY)
        if wild is not None:
            _walk(wild, tokens, at + 1, hits)
        following = node.get(tokens[at])
        if following is None:
            return
        node = following
        at += 1
