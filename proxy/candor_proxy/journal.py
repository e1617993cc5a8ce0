"""What the log says of single replies: failures always, decisions on request; never content."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from candor_guard.errors import CandorGuardError
from candor_guard.outcome import Outcome

_log = logging.getLogger("candor_proxy")

# An upstream that is down fails every request; the metrics count what the log leaves out.
_SECONDS_BETWEEN = 1.0
_LONGEST_NAME = 80


class Journal:
    """Writes lines about replies, each with the id that the client was told."""

    def __init__(self, server: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with nothing left out; failures and refusals are counted apart.

        Args:
            server: The upstream's host, as lines name it.
            clock: Seconds.
        """
        self._server = server
        self._failures, self._refusals = Pace(clock), Pace(clock)

    def no_reply(self, request_id: str, error: CandorGuardError) -> None:
        """Say that a client got an error instead of a reply."""
        self._warn("no reply to", request_id, error)

    def broken_off(self, request_id: str, error: CandorGuardError) -> None:
        """Say that a reply ended before its end."""
        self._warn("upstream broke off the reply to", request_id, error)

    def overloaded(self) -> None:
        """Say that a request was refused because too many are waiting."""
        left_out = self._refusals.left_out()
        if left_out is not None:
            _log.warning("refused a request with 503: this worker is busy%s", more(left_out))

    def decision(
        self, request_id: str, app: str | None, surface: str, model: str | None,
        outcome: Outcome, seconds: float,
    ) -> None:  # fmt: skip
        """Say what became of a reply that was read.

        Args:
            request_id: As the client was told.
            app: The name that the request gives its app.
            surface: Name of the format.
            model: The name that the request gives it.
            outcome: Of the reply.
            seconds: From the request's body to the reply's end.
        """
        verdict, probe = outcome.first_verdict, outcome.probe
        _log.info(
            "reply to %s: app=%s surface=%s model=%s action=%s labels=%s score=%s probe=%s calls=%d ms=%d",
            request_id, printable(app), surface, printable(model), outcome.action,
            ",".join(outcome.labels) or "-",
            "-" if verdict is None else f"{verdict.score:.4f}",
            "-" if probe is None else probe["result"],
            max(1, len(outcome.attempts)), round(1000 * seconds),
        )  # fmt: skip

    def _warn(self, what: str, request_id: str, error: CandorGuardError) -> None:
        left_out = self._failures.left_out()
        if left_out is not None:
            # The class only: what an upstream says of an error may quote the request.
            told = what, request_id, type(error).__name__, self._server, more(left_out)
            _log.warning("%s %s: %s %s%s", *told)


class Pace:
    """Lets one line of a kind through each `_SECONDS_BETWEEN` and counts the others.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._next = float("-inf")
        self._left_out = 0

    def left_out(self) -> int | None:
        """How many lines were left out since the last one; None where this one is, too."""
        now = self._clock()
        if now < self._next:
            self._left_out += 1
            return None
        self._next, found = now + _SECONDS_BETWEEN, self._left_out
        self._left_out = 0
        return found


def more(left_out: int) -> str:
    """Return what a line adds about those that were left out before it."""
    return f" (and {left_out} more since the last such line)" if left_out else ""


def printable(name: str | None) -> str:
    """Return a client's word so that it can neither end a line nor fill the log."""
    if not name:
        return "-"
    short = name[:_LONGEST_NAME]
    # Quoted where a space or a quote could be taken for the next field.
    plain = short.isprintable() and short.isascii() and not set(short) & set(" \"'=\\")
    return short if plain else ascii(short)
