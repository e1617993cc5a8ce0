"""A mounted ASGI app as an upstream: each call runs the app in a task, no socket in between."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final

from candor_guard.errors import UpstreamInterruptedError, UpstreamUnreachableError
from candor_guard.integrations.serving.asgi import ASGIApp, Message, Scope
from candor_guard.upstreams import Headers, UpstreamRequest

_log = logging.getLogger("candor_guard")

# As in common servers: an app that writes faster than the client reads has to wait from here on.
_HIGH_WATER: Final = 65536
# For an app that was told that its client has gone, before it is cancelled.
_GRACE_SECONDS: Final = 0.5


class InnerApp:
    """The mounted app, for one request of a client and its repetitions.

    Args:
        app: The mounted app.
        scope: As the server gave it; each call gets a copy.
        request_id: For the log.
    """

    def __init__(self, app: ASGIApp, scope: Scope, request_id: str) -> None:
        self._app = app
        self._request_id = request_id
        self._scope = scope
        # What the app writes there while it answers must not show in a repetition.
        self._state = dict(scope["state"]) if "state" in scope else None
        self._calls: list[_Call] = []

    async def open(self, request: UpstreamRequest) -> _Call:
        """Call the app and return as soon as it has begun to answer.

        Raises:
            UpstreamUnreachableError: If it did not answer at all. The first call raises what the
                app raised instead, as if nothing were in between.
        """
        call = _Call(self._app, self._scope_of(request), _whole(request))
        self._calls.append(call)
        try:
            await call.head()
        except asyncio.CancelledError:
            await call.aclose()
            raise
        if call.status:
            return call
        error = call.error
        if error is not None and call is self._calls[0]:
            raise error
        if error is not None:
            told = type(error).__name__, self._request_id
            _log.warning("a repeated call of the mounted app raised %s (%s)", *told)
        raise UpstreamUnreachableError("the mounted app did not answer")

    async def aclose(self) -> None:
        """Do nothing: `finish` ends the calls."""

    async def finish(self) -> None:
        """Wait for what the app still does after its answers; end the calls that were given up.

        Raises:
            Exception: What the app raised in the first call, unless that was given up.
        """
        tasks = [call.task for call in self._calls]
        given_up = [call.task for call in self._calls if call.given_up]
        try:
            if given_up:
                await asyncio.wait(given_up, timeout=_GRACE_SECONDS)
                for task in given_up:
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            raise
        if self._calls and not self._calls[0].given_up and self._calls[0].error is not None:
            raise self._calls[0].error

    def _scope_of(self, request: UpstreamRequest) -> Scope:
        length = (b"content-length", str(len(_whole(request))).encode())
        headers = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in request.headers]
        scope = {**self._scope, "headers": [*headers, length]}
        if self._calls and self._state is not None:
            scope["state"] = dict(self._state)
        # Each would let the app answer in messages that cannot be read here.
        offered = scope.get("extensions") or {}
        scope["extensions"] = {
            name: value for name, value in offered.items() if not name.startswith("http.response.")
        }
        return scope


class _Call:
    """One call of the app; an `UpstreamResponse` once it has a status."""

    def __init__(self, app: ASGIApp, scope: Scope, body: bytes) -> None:
        self.status = 0
        self.headers: Headers = ()
        self.given_up = False
        self.error: Exception | None = None
        self._request: Message | None = {"type": "http.request", "body": body, "more_body": False}
        self._pieces: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._complete = False
        self._over = False
        self._news = asyncio.Event()  # for the reader
        self._room = asyncio.Event()  # for the app's `send`
        self._room.set()
        self._ended = asyncio.Event()  # for the app's `receive`
        self.task = asyncio.create_task(self._run(app, scope))

    async def head(self) -> None:
        """Wait until the app has begun to answer, or is over."""
        while not self.status and not self._over:
            await self._next_news()

    async def read(self) -> bytes:
        """Return the next piece of the body; ``b""`` at its end.

        Raises:
            UpstreamInterruptedError: If the app ended in the middle of it.
        """
        while not self._pieces:
            if self._complete:
                return b""
            if self._over or self.given_up:
                raise UpstreamInterruptedError("the mounted app broke off its answer")
            await self._next_news()
        piece = self._pieces.popleft()
        self._waiting_bytes -= len(piece)
        if self._waiting_bytes < _HIGH_WATER:
            self._room.set()
        return piece

    async def aclose(self) -> None:
        """Tell the app that its client has gone, unless it has answered in full."""
        if self._complete or self._over:
            return
        self.given_up = True
        self._pieces.clear()
        for event in (self._news, self._room, self._ended):
            event.set()

    async def _next_news(self) -> None:
        self._news.clear()
        await self._news.wait()

    async def _run(self, app: ASGIApp, scope: Scope) -> None:
        try:
            await app(scope, self._receive, self._send)
        except Exception as error:  # noqa: BLE001 - raised again where the call is awaited
            self.error = error
        finally:
            self._over = True
            self._news.set()

    async def _receive(self) -> Message:
        if self._request is not None:
            message, self._request = self._request, None
            return message
        await self._ended.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self.given_up:
            raise OSError("the client has gone")  # as ASGI servers say it
        if message["type"] == "http.response.start":
            self.headers = tuple(
                (bytes(name).decode("latin-1").lower(), bytes(value).decode("latin-1"))
                for name, value in message.get("headers", ())
            )
            self.status = message["status"]
        elif message["type"] == "http.response.body" and not self._complete:
            self._take(bytes(message.get("body", b"")), more=message.get("more_body", False))
        self._news.set()
        await self._room.wait()

    def _take(self, body: bytes, *, more: bool) -> None:
        if body:
            self._pieces.append(body)
            self._waiting_bytes += len(body)
        if not more:
            self._complete = True
            self._ended.set()
        elif self._waiting_bytes >= _HIGH_WATER:
            self._room.clear()


def _whole(request: UpstreamRequest) -> bytes:
    if not isinstance(request.body, bytes):
        raise TypeError("guarded requests are read whole before they go on")
    return request.body
