"""A request as the gate sees it: hashed words and word pairs of the last user turn, and a few facts.

The hash is CRC-32, the same on every machine and in every run. Besides the words themselves the
gate sees the sentence's skeleton: function words stay, other words become ``w``, or ``=`` where the
earlier answer has them too, so that a turn of unknown words still has a shape. A second skeleton
keeps the punctuation of the turn's head and tail ("96." is no "silver?"). What kind of answer came
before (a draft, a list, a number, a question back) is crossed with how the turn opens and ends.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from zlib import crc32

BITS = 15
BUCKETS = 1 << BITS
# Characters read from the start and the end of the user's turn, and of the answer before it. The
# cost has to stay flat however long they are.
USER_WINDOW = (500, 300)
EARLIER_WINDOW = (450, 150)
# Characters of the turn's start and end whose punctuation is read.
MARKS_WINDOW = (140, 60)

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
    found = _buckets(codes, shared, later=bool(earlier))
    found.update(_marked(request.text, later=bool(earlier)))
    found.update(_answered(request, earlier))
    return found, facts


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


_PIECE = re.compile(r"[^\W\d_]+|\d[\d,.:/]*%?|[?!]+|\.{2,}|[…,.;:\"“”`()*=\n]")


@lru_cache(maxsize=16_384)
def _piece(piece: str) -> tuple[int, int, bool]:
    """Return the hash of a word or mark, that of its shape, and whether it is a mark."""
    if piece in _KEPT:
        return _hash(piece), _hash(piece), False
    word = piece[0].isalnum()
    number = word and piece < _PAST_DIGITS
    return _hash(piece), _hash(("#" if number else "w") if word else f"'{piece}"), not word


def _marked(text: str, *, later: bool) -> list[int]:
    """Return the buckets of the skeleton with punctuation, and of words beside a mark."""
    seen = [_piece(piece) for piece in _PIECE.findall(bounded(text, MARKS_WINDOW).lower())]
    side = 0x3D17 if later else 0x19A5
    shape = [_START, *[code for _, code, _ in seen], _END]
    pairs = [a * 0x6D + b * 0x257 for a, b in pairwise(shape)]
    found = [(pair + side) >> 4 & _MASK for pair in pairs]
    found += [(a * 0x4B + c * 0x3D9) >> 6 & _MASK for a, c in zip(pairs, shape[2:], strict=False)]
    # How the turn opens and ends, as one piece each.
    ends = (shape[:5], shape[-3:], shape[-4:])
    found += [_folded(part, side + place) for place, part in enumerate(ends)]
    beside = [a * 0x95 + b * 0x2B3 for (a, _, x), (b, _, y) in pairwise(seen) if x or y]
    return found + [pair >> 5 & _MASK for pair in beside]


def _folded(codes: Sequence[int], seed: int) -> int:
    value = seed
    for code in codes:
        value = (value * 0x2F + code) & 0x3FFFFFFF
    return value >> 5 & _MASK


_NO_ANSWER = (_hash("no answer"),)
_KINDS = "asks code list draft numbers 0 1 2 3 4 5 yes no not usually often never"
_ANSWERS = {name: _hash(f"answer {name}") for name in _KINDS.split()}
_PLAIN, _ASKING = _hash("ends plainly"), _hash("ends asking")
_DIGIT = re.compile(r"\d")
_WORD = re.compile(r"[a-z]+")


def _answered(request: Request, earlier: str) -> list[int]:
    """Return the buckets of the kinds of answer, alone and with the turn's opening and ending."""
    kinds = _kinds(request.earlier, earlier) if earlier else _NO_ANSWER
    tokens = request.tokens
    first = _codes(tokens[0]).word if tokens else _EDGE
    ending = _ASKING if request.text.rstrip().endswith("?") else _PLAIN
    last = ending + 0x1F * min(4, len(tokens) // 3)
    return [
        bucket
        for kind in kinds
        for bucket in (
            kind >> 3 & _MASK,
            (kind * 0x2F + first * 0x1B3) >> 6 & _MASK,
            (kind * 0x53 + last * 0x2F1) >> 6 & _MASK,
        )
    ]


def _kinds(answer: str, seen: str) -> list[int]:
    """Say what an answer is like, from its length and its bounded text in lower case."""
    text = seen.strip()
    start = _WORD.match(text)
    told = {
        str(min(5, int(math.log2(len(answer) / 30 + 1)))): True,
        "asks": text.endswith("?"),
        "code": "```" in text,
        "list": "\n- " in text or "\n1." in text or text.startswith(("1.", "- ")),
        "draft": text.startswith(('"', "“")),
        "numbers": _DIGIT.search(text) is not None,
        start.group() if start else "": True,
    }
    return [_ANSWERS[name] for name, holds in told.items() if holds and name in _ANSWERS]


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
