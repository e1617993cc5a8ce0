"""How many requests are answered at the same time, and what happens to the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from starlette.types import ASGIApp, Receive, Scope, Send

from candor_guard.integrations.serving.inbox import Line
from candor_proxy.errors import error_body, error_response, messages_body, speaks_messages
from candor_proxy.line import LINE

# A slot comes free whenever any reply ends, so there is no better guess than "soon".
_RETRY_AFTER_SECONDS = "1"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one worker takes on.

    Attributes:
        concurrent: Requests that are answered at the same time.
        waiting: Further requests that wait for their turn, in order of arrival.
    """

    concurrent: int = 1000
    waiting: int = 1000


class Admission:
    """ASGI app that lets so many requests through to another one and refuses what is too much.

    A request waits before its body is read, so a long queue costs connections and little memory.
    Refusing at once keeps a proxy that is asked for more than it can do at its full rate, with a
    wait that is bounded, instead of ever slower for everybody. Whoever leaves while waiting makes
    room: clients that are out of patience come again, and would be refused because of themselves.

    Args:
        app: What answers.
        bounds: How many.
        refused: Called for every refusal, with its status.
        left: Called for every client that leaves while it waits.
    """

    def __init__(
        self,
        app: ASGIApp,
        bounds: Bounds,
        refused: Callable[[int], None],
        left: Callable[[], None],
    ) -> None:
        self._app = app
        self._bounds = bounds
        self._refused = refused
        self._left = left
        self._slots = asyncio.Semaphore(bounds.concurrent)
        self._waiting = 0
        most = f"{bounds.concurrent} requests, {bounds.waiting} more waiting"
        message = f"overloaded: this worker is busy with {most}"
        body = error_body(message, "candor_guard_error", "overloaded")
        # Made once: refusing must cost next to nothing, or it takes the time of whoever is served.
        more = {"retry-after": _RETRY_AFTER_SECONDS}
        self._refusal = error_response(503, body, more)
        self._messages_refusal = error_response(503, messages_body(503, body, None), more)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer now, in a while, or with a 503."""
        if self._slots.locked():
            if self._waiting >= self._bounds.waiting:
                self._refused(503)
                of_messages = speaks_messages(scope)
                refusal = self._messages_refusal if of_messages else self._refusal
                await refusal(scope, receive, send)
                return
            if not await self._turn(scope.get("extensions", {}).get(LINE)):
                self._left()
                return
        else:
            await self._slots.acquire()  # at once
        try:
            await self._app(scope, receive, send)
        finally:
            self._slots.release()

    async def _turn(self, line: Line | None) -> bool:
        """Wait for a slot; returns whether the client is still there when one is free."""
        waiting, left = cast("asyncio.Task[None]", asyncio.current_task()), False

        def leave() -> None:
            nonlocal left
            left = True
            waiting.cancel()

        self._waiting += 1
        if line is not None:
            line.on_leaving(leave)
        try:
            await self._slots.acquire()
        except asyncio.CancelledError:
            if not left or waiting.uncancel():
                raise  # somebody else wants an end, too
            return False
        finally:
            self._waiting -= 1
            if line is not None:
                line.on_leaving(None)
        return True
