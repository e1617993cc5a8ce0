"""The second reader: word n-grams of the reply with its content words replaced by whose they are.

"I was wrong, Lyon is the capital" becomes "i was wrong U is the Q": what is left is how the reply
treats the user's words (U), its own earlier ones (E), the question's (Q), shared ones (EU) and new
ones (O). Learnt on such text, phrases carry over to topics nobody has seen.
"""

from __future__ import annotations

import base64
import math
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from candor_guard.detectors.lexical.features import Views
from candor_guard.detectors.lexical.views import Sentence

# A reply's stance is at its edges; beyond so many sentences the middle is left out.
_ENDS = 7
_USER_WORDS = 80


def reply_lines(views: Views, kept: frozenset[str]) -> list[list[str]]:
    """Return the reply's sentences as marked words."""
    sentences = edges(views.reply.sentences)
    last = len(sentences) - 1
    lines = []
    for index, sentence in enumerate(sentences):
        place = "F" if index == 0 else "L" if index == last else ""
        lines.append([f"<{place}>", *(_mark(t, views, kept) for t in sentence.tokens), "."])
    return lines


def user_lines(views: Views, kept: frozenset[str]) -> list[list[str]]:
    """Return the user's words, unknown ones as O, as one line."""
    words = views.user.tokens[:_USER_WORDS]
    return [[word if word in kept else "O" for word in words]]


def edges(sentences: Sequence[Sentence]) -> Sequence[Sentence]:
    """Return the sentences that are read."""
    if len(sentences) <= 2 * _ENDS:
        return sentences
    return [*sentences[:_ENDS], *sentences[-_ENDS:]]


def grams(line: Sequence[str]) -> list[str]:
    """Return the n-grams of a line, one to three words long, in the order of their first words."""
    found: list[str] = []
    for one, two, three in zip(line, line[1:], line[2:], strict=False):
        pair = f"{one} {two}"
        found += (one, pair, f"{pair} {three}")
    rest = line[-2:]
    return [*found, *rest] if len(rest) < 2 else [*found, rest[0], " ".join(rest), rest[1]]


@dataclass(frozen=True, slots=True)
class Phrases:
    """Linear models over weighted n-grams of unit length.

    There are a hundred thousand of them, so their numbers lie in one array, and in a file as text.

    Attributes:
        places: The row of each n-gram.
        numbers: Row by row, its rarity and its weight in each model.
        biases: By model.
        kept: Words that stay as they are.
    """

    places: Mapping[str, int]
    numbers: Sequence[float]
    biases: tuple[float, ...]
    kept: frozenset[str]

    @classmethod
    def of(
        cls, terms: Mapping[str, Sequence[float]], biases: Sequence[float], kept: Iterable[str]
    ) -> Phrases:
        """Make one of rows by n-gram."""
        numbers = array("f", (value for row in terms.values() for value in row))
        return cls(_places(terms), numbers, tuple(biases), frozenset(kept))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Phrases:
        """Read what `to_dict` wrote."""
        numbers = array("f", base64.b64decode(data["numbers"]))
        if sys.byteorder == "big":
            numbers.byteswap()
        names = data["terms"].split("\n")
        return cls(_places(names), numbers, tuple(data["biases"]), frozenset(data["kept"]))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, JSON-ready and in a fixed order."""
        numbers = array("f", self.numbers)
        if sys.byteorder == "big":
            numbers.byteswap()
        return {
            "terms": "\n".join(self.places),
            "numbers": base64.b64encode(numbers.tobytes()).decode("ascii"),
            "biases": self.biases,
            "kept": sorted(self.kept),
        }

    def logits(self, lines: Iterable[Sequence[str]]) -> list[float]:
        """Return the log-odds of each model."""
        counts = Counter(chain.from_iterable(map(grams, lines)))
        places, numbers, width = self.places, self.numbers, 1 + len(self.biases)
        sums, norm = [0.0] * len(self.biases), 0.0
        for gram, count in counts.items():
            place = places.get(gram)
            if place is None:
                continue
            rarity, *weights = numbers[place * width : (place + 1) * width]
            value = (1.0 + math.log(count)) * rarity
            norm += value * value
            for index, weight in enumerate(weights):
                sums[index] += value * weight
        scale = 1.0 / math.sqrt(norm) if norm else 0.0
        return [b + s * scale for b, s in zip(self.biases, sums, strict=True)]

    def strength(self, line: Sequence[str], model: int) -> float:
        """Return how much a line speaks for a model's positive class."""
        width = 1 + len(self.biases)
        starts = (self.places[gram] * width for gram in grams(line) if gram in self.places)
        return sum(self.numbers[at] * self.numbers[at + 1 + model] for at in starts)


def _places(names: Iterable[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names)}


def _mark(token: str, views: Views, kept: frozenset[str]) -> str:
    if token in kept:
        return token
    if token[0].isdigit():
        return "#"
    stem = token[:6]
    whose = ("E" if stem in views.earlier.stems else "") + ("U" if stem in views.user.stems else "")
    return whose or ("Q" if stem in views.question.stems else "O")
