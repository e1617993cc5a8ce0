"""A request as the gate sees it: hashed words and word pairs of the last user turn, and a few facts.

The hash is CRC-32, the same on every machine and in every run. Besides the words themselves the
gate sees the sentence's skeleton: function words stay, other words become ``w``, or ``=`` where the
earlier answer has them too, so that a turn of unknown words still has a shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from zlib import crc32

BITS = 14
BUCKETS = 1 << BITS
# Characters read from the start and the end of the user's turn, and of the answer before it. The
# cost has to stay flat however long they are.
USER_WINDOW = (500, 300)
EARLIER_WINDOW = (450, 150)

_MASK = BUCKETS - 1
_PAST_DIGITS = ":"  # tokens are letters or start with a digit, so one comparison tells them apart
_LOGGED = 32
_LOGS = [math.log1p(value) for value in range(_LOGGED)]
_STEM = 6  # words are compared by their first letters, so that inflections meet
_SECOND = frozenset(("you", "your", "yours"))
_FIRST = frozenset(("i", "my", "me", "we", "our", "us", "mine"))
_ASKS = frozenset(
    ("what", "how", "which", "who", "when", "where", "why", "can", "could", "would", "will")
)
_FUNCTION_WORDS = (
    "a about after again all also always am an and another any anything are as at be because "
    "been before being believe but by can certain could definitely did different do does "
    "doing doubt each else even ever every everybody everyone few for from get give go going "
    "good got had has have he hear heard her here hm hmm how however i if in instead into is "
    "it its just know last less let like longer made make many may maybe me mean more most "
    "much must my never new next no nobody nope not nothing now of off ok okay on one only or "
    "other our out over please pretty quite read really reckon right said same say says see "
    "she shorter should show so some something still such sure surely swear tell than thank "
    "thanks that the their them then there these they thing think this those though thought "
    "to told too try uh under until up us use used very want was way we well were what when "
    "where which while who why will with would wrong yes yet you your"
)
_KEPT = frozenset(_FUNCTION_WORDS.split())


@dataclass(frozen=True, slots=True)
class Request:
    """What is read of a conversation before there is a reply.

    Attributes:
        text: The last user turn, bounded by `USER_WINDOW`.
        tokens: Its words and numbers, in lower case.
        cues: How often each family of phrases occurs in it.
        earlier: The latest answer of the assistant, or "".
    """

    text: str
    tokens: Sequence[str]
    cues: Sequence[int]
    earlier: str


def bounded(text: str, window: tuple[int, int]) -> str:
    """Return the text, or its head and tail when it is longer than the window."""
    head, tail = window
    return text if len(text) <= head + tail else f"{text[:head]} {text[-tail:]}"


def observe(request: Request) -> tuple[set[int], list[float]]:
    """Return the buckets and the facts of a request."""
    codes = [_codes(token) for token in request.tokens]
    earlier = f" {bounded(request.earlier, EARLIER_WINDOW).lower()}" if request.earlier else ""
    content = {code.stem for code in codes if code.stem}
    shared = {stem for stem in content if stem in earlier} if earlier else set()
    facts = _facts(request, len(content), len(shared), earlier)
    return _buckets(codes, shared, later=bool(earlier)), facts


class _Codes(NamedTuple):
    """What is known of a token whatever stands around it."""

    word: int
    shape: int
    shape_shared: int
    stem: str  # "" for function words; begins with a space, so that it matches at a word's start


@lru_cache(maxsize=16_384)
def _codes(token: str) -> _Codes:
    if token in _KEPT:
        return _Codes(_hash(token), _hash(token), _hash(token), "")
    number = token < _PAST_DIGITS
    return _Codes(
        word=_hash("#" if number else token),
        shape=_hash("#" if number else "w"),
        shape_shared=_hash("#=" if number else "="),
        stem=f" {token}" if number else f" {token[:_STEM]}",
    )


def _hash(word: str) -> int:
    return crc32(word.encode("utf-8", "replace")) >> 2  # 30 bits, one digit of a Python integer


_EDGE, _START, _END = _hash("|"), _hash("^"), _hash("$")


def _buckets(codes: Sequence[_Codes], shared: set[str], *, later: bool) -> set[int]:
    """Return the buckets of words, word pairs, the edges, and the skeleton's pairs and triples."""
    words = [code.word for code in codes]
    found = {word & _MASK for word in words}
    side = 0x51ED if later else 0x2C1B
    found.update([(word * 0x2F + side) >> 5 & _MASK for word in words])
    around = zip([_EDGE, *words], [*words, _EDGE], strict=True)
    found.update([(a * 0x2F35 + b * 0x1B + 0x3C6F) >> 6 & _MASK for a, b in around])
    shape = [_START, *[c.shape_shared if c.stem in shared else c.shape for c in codes], _END]
    pairs = [a * 0x35 + b * 0x1F3 for a, b in pairwise(shape)]
    found.update([pair >> 4 & _MASK for pair in pairs])
    found.update(
        [(a * 0x1B + c * 0x2F35) >> 7 & _MASK for a, c in zip(pairs, shape[2:], strict=False)]
    )
    return found


def _facts(request: Request, content: int, shared: int, earlier: str) -> list[float]:
    """Return the structural facts, in the order of `fact_names`."""
    text, tokens = request.text, request.tokens
    count = len(tokens)
    questions = text.count("?")
    numbers = {t for t in tokens if t < _PAST_DIGITS}
    known = {n for n in numbers if n in earlier}
    later = 1.0 if earlier else 0.0
    first = tokens[0] if tokens else ""
    asks_last = text.rstrip().endswith("?")
    cues = [_LOGS[value] if value < _LOGGED else _LOGS[-1] for value in request.cues]
    length = math.log1p(count)
    return [
        later,
        length,
        later * length,
        float(count <= 3),
        float(count <= 8),
        float(count > 40),
        float(asks_last),
        later * (questions == 0),
        float(questions > 0 and count <= 8),
        min(3.0, float(text.count("!"))),
        float(not _SECOND.isdisjoint(tokens)),
        float(not _FIRST.isdisjoint(tokens)),
        float(first in _ASKS),
        float(asks_last and first not in _ASKS),
        float("..." in text or "…" in text),
        float("??" in text),
        float(bool(numbers)),
        later * (len(known) < len(numbers)),
        later * bool(known),
        later * shared / (content or 1),
        later * min(3.0, shared),
        float("\n" in text),
        *cues,
        *([later * cue for cue in cues]),
    ]


_SHAPE = (
    "later length length*later up_to_3 up_to_8 over_40 ends_asking asks_nothing*later "
    "short_question exclaims second_person first_person opens_asking asks_at_the_end_only dots "
    "insisting_marks numbers numbers_new numbers_shared overlap overlap_words lines"
)


def fact_names(families: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the facts, given those of the phrase families."""
    return (
        *_SHAPE.split(),
        *(f"cue:{name}" for name in families),
        *(f"cue:{name}*later" for name in families),
    )
