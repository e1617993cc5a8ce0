"""Small helpers on text: bounds, invisible characters, patterns that forgive spelling."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

CUT = " […] "

# Zero-width and direction marks, control characters other than tab and line breaks.
_INVISIBLE = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c"
    "\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]"
)
_LONE_SURROGATES = re.compile("[\ud800-\udfff]")
EMOJI = re.compile("[\u2600-\u27bf\u2b00-\u2bff\ufe0f\u20e3\U0001f000-\U0001faff]")


def clip(text: str, limit: int) -> str:
    """Return at most `limit` characters: the text, or its head and tail around a mark.

    The head gets two thirds: people open with what they claim and end with what they want.
    """
    if len(text) <= limit:
        return text
    room = max(0, limit - len(CUT))
    head = room - room // 3
    tail = room - head
    return (text[:head] + CUT + text[len(text) - tail :])[:limit]


def visible(text: str) -> str:
    """Return the text without characters that a reader cannot see but a model can."""
    return _LONE_SURROGATES.sub("\ufffd", _INVISIBLE.sub("", text))


def words(text: str) -> frozenset[str]:
    """Return the words of a list that is written as one text."""
    return frozenset(text.split())


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression that ignores case and is compiled when it is first used.

    There are hundreds of long ones here; a program that never asks a probe should not wait for
    them. `candor_guard.neutral.prepare` compiles them ahead.
    """

    source: str

    def match(self, text: str) -> re.Match[str] | None:
        """Match at the start of a text."""
        return _compiled(self.source).match(text)

    def search(self, text: str, start: int = 0) -> re.Match[str] | None:
        """Find the first match from a place on."""
        return _compiled(self.source).search(text, start)

    def sub(self, write: Callable[[re.Match[str]], str], text: str) -> str:
        """Replace every match."""
        return _compiled(self.source).sub(write, text)


def pattern(source: str) -> Pattern:
    """Return a pattern that is written in plain words.

    An apostrophe may be typographic or missing; ``~`` is one that must be there ("I'll", not
    "ill"). A blank stands for white space.
    """
    return Pattern(_TOKEN.sub(_spelled, source))


@cache
def _compiled(source: str) -> re.Pattern[str]:
    return re.compile(source, re.IGNORECASE)


_TOKEN = re.compile(r"\[(?:\\.|[^\]])*\]|\\.| \?| |'|~")
# At most three blanks: a run of blanks must not be tried in every way.
_SPELLED = {" ": r"\s{1,3}", " ?": r"\s{0,3}", "'": "['’]?", "~": "['’]"}


def _spelled(match: re.Match[str]) -> str:
    token = match.group()
    if token.startswith("["):
        return token.replace("'", "'’").replace(" ", r"\s")
    return _SPELLED.get(token, token)
