"""What all requests together may spend on further calls, per minute."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

_WINDOW = 60.0


@dataclass(slots=True)
class _Second:
    """What was spent within one second."""

    began: float
    calls: int = 0
    tokens: int = 0
    waited: float = 0.0


@dataclass(frozen=True, slots=True)
class _Limits:
    """Per minute; None: no limit."""

    calls: int | None = None
    tokens: int | None = None
    waited: float | None = None

    def reached(self, spent: Collection[_Second]) -> bool:
        """Whether one of them is spent."""
        return any(
            (
                self.calls is not None and sum(each.calls for each in spent) >= self.calls,
                self.tokens is not None and sum(each.tokens for each in spent) >= self.tokens,
                self.waited is not None and sum(each.waited for each in spent) >= self.waited,
            )
        )


class Budget:
    """Counts further calls, their tokens and their time over the last minute. Safe for any number of threads.

    What was spent counts for a minute (to the second) and is then forgotten; memory is bounded.

    Args:
        calls: Further calls per minute at most; None: no limit.
        tokens: Tokens of further calls per minute, after which no further call begins; None: no
            limit. A call's tokens are known when it has ended, so the last one may go over.
        clock: Monotonic seconds.
        seconds: Seconds of further calls, from sending to their end, per minute, after which no
            further call begins; None: no limit. Calls that run at the same time count each, and
            the last ones may go over.
    """

    def __init__(
        self,
        calls: int | None,
        tokens: int | None,
        clock: Callable[[], float],
        seconds: float | None = None,
    ) -> None:
        self._limits = _Limits(calls, tokens, seconds)
        self._clock = clock
        self._lock = threading.Lock()
        self._seconds: deque[_Second] = deque()

    def take(self) -> bool:
        """Take one call, if there is one left; returns whether there was."""
        if self._limits == _Limits():
            return True
        with self._lock:
            second = self._now()
            if self._limits.reached(self._seconds):
                return False
            second.calls += 1
        return True

    def give_back(self) -> None:
        """Take back the last call that was taken: it came to nothing and cost nothing."""
        with self._lock:
            second = next((each for each in reversed(self._seconds) if each.calls), None)
            if second is not None:
                second.calls -= 1

    def spend(self, tokens: int, seconds: float = 0.0) -> None:
        """Count the tokens of a call that has ended, and how long it took."""
        if self._limits == _Limits():
            return
        with self._lock:
            now = self._now()
            now.tokens += tokens
            now.waited += seconds

    def _now(self) -> _Second:
        now = self._clock()
        while self._seconds and self._seconds[0].began <= now - _WINDOW:
            self._seconds.popleft()
        if not self._seconds or self._seconds[-1].began <= now - 1.0:
            self._seconds.append(_Second(now))
        return self._seconds[-1]
