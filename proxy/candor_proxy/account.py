"""What the proxy counts and logs of one guarded answer."""

from __future__ import annotations

import logging
import time

from candor_guard.errors import InvalidRequestError, UpstreamError
from candor_guard.outcome import Outcome
from candor_guard.policy import Mode
from candor_guard.surface import GuardedRequest
from candor_guard.wire.json import dump
from candor_proxy.errors import describe
from candor_proxy.journal import Journal
from candor_proxy.metrics import Metrics, NoEnd
from candor_proxy.options import ProxyOptions

_log = logging.getLogger("candor_proxy")


class Account:
    """A `candor_guard.integrations.serving.answer.Witness`.

    Args:
        request: That is answered.
        request_id: As the client is told.
        app: The name that the request gives its app.
        mode: In force for it.
        options: What is logged.
        metrics: Counts.
        journal: Logs.
    """

    __slots__ = (
        "_app", "_began", "_counted", "_journal", "_metrics", "_mode", "_options", "_request_id",
        "_surface",
    )  # fmt: skip

    def __init__(
        self, request: GuardedRequest, request_id: str, app: str | None, mode: Mode,
        options: ProxyOptions, metrics: Metrics, journal: Journal,
    ) -> None:  # fmt: skip
        self._surface = request.surface.name
        self._request_id = request_id
        self._app = app
        self._mode = mode
        self._options = options
        self._metrics = metrics
        self._journal = journal
        self._began = time.monotonic()
        self._counted = False

    def finished(self, outcome: Outcome) -> None:
        """Count and log a reply's end."""
        self._counted = True
        self._metrics.observe(self._surface, outcome, self._app)
        if self._options.log_content:
            _log_content(outcome)
        if self._options.log_decisions and outcome.evaluated == "full":
            self._log_decision(outcome)
        if outcome.detector_error is not None:
            told = outcome.request_id, outcome.action, outcome.detector_error
            _log.warning("detector failed (%s, action %s): %s", *told)

    def failed(self, error: UpstreamError | InvalidRequestError, *, begun: bool) -> None:
        """Count and log that there is no reply, or half of one."""
        if isinstance(error, UpstreamError):
            self._metrics.upstream_failed(type(error).__name__)
            self._count_unfinished("failed")
        else:
            self._metrics.invalid(describe(error)[0])
        if begun:
            self._journal.broken_off(self._request_id, error)
        elif isinstance(error, UpstreamError):
            self._journal.no_reply(self._request_id, error)

    def ended(self, error: BaseException) -> None:
        """Count a reply that came to no end."""
        self._count_unfinished("failed" if isinstance(error, Exception) else "abandoned")

    def _count_unfinished(self, end: NoEnd) -> None:
        if not self._counted:  # else there was an outcome, and only telling it went wrong
            self._metrics.observe_unfinished(self._surface, self._mode, end, self._app)

    def _log_decision(self, outcome: Outcome) -> None:
        model = next((call.model for call in outcome.attempts if call.purpose == "original"), None)
        seconds = time.monotonic() - self._began
        self._journal.decision(self._request_id, self._app, self._surface, model, outcome, seconds)


def _log_content(outcome: Outcome) -> None:
    """Log what further calls changed and found, a line each; JSON keeps a line one line."""
    for attempt in outcome.attempts:
        if attempt.content is not None:
            told = dump(attempt.content).decode()
            _log.info("%s of %s: %s", attempt.purpose, outcome.request_id, told)
