"""Log lines that others can cause at any rate, at a rate of ours."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

_log = logging.getLogger("candor_proxy")

_SECONDS_BETWEEN = 1.0


class Throttle:
    """Warns of one kind of thing once each `_SECONDS_BETWEEN` and counts the other times.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = float("-inf")
        self._left_out = 0

    def warning(self, line: str, *told: object) -> None:
        """Log a line with how many were left out before it, or leave this one out, too."""
        now = self._clock()
        if now < self._next:
            self._left_out += 1
            return
        before, self._left_out = self._left_out, 0
        self._next = now + _SECONDS_BETWEEN
        more = f" (and {before} more since the last such line)" if before else ""
        whole = f"{line}%s"
        _log.warning(whole, *told, more)
