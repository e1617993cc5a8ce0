"""Cut a user turn into verbatim blocks, sentences and clauses. Linear in the text."""

from __future__ import annotations

import bisect
import itertools
import re
from dataclasses import dataclass

from candor_guard.neutral.text import EMOJI

_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
# A quoted line, a line indented like code, a line that can only be code or a table.
_VERBATIM_LINE = re.compile(
    r"[ \t]*>|[ ]{4,}\S|\t+\S|\s*\||\s*(?:>>>|\$ |#!)"
    r"|\s*import [\w.]+\s*\Z|\s*from [\w.]+ import "
    r"|\s*[\w.\[\]]+ ?=[^=]|\s*[A-Z]{1,2}\d{1,4}\s+[=\w]|.*[;{}]\Z"
)
# A line that ends with a colon and opens a block of code.
_OPENS_BLOCK = re.compile(
    r"\s*(?:(?:async )?(?:def|class) \w+|for \w+ in |"
    r"(?:if|elif|while) [^\n]*[<>=(]|(?:else|try):\Z)"
)
_QUOTED = re.compile(
    r'"[^"\n]{1,800}+"|“[^”\n]{1,800}+”|`[^`\n]{1,800}+`|«[^»\n]{1,800}+»'
    r"|(?<![\w’'])['‘](?=\w)(?:[^'’\n]|['’](?=\w)){2,200}+['’](?!\w)"
)
_END = re.compile(
    r"""(?<![.!?…。！？])[.!?…。！？]++["'”’»)\]_]{0,4}(?:\*\*)?(?=\s|\Z|"""
    + EMOJI.pattern
    + r")|"
    + rf"(?<!{EMOJI.pattern}){EMOJI.pattern}"
    + r"++(?=\s|\Z)|\s[:;]['-]?[()D/PpO|*]+(?=\s|\Z)"
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:mr|mrs|ms|dr|prof|st|vs|etc|e\.g|i\.e|eg|ie|no|nos|fig|approx|dept|est|inc|"
    r"ltd|jr|sr|ca|cf|vol|pp?|art|sec|(?-i:[J-Z]))\.\Z",
    re.IGNORECASE,
)
_ITEM = re.compile(r"[\s*#>-]*\d{1,3}\.\Z")
# Runs are taken whole and only from their first character, so that none is tried twice.
_CLAUSE = re.compile(
    r"[,;:]\s+|(?<!\s)\s++[-–—]+\s+|—|\.\.\.\s*|…\s*"
    r"|(?<!\s)\s++(?=(?:and|but|because|cos|cuz|though|although|yet|which\sis\swhy)\s)"
    r"|(?<!\s)\s++(?=(?:so|since)\s(?:i|i['’]?m|it|it['’]?s|that|that['’]?s|he|she|they|we|"
    r"you|the|my|this|there|please|if|now|then|yes|no|just)\b)",
    re.IGNORECASE,
)
_MAX_PIECES = 400


@dataclass(frozen=True, slots=True)
class Piece:
    """A sentence, or a block that is kept as it is.

    Attributes:
        text: Without surrounding white space.
        verbatim: Whether it is code, a quoted passage or a table.
    """

    text: str
    verbatim: bool


def pieces_of(text: str) -> list[Piece]:
    """Return the sentences and verbatim blocks of a turn; at most 400, the last takes the rest."""
    pieces: list[Piece] = []
    at = 0
    for fence in _FENCE.finditer(text):
        pieces += _lines(text[at : fence.start()])
        pieces.append(Piece(fence.group().strip(), verbatim=True))
        at = fence.end()
    pieces += _lines(text[at:])
    kept = [piece for piece in pieces if piece.text]
    if len(kept) <= _MAX_PIECES:
        return kept
    rest = " ".join(piece.text for piece in kept[_MAX_PIECES - 1 :])
    return [*kept[: _MAX_PIECES - 1], Piece(rest, verbatim=True)]


def clauses_of(sentence: str) -> list[str]:
    """Return the clauses of a sentence, each with the separator that closes it.

    Joined again they are the sentence. Quotations are never cut.
    """
    quoted = Quotations(sentence)
    marks = [mark for mark in _CLAUSE.finditer(sentence) if mark.start() > 0]
    inner = [mark.end() for mark in marks if not quoted.around(mark.start())]
    cuts = [0, *(cut for cut in inner if cut < len(sentence)), len(sentence)]
    return [sentence[a:b] for a, b in itertools.pairwise(cuts) if a < b]


class Quotations:
    """Where quotations and code stand in a text."""

    def __init__(self, text: str) -> None:
        self.spans = [match.span() for match in _QUOTED.finditer(text)]
        self._starts = [start for start, _ in self.spans]
        self._ends = frozenset(end for _, end in self.spans)

    def around(self, at: int) -> bool:
        """Whether a place lies inside one of them."""
        index = bisect.bisect_left(self._starts, at) - 1
        return index >= 0 and at < self.spans[index][1]

    def close(self, at: int) -> bool:
        """Whether one of them ends at a place."""
        return at in self._ends


def _lines(text: str) -> list[Piece]:
    pieces: list[Piece] = []
    block: list[str] = []
    for line in text.split("\n"):
        if _is_verbatim(line.rstrip()):
            block.append(line)
            continue
        if block:
            pieces.append(Piece("\n".join(block).strip(), verbatim=True))
            block = []
        pieces += [Piece(sentence, verbatim=False) for sentence in _sentences(line)]
    if block:
        pieces.append(Piece("\n".join(block).strip(), verbatim=True))
    return pieces


def _is_verbatim(line: str) -> bool:
    opens = line.endswith(":") and _OPENS_BLOCK.match(line) is not None
    return opens or _VERBATIM_LINE.match(line) is not None


def _sentences(line: str) -> list[str]:
    quoted = Quotations(line)
    found: list[str] = []
    start = 0
    for match in _END.finditer(line):
        if not _ends_sentence(line, match, quoted):
            continue
        found.append(line[start : match.end()].strip())
        start = match.end()
    found.append(line[start:].strip())
    return [sentence for sentence in found if sentence]


def _ends_sentence(line: str, mark: re.Match[str], quoted: Quotations) -> bool:
    end = mark.end()
    if quoted.around(mark.start()):
        # Only the mark that closes the quotation, before a new sentence.
        return quoted.close(end) and not line[end : end + 2].strip()[:1].islower()
    if mark.group() == ".":
        short = _ABBREVIATION.search(line[max(0, end - 8) : end]) or _ITEM.match(line[:end])
        return short is None
    trails_off = mark.group().startswith(("...", "…"))
    return not (trails_off and line[end : end + 2].strip()[:1].islower())
