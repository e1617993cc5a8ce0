"""Prometheus metrics: counts, times and sizes, never content."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache, partial
from typing import Literal

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client import values as value_store
from prometheus_client.multiprocess import MultiProcessCollector

from candor_guard.outcome import Attempt, Outcome, total_tokens

CONTENT_TYPE = CONTENT_TYPE_LATEST
# From a gate alone to a stream that is read ten times, or waits while others are.
_GUARD_BUCKETS = (0.0001, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_CALL_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# Names come from clients, and each one is a series in memory for as long as the process lives.
_APP_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MOST_APPS = 100
_OTHER = "other"
# Why a request has no outcome: the upstream (or we) did not bring a reply, or its client left.
NoEnd = Literal["failed", "abandoned"]


class Metrics:
    """The metrics of one app, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        count = partial(Counter, registry=self._registry)
        histogram = partial(Histogram, registry=self._registry)
        # fmt: off
        self._requests = count("candor_requests",
            "Guarded requests by what was done or why nothing was",
            ["surface", "mode", "action", "evaluated"])
        self._labels = count("candor_flagged",
            "Original replies found at fault, by label", ["label"])
        self._skipped = count("candor_skipped",
            "Replies delivered unread or not replaced, by reason", ["reason"])
        self._corrected = count("candor_corrected",
            "Released replies that a correction was appended to")
        self._probes = count("candor_probes",
            "Requests with a probe, by its last result and what it decided",
            ["purpose", "result", "ruling"])
        self._reviews = count("candor_probes_regenerated",
            "Requests with a probe about a regenerated reply, by what came of it",
            ["purpose", "result"])
        self._calls = count("candor_upstream_calls",
            "Upstream calls by purpose and result", ["purpose", "result"])
        self._tokens = count("candor_upstream_tokens",
            "Tokens of upstream calls, as far as the upstream told them", ["purpose"])
        self._call_seconds = histogram("candor_upstream_call_seconds",
            "Duration of upstream calls to the end of their body", ["purpose"],
            buckets=_CALL_BUCKETS)
        self._guard_seconds = histogram("candor_guard_seconds",
            "Time in gate and detector per request", buckets=_GUARD_BUCKETS)
        self._app_requests = count("candor_app_requests",
            "Guarded requests that name their app, by what was done",
            ["app", "action", "evaluated"])
        self._app_calls = count("candor_app_upstream_calls",
            "Upstream calls for requests that name their app", ["app", "purpose"])
        self._app_tokens = count("candor_app_upstream_tokens",
            "Tokens of these calls, as far as the upstream told them", ["app", "purpose"])
        self._upstream_errors = count("candor_upstream_errors",
            "Upstream failures by kind", ["kind"])
        self._invalid = count("candor_invalid_requests",
            "Requests that the proxy itself refused", ["status"])
        self._gone = count("candor_client_disconnects",
            "Clients that left before the end")
        self._in_flight = Gauge("candor_requests_in_flight",
            "Guarded requests being answered",
            registry=self._registry, multiprocess_mode="livesum")
        # fmt: on
        self._apps: set[str] = set()
        # What every request needs; the labels have few values, and finding their metric takes as
        # long as all the counting.
        self._requests_of = cache(self._requests.labels)
        self._calls_of = cache(self._calls.labels)
        self._call_seconds_of = cache(self._call_seconds.labels)
        self._tokens_of = cache(self._tokens.labels)

    def observe(self, surface: str, outcome: Outcome, app: str | None = None) -> None:
        """Count one guarded reply.

        Args:
            surface: Name of the format.
            outcome: Of the reply.
            app: The name that the request gives its app.
        """
        self._requests_of(surface, outcome.mode, outcome.action, outcome.evaluated).inc()
        self._guard_seconds.observe(outcome.guard_seconds)
        for label in outcome.labels:
            self._labels.labels(label).inc()
        if outcome.skipped is not None:
            self._skipped.labels(outcome.skipped).inc()
        if outcome.corrected:
            self._corrected.inc()
        if outcome.probe is not None:
            told = (outcome.probe[key] or "none" for key in ("purpose", "result", "ruling"))
            self._probes.labels(*told).inc()
            if outcome.probe["regenerated"] is not None:
                self._reviews.labels(outcome.probe["purpose"], outcome.probe["regenerated"]).inc()
        self.observe_calls(outcome.attempts, app)
        if app:
            self._app_requests.labels(self._app(app), outcome.action, outcome.evaluated).inc()

    def observe_unfinished(self, surface: str, mode: str, end: NoEnd, app: str | None) -> None:
        """Count one guarded request that came to no end; its calls are counted apart.

        Args:
            surface: Name of the format.
            mode: In force for it.
            end: Why there is no outcome; stands where the action would.
            app: The name that the request gives its app.
        """
        self._requests_of(surface, mode, end, "none").inc()
        if app:
            self._app_requests.labels(self._app(app), end, "none").inc()

    def observe_calls(self, attempts: Sequence[Attempt], app: str | None = None) -> None:
        """Count upstream calls, those of requests that came to no end among them."""
        for attempt in attempts:
            self._calls_of(attempt.purpose, attempt.result).inc()
            self._call_seconds_of(attempt.purpose).observe(attempt.seconds)
            if attempt.failure is not None:
                self.upstream_failed(attempt.failure)
            counted = self._tokens_of(attempt.purpose)  # there, with 0, also where none are told
            tokens = total_tokens(attempt.usage)
            if tokens:
                counted.inc(tokens)
            if app:
                told = self._app(app), attempt.purpose
                self._app_calls.labels(*told).inc()
                self._app_tokens.labels(*told).inc(tokens or 0)

    def _app(self, name: str) -> str:
        """The label of an app: its name, or that of all whose name is odd or comes too late."""
        if name not in self._apps:
            if len(self._apps) >= _MOST_APPS or not _APP_NAME.fullmatch(name):
                return _OTHER
            self._apps.add(name)
        return name

    def upstream_failed(self, kind: str) -> None:
        """Count a failure of the upstream; `kind` is the exception's name."""
        self._upstream_errors.labels(kind).inc()

    def invalid(self, status: int) -> None:
        """Count a request that was refused."""
        self._invalid.labels(str(status)).inc()

    def client_gone(self) -> None:
        """Count a client that left early."""
        self._gone.inc()

    def in_flight(self) -> AbstractContextManager[object]:
        """Count a request while it is being answered."""
        return self._in_flight.track_inprogress()

    def render(self) -> bytes:
        """Return the text exposition; of all workers where there are several."""
        registry = self._registry
        if value_store.ValueClass.__name__ != "MutexValue":
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # upstream is untyped
        return generate_latest(registry)
