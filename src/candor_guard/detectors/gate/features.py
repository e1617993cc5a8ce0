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
# A bucket is 15 bits above the lowest 7 at most. What is higher never gets there, and numbers this
# small add up faster.
_LOW = (1 << BITS + 7) - 1
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
    codes = list(map(_codes, request.tokens))
    earlier = f" {bounded(request.earlier, EARLIER_WINDOW).lower()}" if request.earlier else ""
    later = bool(earlier)
    content = {code.stem for code in codes}
    content.discard("")
    shared = {stem for stem in content if stem in earlier} if later else set()
    facts = _facts(request, len(content), len(shared), earlier)
    found = _buckets(codes, shared, later=later)
    found += _marked(request.text, later=later)
    found += _answered(request, earlier)
    return set(found), facts


# -- words ----------------------------------------------------------------------------------------
# Whatever depends on one word alone is computed once and kept with it, multiplied as it will be
# needed: what is left for each request is additions.


class _Shape(NamedTuple):
    """A place in the skeleton, times what it counts as the first, second or third of its row."""

    first: int
    second: int
    third: int


class _Codes(NamedTuple):
    """What is known of a token whatever stands around it.

    Attributes:
        stem: "" for function words; begins with a space, so that it matches at a word's start.
        word: Its hash.
        alone: Its bucket.
        sides: Its buckets in a first turn and in a later one.
        first: Its hash as the first of a pair.
        second: Its hash as the second of a pair.
        shape: In the skeleton.
        shape_shared: In the skeleton, where the earlier answer has it, too.
    """

    stem: str
    word: int
    alone: int
    sides: tuple[int, int]
    first: int
    second: int
    shape: _Shape
    shape_shared: _Shape


@lru_cache(maxsize=16_384)
def _codes(token: str) -> _Codes:
    if token in _KEPT:
        shape = _shape(token)
        return _Codes("", *_word(_hash(token)), shape, shape)
    if token < _PAST_DIGITS:
        return _Codes(f" {token}", *_word(_hash("#")), _shape("#"), _shape("#="))
    return _Codes(f" {token[:_STEM]}", *_word(_hash(token)), _shape("w"), _shape("="))


def _word(word: int) -> tuple[int, int, tuple[int, int], int, int]:
    first, later = ((word * 0x2F + side) >> 5 & _MASK for side in (0x2C1B, 0x51ED))
    return word, word & _MASK, (first, later), word * 0x2F35 + 0x3C6F & _LOW, word * 0x1B & _LOW


@lru_cache(maxsize=512)
def _shape(name: str) -> _Shape:
    code = _hash(name)
    return _Shape(code * 0x35 & _LOW, code * 0x1F3 & _LOW, code * 0x2F35 & _LOW)


def _hash(word: str) -> int:
    return crc32(word.encode("utf-8", "replace")) >> 2  # 30 bits, one digit of a Python integer


_EDGE, _START, _END = _hash("|"), _hash("^"), _hash("$")
_FIRST_EDGE, _FIRST_SHAPE = _EDGE * 0x2F35 + 0x3C6F & _LOW, _START * 0x35 & _LOW
_FIRST_MARK = _START * 0x6D & _LOW


def _buckets(codes: Sequence[_Codes], shared: set[str], *, later: bool) -> list[int]:
    """Return the buckets of words, word pairs, the edges, and the skeleton's pairs and triples."""
    found: list[int] = []
    before, shape_before = _FIRST_EDGE, _FIRST_SHAPE
    pair_before = None  # the first word of all has no two places before it
    for stem, _, alone, sides, first, second, shape, shape_shared in codes:
        as_first, as_second, as_third = shape_shared if stem in shared else shape
        pair = shape_before + as_second
        found += (alone, sides[later], (before + second) >> 6 & _MASK, pair >> 4 & _MASK)
        if pair_before is not None:
            found.append((pair_before * 0x1B + as_third) >> 7 & _MASK)
        before, shape_before, pair_before = first, as_first, pair
    pair = shape_before + _END * 0x1F3
    found += ((before + _EDGE * 0x1B) >> 6 & _MASK, pair >> 4 & _MASK)
    if pair_before is not None:
        found.append((pair_before * 0x1B + _END * 0x2F35) >> 7 & _MASK)
    return found


# -- marks ----------------------------------------------------------------------------------------


_PIECE = re.compile(r"[^\W\d_]+|\d[\d,.:/]*%?|[?!]+|\.{2,}|[…,.;:\"“”`()*=\n]")


class _Piece(NamedTuple):
    """What is known of a word or mark whatever stands around it; hashes as in `_Codes`."""

    mark: bool
    first: int
    second: int
    shape: int
    shape_first: int
    shape_second: int
    shape_third: int


@lru_cache(maxsize=16_384)
def _piece(piece: str) -> _Piece:
    code = shape = _hash(piece)
    word = piece in _KEPT or piece[0].isalnum()
    if piece not in _KEPT:
        number = word and piece < _PAST_DIGITS
        shape = _hash(("#" if number else "w") if word else f"'{piece}")
    places = (code * 0x95, code * 0x2B3, shape, shape * 0x6D, shape * 0x257, shape * 0x3D9)
    return _Piece(not word, *(place & _LOW for place in places))


def _marked(text: str, *, later: bool) -> list[int]:
    """Return the buckets of the skeleton with punctuation, and of words beside a mark."""
    side = 0x3D17 if later else 0x19A5
    found, shapes = [], [_START]
    shape_before, pair_before = _FIRST_MARK, None
    mark_before, before = False, None
    for mark, first, second, shape, as_first, as_second, as_third in map(
        _piece, _PIECE.findall(bounded(text, MARKS_WINDOW).lower())
    ):
        pair = shape_before + as_second
        found.append((pair + side) >> 4 & _MASK)
        if pair_before is not None:
            found.append((pair_before * 0x4B + as_third) >> 6 & _MASK)
        if before is not None and (mark or mark_before):
            found.append((before + second) >> 5 & _MASK)
        shapes.append(shape)
        shape_before, pair_before, mark_before, before = as_first, pair, mark, first
    found.append((shape_before + _END * 0x257 + side) >> 4 & _MASK)
    if pair_before is not None:
        found.append((pair_before * 0x4B + _END * 0x3D9) >> 6 & _MASK)
    shapes.append(_END)
    # How the turn opens and ends, as one piece each.
    for place, part in enumerate((shapes[:5], shapes[-3:], shapes[-4:]), side):
        value = place
        for shape in part:
            value = value * 0x2F + shape
        found.append(value >> 5 & _MASK)
    return found


# -- the answer before ----------------------------------------------------------------------------


class _Kind(NamedTuple):
    """A kind of answer: alone, and as it counts beside the turn's opening and its ending."""

    alone: int
    opening: int
    ending: int


def _kind(name: str) -> _Kind:
    code = _hash(name)
    return _Kind(code >> 3 & _MASK, code * 0x2F, code * 0x53)


_NO_ANSWER = (_kind("no answer"),)
_KINDS = "asks code list draft numbers 0 1 2 3 4 5 yes no not usually often never"
_ANSWERS = {name: _kind(f"answer {name}") for name in _KINDS.split()}
_PLAIN, _ASKING = _hash("ends plainly"), _hash("ends asking")
_DIGIT = re.compile(r"\d")
_WORD = re.compile(r"[a-z]+")


def _answered(request: Request, earlier: str) -> list[int]:
    """Return the buckets of the kinds of answer, alone and with the turn's opening and ending."""
    kinds = _kinds(request.earlier, earlier) if earlier else _NO_ANSWER
    tokens = request.tokens
    first = (_codes(tokens[0]).word if tokens else _EDGE) * 0x1B3
    ending = _ASKING if request.text.rstrip().endswith("?") else _PLAIN
    last = (ending + 0x1F * min(4, len(tokens) // 3)) * 0x2F1
    found: list[int] = []
    for alone, as_opening, as_ending in kinds:
        found += (alone, (as_opening + first) >> 6 & _MASK, (as_ending + last) >> 6 & _MASK)
    return found


def _kinds(answer: str, seen: str) -> list[_Kind]:
    """Say what an answer is like, from its length and its bounded text in lower case."""
    text = seen.strip()
    start = _WORD.match(text)
    length = str(min(5, int(math.log2(len(answer) / 30 + 1))))
    told = [_ANSWERS[length]]
    if start is not None and start.group() in _ANSWERS:
        told.append(_ANSWERS[start.group()])
    if text.endswith("?"):
        told.append(_ANSWERS["asks"])
    if "```" in text:
        told.append(_ANSWERS["code"])
    if "\n- " in text or "\n1." in text or text.startswith(("1.", "- ")):
        told.append(_ANSWERS["list"])
    if text.startswith(('"', "“")):
        told.append(_ANSWERS["draft"])
    if _has_digit(text):
        told.append(_ANSWERS["numbers"])
    return told


def _has_digit(text: str) -> bool:
    if text.isascii():  # ten searches of the C library take less than one of every character
        return any(digit in text for digit in "0123456789")
    return _DIGIT.search(text) is not None


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
