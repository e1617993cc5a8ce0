"""What of a text is prose: code stands aside, and marks that only lay out or stamp it go.

A listing of twenty lines is twenty sentences to whoever counts lines, and what the reply says about it
drowns. Chat bridges and front ends write the time beside what their users say, and a date looks like
evidence.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

# A fence opens and closes at the start of a line; one that is not closed goes on to the end.
_FENCED: Final = re.compile(
    r"^[ \t]{0,3}```.*?(?:^[ \t]{0,3}```[^\n]*$|\Z)", re.MULTILINE | re.DOTALL
)
_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_FEWEST_WORDS: Final = 3
_CLOCK: Final = r"\d{1,2}:\d\d(?::\d\d(?:\.\d{1,6})?)?(?: ?[AaPp][Mm])?"
_ZONE: Final = r"(?: ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?"
_DAY: Final = r"\d{4}-\d\d-\d\d"
# A day alone may be what is talked about; with a time, in brackets or named as the date it is a stamp.
_STAMP: Final = (
    rf"{_DAY}[T ]{_CLOCK}{_ZONE}|[\[(](?:{_DAY}|{_CLOCK}|{_DAY}[T ]{_CLOCK}{_ZONE})[\])]|"
    r"(?:current |today['’]s |local )?(?:date|time|date and time|timestamp): ?[^\n.;)]{4,30}(?:[.;]|(?=\n)|\Z)"
)
_OPENING: Final = re.compile(rf"\s*(?:{_STAMP})[\s,:–—-]{{0,3}}(?=\S)", re.IGNORECASE)
_CLOSING: Final = re.compile(rf"\s{{1,3}}(?:{_STAMP})\s*\Z", re.IGNORECASE)
# A turn may be of any length, and is bounded only by who reads it.
_LONGEST_STAMP: Final = 120
_QUOTES: Final = str.maketrans("‘’‛´`“”„", "''''`\"\"\"")


def blank_code(text: str) -> tuple[str, list[str]]:
    """Return a text of equal length with blanks for its fenced code, and the code.

    A text that is next to nothing but code stays as it is.
    """
    if "```" not in text:
        return text, []
    code = [match.group() for match in _FENCED.finditer(text)]
    blank = _FENCED.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    return (blank, code) if _says_something(blank) else (text, [])


def without_code(text: str) -> str:
    """Return a text with a word for each piece of fenced code; a text of code alone stays."""
    if "```" not in text:
        return text
    said = _FENCED.sub("(code)", text)
    return said if _says_something(said.replace("(code)", "")) else text


def without_stamps(text: str) -> str:
    """Return a turn without the date or time that stands before it or behind it, unless it is all."""
    opening = _OPENING.match(text[:_LONGEST_STAMP])
    begin = opening.end() if opening is not None else 0
    closing = _CLOSING.search(text, max(begin, len(text) - _LONGEST_STAMP))
    said = text[begin : closing.start() if closing is not None else len(text)]
    return said if said.strip() else text


def plain_quotes(text: str) -> str:
    """Return a text of equal length with the quotation marks and apostrophes of a typewriter."""
    return text if text.isascii() else text.translate(_QUOTES)


def _says_something(text: str) -> bool:
    return len(list(islice(_WORD.finditer(text), _FEWEST_WORDS))) == _FEWEST_WORDS
