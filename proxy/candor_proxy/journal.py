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
        """Start with nothing left out.

        Args:
            server: The upstream's host, as lines name it.
            clock: Seconds.
        """
        self._server = server
        self._clock = clock
        self._next = float("-inf")
        self._left_out = 0

    def no_reply(self, request_id: str, error: CandorGuardError) -> None:
        """Say that a client got an error instead of a reply."""
        self._warn("no reply to", request_id, error)

    def broken_off(self, request_id: str, error: CandorGuardError) -> None:
        """Say that a reply ended before its end."""
        self._warn("upstream broke off the reply to", request_id, error)

    def decision(
        self, request_id: str, surface: str, model: str | None, outcome: Outcome, seconds: float
    ) -> None:
        """Say what became of a reply that was read.

        Args:
            request_id: As the client was told.
            surface: Name of the format.
            model: The name that the request gives it.
            outcome: Of the reply.
            seconds: From the request's body to the reply's end.
        """
        verdict, probe = outcome.first_verdict, outcome.probe
        _log.info(
            "reply to %s: surface=%s model=%s action=%s labels=%s score=%s probe=%s calls=%d ms=%d",
            request_id, surface, printable(model), outcome.action,
            ",".join(outcome.labels) or "-",
            "-" if verdict is None else f"{verdict.score:.4f}",
            "-" if probe is None else probe["result"],
            max(1, len(outcome.attempts)), round(1000 * seconds),
        )  # fmt: skip

    def _warn(self, what: str, request_id: str, error: CandorGuardError) -> None:
        now = self._clock()
        if now < self._next:
            self._left_out += 1
            return
        # The class only: what an upstream says of an error may quote the request.
        line = f"{what} {request_id}: {type(error).__name__} {self._server}"
        if self._left_out:
            line += f" (and {self._left_out} more since the last such line)"
        self._next, self._left_out = now + _SECONDS_BETWEEN, 0
        _log.warning("%s", line)


def printable(name: str | None) -> str:
    """Return a client's word so that it can neither end a line nor fill the log."""
    if not name:
        return "-"
    short = name[:_LONGEST_NAME]
    # Quoted where a space or a quote could be taken for the next field.
    plain = short.isprintable() and short.isascii() and not set(short) & set(" \"'=\\")
    return short if plain else ascii(short)
