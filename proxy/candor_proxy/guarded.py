"""A guarded endpoint: one surface, pure ASGI, a fresh object for every request."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import NamedTuple

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from candor_guard.driver import Data, Event, Finished, Holding, Started
from candor_guard.errors import CandorGuardError, InvalidRequestError, UpstreamError
from candor_guard.guard import Guard
from candor_guard.integrations.problems import NO_RETRY
from candor_guard.integrations.wishes import MODE_HEADER, mode_of
from candor_guard.outcome import Outcome
from candor_guard.policy import Mode
from candor_guard.surface import GuardedRequest, Surface
from candor_guard.upstreams import UpstreamRequest, encoded
from candor_guard.wire.json import dump
from candor_proxy.errors import (
    describe,
    error_frame,
    error_response,
    refused,
    shaped,
    stalled,
    stopping,
    too_large,
)
from candor_proxy.faults import request_id_of
from candor_proxy.headers import find, find_all, path_below, to_client, to_upstream
from candor_proxy.inbox import (
    BodyStalledError,
    BodyTooLargeError,
    ClientGoneError,
    Inbox,
    end_task,
    line_of,
    need_room,
)
from candor_proxy.journal import Journal
from candor_proxy.metrics import Metrics, NoEnd
from candor_proxy.options import ProxyOptions

_log = logging.getLogger("candor_proxy")

# Larger bodies are parsed in a thread: a million values take most of a second.
_PARSED_AT_ONCE = 1 << 20
_DRAIN_SECONDS = 0.25
APP_HEADER = b"x-candor-app"


class _Asker(NamedTuple):
    """Who asked, and for what: our id of the request, the name of the client's app, the mode."""

    request_id: str
    app: str | None
    mode: Mode


class GuardedEndpoint:
    """ASGI app for one guarded path."""

    def __init__(
        self, surface: Surface, guard: Guard, options: ProxyOptions, metrics: Metrics,
        journal: Journal, passing: ASGIApp,
    ) -> None:  # fmt: skip
        self._surface = surface
        self._guard = guard
        self._options = options
        self._metrics = metrics
        self._journal = journal
        self._passing = passing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request_id = request_id_of(scope)
        inbox = Inbox(receive, self._options.body_timeout, line_of(scope))
        try:
            need_room(scope, self._options.max_request_bytes)
            body = await inbox.body(self._options.max_request_bytes)
            mode = self._mode(scope)
            request = await self._parse(body, mode, scope)
        except ClientGoneError:
            self._metrics.client_gone()
            return
        except (BodyTooLargeError, BodyStalledError, InvalidRequestError) as error:
            await self._refuse(error, scope)(scope, receive, send)
            return
        if request is None:
            await self._passing(scope, inbox.again(body), send)
            return
        asker = _Asker(request_id, find(scope["headers"], APP_HEADER), mode)
        identity = mode != "off" and request.skip is None
        template = UpstreamRequest(
            scope["method"],
            path_below(scope["raw_path"], scope["query_string"]),
            to_upstream(scope["headers"], identity=identity),
        )
        events = self._guard.events(
            request, template, mode=mode, request_id=request_id,
            annotate=self._options.annotate, content=self._options.log_content,
            unfinished=functools.partial(self._metrics.observe_calls, app=asker.app),
        )  # fmt: skip
        answer = _Answer(
            request, asker, self._options, self._metrics, self._journal, inbox.answering(send)
        )
        with self._metrics.in_flight():
            try:
                if not await inbox.run(answer.give(events), answer.patience):
                    self._metrics.client_gone()
            except asyncio.CancelledError:
                await answer.stop()
                raise

    def _mode(self, scope: Scope) -> Mode:
        wish = find(scope["headers"], MODE_HEADER.encode())
        if wish is not None and not self._options.allow_mode_header:
            raise InvalidRequestError(f"{MODE_HEADER} is not allowed here", param=MODE_HEADER)
        return mode_of(wish) or self._guard.policy.mode

    async def _parse(self, body: bytes, mode: Mode, scope: Scope) -> GuardedRequest | None:
        """Read a body; None for one that is not ours to refuse, because nothing is to be done."""
        if encoded(find_all(scope["headers"], b"content-encoding")):
            if mode == "off":
                return None
            told = "a content-encoding of requests is not read here: send the body without one"
            raise InvalidRequestError(told)
        try:
            if len(body) > _PARSED_AT_ONCE:
                return await asyncio.to_thread(self._surface.parse, body)
            return self._surface.parse(body)
        except InvalidRequestError:
            if mode == "off":
                return None
            raise

    def _refuse(
        self, error: BodyTooLargeError | BodyStalledError | InvalidRequestError, scope: Scope
    ) -> Response:
        more: dict[str, str] = {}
        if isinstance(error, BodyStalledError):
            status, body, more = stalled(self._options.body_timeout)
        elif isinstance(error, BodyTooLargeError):
            status, body, more = too_large(self._options.max_request_bytes, scope)
        else:
            status, body = describe(error)
        self._metrics.invalid(status)
        request_id = request_id_of(scope)
        body = shaped(self._surface.name, status, body, request_id)
        return error_response(status, body, {"x-candor-request-id": request_id} | more)


class _Answer:
    """Turns the events of one guarded request into ASGI messages."""

    def __init__(
        self, request: GuardedRequest, asker: _Asker, options: ProxyOptions, metrics: Metrics,
        journal: Journal, send: Send,
    ) -> None:  # fmt: skip
        self._request = request
        self._request_id, self._app, self._mode = asker
        self._options = options
        self._metrics = metrics
        self._journal = journal
        self._send = send
        self._began = time.monotonic()
        self._counted = False
        self._started: Started | None = None
        self._held: Holding | None = None
        self._headers_out = False
        self._last = b""
        self._whole: bytearray | None = None

    async def give(self, events: AsyncGenerator[Event, None]) -> None:
        """Send the whole response."""
        try:
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, Data):  # at once: there are hundreds in a stream
                        await self._body(event.data)
                        continue
                    await self._take(event)
                    if isinstance(event, Holding) and self._request.stream:
                        await self._wait_patiently(events)
        except UpstreamError as error:
            self._metrics.upstream_failed(type(error).__name__)
            self._count_unfinished("failed")
            await self._fail(error)
        except InvalidRequestError as error:
            self._metrics.invalid(describe(error)[0])
            await self._fail(error)
        except BaseException as error:
            self._count_unfinished("failed" if isinstance(error, Exception) else "abandoned")
            raise

    def _count_unfinished(self, end: NoEnd) -> None:
        if not self._counted:  # else there was an outcome, and only telling it went wrong
            name = self._request.surface.name
            self._metrics.observe_unfinished(name, self._mode, end, self._app)

    def patience(self) -> float:
        """How long a client that leaves now is answered all the same.

        Clients hang up at the stream's last event, some upstreams only a moment after it. The
        record of a reply that was delivered whole should not depend on who is first.
        """
        over = self._request.stream and self._request.surface.ended(self._last)
        return _DRAIN_SECONDS if over else 0.0

    async def stop(self) -> None:
        """Tell a stream that waits for its verdict that the process ends before there is one."""
        if self._headers_out and self._started is None:
            await self._error(*stopping(), [])

    async def _wait_patiently(self, events: AsyncGenerator[Event, None]) -> None:
        """Take the next event, which may be long in coming; keep the client's patience until then.

        What the client has so far is whole frames, or nothing.
        """
        options = self._options
        wait = options.keepalive_interval if self._headers_out else options.header_wait
        upcoming = asyncio.ensure_future(anext(events))
        try:
            while not (await asyncio.wait((upcoming,), timeout=wait))[0]:
                wait = options.keepalive_interval
                await self._keep_alive()
            event = await upcoming
        except StopAsyncIteration:
            return
        finally:
            await end_task(upcoming)
        await self._take(event)

    async def _take(self, step: Event) -> None:
        match step:
            case Holding():
                self._held = step
            case Started():
                await self._start(step)
            case Data():
                await self._body(step.data)
            case Finished():
                await self._finish(step.outcome)

    async def _keep_alive(self) -> None:
        if not self._headers_out and self._held is not None:
            status, added = self._held.status, self._deferred()
            headers = to_client(status, self._held.headers, rewritten=True, added=added)
            await self._send_start(status, headers)
        await self._send_body(self._request.surface.keepalive)

    async def _start(self, started: Started) -> None:
        self._started = started
        if self._headers_out:
            return
        if started.rewritten and not self._request.stream:
            self._whole = bytearray()  # sent at the end, with its true length
            return
        undecided = started.outcome.evaluated == "deferred"
        added = self._deferred() if undecided else started.outcome.headers()
        status, rewritten = started.status, started.rewritten
        headers = to_client(status, started.headers, rewritten=rewritten, added=added)
        await self._send_start(status, headers)

    def _deferred(self) -> list[tuple[str, str]]:
        """What can be said while nothing is decided."""
        return [("x-candor-evaluated", "deferred"), ("x-candor-request-id", self._request_id)]

    async def _body(self, data: bytes) -> None:
        if self._whole is not None:
            self._whole += data
            return
        self._last = b""  # while the connection does not take it, the client cannot have it
        await self._send_body(data)
        self._last = data

    async def _finish(self, outcome: Outcome) -> None:
        self._counted = True
        self._metrics.observe(self._request.surface.name, outcome, self._app)
        if self._options.log_content:
            _log_content(outcome)
        if self._options.log_decisions and outcome.evaluated == "full":
            self._log_decision(outcome)
        if outcome.detector_error is not None:
            told = outcome.request_id, outcome.action, outcome.detector_error
            _log.warning("detector failed (%s, action %s): %s", *told)
        if outcome.action == "block":
            await self._block(outcome)
            return
        if self._whole is not None and self._started is not None:
            length = ("content-length", str(len(self._whole)))
            added = [*outcome.headers(), length]
            status = self._started.status
            headers = to_client(status, self._started.headers, rewritten=True, added=added)
            await self._send_start(status, headers)
            await self._send_body(bytes(self._whole))
        await self._end()

    def _log_decision(self, outcome: Outcome) -> None:
        surface = self._request.surface.name
        model = next((call.model for call in outcome.attempts if call.purpose == "original"), None)
        seconds = time.monotonic() - self._began
        self._journal.decision(self._request_id, self._app, surface, model, outcome, seconds)

    async def _block(self, outcome: Outcome) -> None:
        await self._error(*refused(outcome), [*outcome.headers(), NO_RETRY])

    async def _fail(self, error: CandorGuardError) -> None:
        """Say that there is no reply; a body that has begun is broken off, as upstream's was."""
        if self._started is not None and self._headers_out:
            self._journal.broken_off(self._request_id, error)
            return
        if isinstance(error, UpstreamError):
            self._journal.no_reply(self._request_id, error)
        status, body = describe(error)
        await self._error(status, body, [("x-candor-request-id", self._request_id)])

    async def _error(
        self, status: int, body: dict[str, object], headers: list[tuple[str, str]]
    ) -> None:
        surface = self._request.surface.name
        told = shaped(surface, status, body, self._request_id)
        if self._headers_out:  # too late for a status; every client reads an error frame
            await self._send_body(error_frame(surface, told))
        else:
            content = dump(told)
            length = ("content-length", str(len(content)))
            kind = (("content-type", "application/json"),)
            await self._send_start(status, to_client(status, kind, added=[*headers, length]))
            await self._send_body(content)
        await self._end()

    def _send_start(self, status: int, headers: list[tuple[bytes, bytes]]) -> Awaitable[None]:
        self._headers_out = True
        return self._send({"type": "http.response.start", "status": status, "headers": headers})

    def _send_body(self, data: bytes) -> Awaitable[None]:
        return self._send({"type": "http.response.body", "body": data, "more_body": True})

    def _end(self) -> Awaitable[None]:
        return self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _log_content(outcome: Outcome) -> None:
    """Log what further calls changed and found, a line each; JSON keeps a line one line."""
    for attempt in outcome.attempts:
        if attempt.content is not None:
            told = dump(attempt.content).decode()
            _log.info("%s of %s: %s", attempt.purpose, outcome.request_id, told)
