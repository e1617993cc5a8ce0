"""Where a text ends, without the hopes, offers and thanks that models close with."""

from __future__ import annotations

import re

FAREWELL = re.compile(
    r"\W{0,6}(?:i (?:do )?(?:hope|appreciate|apologi[sz]e|am (?:sorry|happy|glad))|i['’]m (?:sorry|happy|glad)|"
    r"let me know|(?:please )?feel free|please (?:let|ask|double)|thank|sorry|apologies|happy to|"
    r"if (?:you|there|it)\b|is there|would you|do you|does (?:this|that)|hope|perhaps your|good (?:luck|catch))",
    re.I,
)
END = re.compile(r"[.!?]\s|\n")
_CLOSING_CHARS = 220


def without_farewell(text: str) -> str:
    """Drop what models close with: hopes, offers, thanks, apologies. One sentence always stays."""
    starts = [0, *(m.end() for m in END.finditer(text.rstrip()))]
    while len(starts) > 1 and (
        not text[starts[-1] :].strip() or FAREWELL.match(text[starts[-1] :])
    ):
        text = text[: starts.pop()].rstrip()
    return text


def closing_of(text: str) -> str:
    """The last two sentences, or so many characters of them."""
    text = without_farewell(text).rstrip()
    tail = text[-_CLOSING_CHARS:]
    ends = [m.end() for m in END.finditer(tail)]
    return tail[ends[-2] :] if len(ends) > 1 else tail
