"""What the log says of single replies: failures always, decisions on request; never content."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from candor_guard.errors import CandorGuardError
from candor_guard.outcome import Outcome
from candor_proxy.throttle import Throttle

_log = logging.getLogger("candor_proxy")

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
        # An upstream that is down fails every request; the metrics count what the log leaves out.
        self._failures, self._refusals = Throttle(clock), Throttle(clock)

    def no_reply(self, request_id: str, error: CandorGuardError) -> None:
        """Say that a client got an error instead of a reply."""
        self._warn("no reply to", request_id, error)

    def broken_off(self, request_id: str, error: CandorGuardError) -> None:
        """Say that a reply ended before its end."""
        self._warn("upstream broke off the reply to", request_id, error)

    def overloaded(self) -> None:
        """Say that a request was refused because too many are waiting."""
        self._refusals.warning("refused a request with 503: this worker is busy")

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
        # The class only: what an upstream says of an error may quote the request.
        kind = type(error).__name__
        self._failures.warning("%s %s: %s %s", what, request_id, kind, self._server)


def printable(name: str | None) -> str:
    """Return a client's word so that it can neither end a line nor fill the log."""
    if not name:
        return "-"
    short = name[:_LONGEST_NAME]
    # Quoted where a space or a quote could be taken for the next field.
    plain = short.isprintable() and short.isascii() and not set(short) & set(" \"'=\\")
    return short if plain else ascii(short)
