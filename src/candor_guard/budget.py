"""What all requests together may spend on further calls, per minute."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

_WINDOW = 60.0
_WEIGHT = 0.25  # of the latest call, in what is usual


@dataclass(slots=True)
class _Second:
    """What was spent within one second, and what calls that began in it have reserved."""

    began: float
    calls: int = 0
    tokens: int = 0
    waited: float = 0.0


@dataclass(frozen=True, slots=True)
class Ticket:
    """One call that was taken; handed back to `Budget.spend` or `Budget.give_back`, once."""

    second: _Second
    tokens: int
    waited: float


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

    What was spent counts for a minute (to the second) and is then forgotten; memory is bounded. What
    a call will cost is known when it has ended. Until then it counts with an estimate: the usual
    cost of the calls before it, and at least what its request takes.

    Args:
        calls: Further calls per minute at most; None: no limit.
        tokens: Tokens of further calls per minute, after which no further call begins; None: no
            limit. Calls that cost more than the estimate may go over.
        clock: Monotonic seconds.
        seconds: Seconds of further calls, from sending to their end, per minute, after which no
            further call begins; None: no limit. Calls that run at the same time count each, and
            those that take longer than the estimate may go over.
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
        self._usual_tokens = 1.0
        self._usual_wait = 1.0

    def take(self, tokens: int = 0) -> Ticket | None:
        """Take one call, if there is one left, whose request has so many tokens; None: there is none."""
        if self._limits == _Limits():
            return Ticket(_Second(0.0), 0, 0.0)
        with self._lock:
            second = self._now()
            if self._limits.reached(self._seconds):
                return None
            ticket = Ticket(second, max(tokens, math.ceil(self._usual_tokens)), self._usual_wait)
            _add(second, 1, ticket.tokens, ticket.waited)
        return ticket

    def give_back(self, ticket: Ticket) -> None:
        """Take back a call: it came to nothing and cost nothing."""
        with self._lock:
            _add(ticket.second, -1, -ticket.tokens, -ticket.waited)

    def spend(self, ticket: Ticket, tokens: int, seconds: float = 0.0) -> None:
        """Count what a call that has ended did cost, in place of its estimate."""
        if self._limits == _Limits():
            return
        with self._lock:
            _add(ticket.second, 0, -ticket.tokens, -ticket.waited)
            _add(self._now(), 0, tokens, seconds)
            self._usual_tokens += (tokens - self._usual_tokens) * _WEIGHT
            self._usual_wait += (seconds - self._usual_wait) * _WEIGHT

    def _now(self) -> _Second:
        now = self._clock()
        while self._seconds and self._seconds[0].began <= now - _WINDOW:
            self._seconds.popleft()
        if not self._seconds or self._seconds[-1].began <= now - 1.0:
            self._seconds.append(_Second(now))
        return self._seconds[-1]


def _add(second: _Second, calls: int, tokens: int, waited: float) -> None:
    # One that is a minute old is in no sum any more, and may have any values.
    second.calls += calls
    second.tokens += tokens
    second.waited += waited
