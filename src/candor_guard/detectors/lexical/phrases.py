"""Find many phrases in a list of words in one pass.

A regular expression with hundreds of alternatives tries each of them at every word; a tree of
words looks at one branch only. The cost is linear in the text whatever the text says, so no input
can make it slow.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

_GROUP = re.compile(r"\(([^)]*)\)|(\S+)")
_ANY = "_"
_END = ""


class PhraseTree:
    """Compiled phrase families.

    A phrase is a row of words. ``(a|b c|)`` stands for one of the alternatives, an empty one for
    nothing; ``_`` for any one word. Words are in the spelling of `words.tokens_of`.
    """

    def __init__(self, families: Mapping[str, Sequence[str]]) -> None:
        self.names = tuple(families)
        self._root: dict[str, Any] = {}
        for index, phrases in enumerate(families.values()):
            for phrase in phrases:
                for words in _expand(phrase):
                    self._add(words, index)
        self._root = _shared(self._root, {})

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

    def _add(self, words: Sequence[str], index: int) -> None:
        node = self._root
        for word in words:
            node = node.setdefault(word, {})
        node.setdefault(_END, set()).add(index)


def _shared(node: dict[str, Any], known: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    """Return the tree with equal branches kept once: alternatives make the same ends many times over."""
    made: dict[str, Any] = {
        word: frozenset(below) if word == _END else _shared(below, known)
        for word, below in node.items()
    }
    # Branches below were shared before, so that equal ones are the same object.
    key = frozenset((word, id(below) if word != _END else below) for word, below in made.items())
    return known.setdefault(key, made)


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


def _expand(phrase: str) -> list[tuple[str, ...]]:
    slots: list[list[tuple[str, ...]]] = []
    for group, word in _GROUP.findall(phrase):
        options = [word] if word else group.split("|")
        slots.append([tuple(option.split()) for option in options])
    rows = (tuple(itertools.chain.from_iterable(row)) for row in itertools.product(*slots))
    return [row for row in rows if row]
