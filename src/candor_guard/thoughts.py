"""Thoughts that a model writes in front of its reply, into the reply's own text.

Servers that know how a model marks them deliver them apart (``reasoning_content``); others leave
``<think>…</think>`` in the text. They are not what is said to the user. Only thoughts at the very
start count, so that a reply about such tags stays a reply.
"""

from __future__ import annotations

import re
from typing import Final

_NAMES: Final = ("think", "thinking", "thought", "reasoning")
_TAGS: Final = tuple(f"<{name}>" for name in _NAMES)
_LEADING: Final = re.compile(rf"(?:\s*<({'|'.join(_NAMES)})>.*?(?:</\1>|\Z))+\s*", re.DOTALL)


def length_of_thoughts(text: str) -> int:
    """Return how many characters at the start of a text are thoughts, white space after included.

    Of thoughts that are not closed, all; 0 where a text does not begin with any.
    """
    found = _LEADING.match(text)
    return found.end() if found is not None else 0


class ThoughtFilter:
    """Takes the pieces of a text and gives what is said; where they are cut does not matter.

    White space before the first thoughts is given as it comes.
    """

    def __init__(self) -> None:
        self._held = ""  # what may yet become a tag, or the end of one
        self._end = ""  # the tag that ends the thoughts which are open
        self._said = self._thought = False

    @property
    def held(self) -> str:
        """Text at the end that is said unless more of it turns out to be a tag."""
        return "" if self._end else self._held

    def feed(self, piece: str) -> str:
        """Return what is said by the next piece."""
        if self._said:
            return piece
        self._held += piece
        given = ""
        while self._held and not self._said:
            if self._end:
                before, closed, self._held = self._held.partition(self._end)
                if not closed:
                    self._held = before[1 - len(self._end) :]
                    break
                self._end = ""
            blank, self._held = _split(self._held)
            given += "" if self._thought else blank
            tag = next((tag for tag in _TAGS if self._held.startswith(tag)), None)
            if tag is not None:
                self._end, self._thought = f"</{tag[1:]}", True
                self._held = self._held[len(tag) :]
            elif not any(tag.startswith(self._held) for tag in _TAGS):
                self._said = True
                given, self._held = given + self._held, ""
            else:
                break
        return given


def _split(text: str) -> tuple[str, str]:
    """Return the white space that a text begins with, and the rest."""
    rest = text.lstrip()
    return text[: len(text) - len(rest)], rest
