"""Cut text into sentences, with exact character offsets, in one linear pass."""

from __future__ import annotations

import re

from candor_guard.detectors.lexical.words import spread
from candor_guard.verdict import Span

# A boundary is a line break, or an end mark (with its closing quotes, brackets, emphasis) that is
# followed by white space. Every branch starts at a fixed character, so nothing backtracks.
_BOUNDARY = re.compile(r"""\n+|[.!?…。！？]["'”’»)\]*_`]{0,4}(?=\s)""")
_ABBREVIATIONS = frozenset(
    spread(
        "mr mrs ms dr prof st vs etc e.g i.e eg ie nos fig approx dept est inc ltd jr sr "
        "u.s u.k p.m a.m ca cf vol pp"
    )
)
# Without A to H, which end a sentence as the letter of an option, and without "I".
_INITIALS = frozenset("JKLMNOPQRSTUVWXYZ")
_LAST_WORD = re.compile(r"[\w.]{1,8}\Z")


def split_sentences(text: str, *, base: int = 0, limit: int = 400) -> tuple[Span, ...]:
    """Return the sentences of a text, without surrounding white space, empty ones left out.

    Args:
        text: Any text; markdown lines count as sentences of their own.
        base: Added to every offset, for a text that is a slice of a longer one.
        limit: At most so many sentences; the last one then takes the rest.
    """
    spans: list[Span] = []
    start = 0
    for match in _BOUNDARY.finditer(text):
        end = match.end()
        if _is_no_end(text, start, match):
            continue
        if len(spans) + 1 >= limit:
            break
        _append(spans, text, (start, end), base)
        start = end
    _append(spans, text, (start, len(text)), base)
    return tuple(spans)


def _is_no_end(text: str, start: int, mark: re.Match[str]) -> bool:
    """Whether the mark is a dot that belongs to an abbreviation, an initial or a list number."""
    if mark.group() != ".":
        return False
    dot = mark.start()
    tail = _LAST_WORD.search(text, max(start, dot - 8), dot)
    if tail is None:
        return False
    word = tail.group()
    if word.lower() == "no":
        # "No. 7", but not the answer "No."
        return text[dot + 1 : dot + 3].strip().isdigit()
    # "1." opens a list item when nothing but the number stands before the dot.
    opens_item = word.isdigit() and not text[start : tail.start()].strip(" \t\n*_#>-")
    return opens_item or word in _INITIALS or word.lower() in _ABBREVIATIONS


def _append(spans: list[Span], text: str, bounds: tuple[int, int], base: int) -> None:
    piece = text[bounds[0] : bounds[1]]
    stripped = piece.strip()
    if stripped:
        start = bounds[0] + len(piece) - len(piece.lstrip())
        spans.append(Span(stripped, base + start, base + start + len(stripped)))
