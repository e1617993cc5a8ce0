"""A guarded endpoint: one surface, pure ASGI, a fresh object for every request."""

from __future__ import annotations

import asyncio
import functools

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from candor_guard.errors import InvalidRequestError
from candor_guard.guard import Guard
from candor_guard.integrations.serving.answer import Answer
from candor_guard.integrations.serving.headers import find, find_all
from candor_guard.integrations.serving.inbox import (
    BodyStalledError,
    BodyTooLargeError,
    ClientGoneError,
    Inbox,
    need_room,
)
from candor_guard.integrations.wishes import MODE_HEADER, mode_of
from candor_guard.policy import Mode
from candor_guard.surface import GuardedRequest, Surface
from candor_guard.upstreams import UpstreamRequest, encoded
from candor_proxy.account import Account
from candor_proxy.errors import Unread, error_response, shaped, stopping, unread
from candor_proxy.faults import request_id_of
from candor_proxy.headers import path_below, to_upstream
from candor_proxy.journal import Journal
from candor_proxy.line import line_of
from candor_proxy.metrics import Metrics
from candor_proxy.options import ProxyOptions

# Larger bodies are parsed in a thread: a million values take most of a second.
_PARSED_AT_ONCE = 1 << 20
_DRAIN_SECONDS = 0.25
APP_HEADER = b"x-candor-app"


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
        app = find(scope["headers"], APP_HEADER)
        account = Account(
            request, request_id, app, mode, self._options, self._metrics, self._journal
        )
        identity = mode != "off" and request.skip is None
        template = UpstreamRequest(
            scope["method"],
            path_below(scope["raw_path"], scope["query_string"]),
            to_upstream(scope["headers"], identity=identity),
        )
        events = self._guard.events(
            request, template, mode=mode, request_id=request_id,
            annotate=self._options.annotate, content=self._options.log_content,
            unfinished=functools.partial(self._metrics.observe_calls, app=app),
        )  # fmt: skip
        answer = Answer(request, request_id, self._options, inbox.answering(send), account)
        with self._metrics.in_flight():
            try:
                if not await inbox.run(answer.give(events), functools.partial(_patience, answer)):
                    self._metrics.client_gone()
            except asyncio.CancelledError:
                await answer.stop(*stopping())
                raise

    def _mode(self, scope: Scope) -> Mode:
        wish = find(scope["headers"], MODE_HEADER.encode())
        return mode_of(wish, allowed=self._options.allow_mode_header) or self._guard.policy.mode

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

    def _refuse(self, error: Unread, scope: Scope) -> Response:
        status, body, more = unread(error, self._options, scope)
        self._metrics.invalid(status)
        request_id = request_id_of(scope)
        body = shaped(self._surface.name, status, body, request_id)
        return error_response(status, body, {"x-candor-request-id": request_id} | more)


def _patience(answer: Answer) -> float:
    """How long a client that leaves now is answered all the same.

    Clients hang up at the stream's last event, some upstreams only a moment after it. The
    record of a reply that was delivered whole should not depend on who is first.
    """
    return _DRAIN_SECONDS if answer.complete() else 0.0
