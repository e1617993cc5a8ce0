"""Where the beginning of a growing text is worth a reading: at some of its sentence ends.

Only the text decides, never the pieces that it comes in: whether a place counts depends on nothing
behind the one character that follows it.
"""

from __future__ import annotations

import re

# An end mark with its closing quotes, brackets or emphasis before white space, or a line's end.
_END = re.compile(r"""[。！？]|[.!?…]["'”’»)\]*_`]{0,4}(?=\s)|[^\s.!?…。！？](?=\n)""")
_LONGEST_MATCH = 6  # the character behind it included
# Chosen by `benchmarks.prefixes`.
GROWTH = 2.0
_FARTHEST = 16_384


class Milestones:
    """Finds the places, each at least twice as far as the one before.

    So there are few of them in any text, and reading every beginning costs no more than twice
    what reading the last one costs. Beyond 16384 characters there are none.

    Args:
        first: Characters before the first place at least.
        growth: How many times as far each place is as the one before, at least; above 1.
    """

    def __init__(self, first: int, growth: float = GROWTH) -> None:
        self._target = first
        self._growth = growth
        self._resume = 0
        self._sentences = 0

    def next(self, text: str) -> tuple[int, int] | None:
        """Return the next place and how many sentences end there or before; None: not yet.

        Args:
            text: All of the text that is known; at every call as long as before or longer.
        """
        if len(text) <= self._target or self._target > _FARTHEST:
            return None  # spares the search while the text is short, and when it is long
        for match in _END.finditer(text, self._resume):
            self._resume = match.end()
            self._sentences += 1
            if self._resume >= self._target:
                self._target = int(self._resume * self._growth) + 1
                return (self._resume, self._sentences) if self._resume <= _FARTHEST else None
        self._resume = max(self._resume, len(text) - _LONGEST_MATCH)
        return None
