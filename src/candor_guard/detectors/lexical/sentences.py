"""Cut text into sentences, with exact character offsets, in one linear pass."""

from __future__ import annotations

import re

from candor_guard.verdict import Span

# A boundary is a line break, or an end mark (with its closing quotes, brackets, emphasis) that is
# followed by white space. Every branch starts at a fixed character, so nothing backtracks.
_BOUNDARY = re.compile(r"""\n+|[.!?…。！？]["'”’»)\]*_`]{0,4}(?=\s)""")
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st vs etc e.g i.e eg ie no nos fig approx dept est inc ltd jr sr "
    "u.s u.k p.m a.m ca cf vol pp".split()
)
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
        if text[match.start()] == "." and _is_no_end(text, start, match.start()):
            continue
        if len(spans) + 1 >= limit:
            break
        _append(spans, text, (start, end), base)
        start = end
    _append(spans, text, (start, len(text)), base)
    return tuple(spans)


def _is_no_end(text: str, start: int, dot: int) -> bool:
    """Whether the dot belongs to an abbreviation, an initial or a list number."""
    tail = _LAST_WORD.search(text, max(start, dot - 8), dot)
    if tail is None:
        return False
    word = tail.group().lower()
    # "1." opens a list item when nothing but the number stands before the dot.
    opens_item = word.isdigit() and not text[start : tail.start()].strip(" \t\n*_#>-")
    initial = len(word) == 1 and word.isalpha() and tail.group().isupper() and word != "i"
    return opens_item or word in _ABBREVIATIONS or (initial and _names_someone(text, dot))


def _names_someone(text: str, dot: int) -> bool:
    """Whether "J." is followed by a name, not the option "B." by a new sentence's first word."""
    before = text[max(0, dot - 3) : dot - 1]
    return before[:1].islower() is False and before.strip() == "" and text[dot + 2 : dot + 3].isupper()


def _append(spans: list[Span], text: str, bounds: tuple[int, int], base: int) -> None:
    piece = text[bounds[0] : bounds[1]]
    stripped = piece.strip()
    if stripped:
        start = bounds[0] + len(piece) - len(piece.lstrip())
        spans.append(Span(stripped, base + start, base + start + len(stripped)))
