"""What all requests together may spend on further calls, per minute."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_WINDOW = 60.0


@dataclass(slots=True)
class _Second:
    """What was spent within one second."""

    began: float
    calls: int = 0
    tokens: int = 0


class Budget:
    """Counts further calls and their tokens over the last minute. Safe for any number of threads.

    What was spent counts for a minute (to the second) and is then forgotten; memory is bounded.

    Args:
        calls: Further calls per minute at most; None: no limit.
        tokens: Tokens of further calls per minute, after which no further call begins; None: no
            limit. A call's tokens are known when it has ended, so the last one may go over.
        clock: Monotonic seconds.
    """

    def __init__(self, calls: int | None, tokens: int | None, clock: Callable[[], float]) -> None:
        self._calls = calls
        self._tokens = tokens
        self._clock = clock
        self._lock = threading.Lock()
        self._seconds: deque[_Second] = deque()

    def take(self) -> bool:
        """Take one call, if there is one left; returns whether there was."""
        if self._calls is None and self._tokens is None:
            return True
        with self._lock:
            second = self._now()
            calls = sum(each.calls for each in self._seconds)
            tokens = sum(each.tokens for each in self._seconds)
            if self._calls is not None and calls >= self._calls:
                return False
            if self._tokens is not None and tokens >= self._tokens:
                return False
            second.calls += 1
        return True

    def give_back(self) -> None:
        """Take back the last call that was taken: it came to nothing and cost nothing."""
        with self._lock:
            second = next((each for each in reversed(self._seconds) if each.calls), None)
            if second is not None:
                second.calls -= 1

    def spend(self, tokens: int) -> None:
        """Count the tokens of a call that has ended."""
        if self._tokens is None:
            return
        with self._lock:
            self._now().tokens += tokens

    def _now(self) -> _Second:
        now = self._clock()
        while self._seconds and self._seconds[0].began <= now - _WINDOW:
            self._seconds.popleft()
        if not self._seconds or self._seconds[-1].began <= now - 1.0:
            self._seconds.append(_Second(now))
        return self._seconds[-1]
