"""The client's side of a connection: its body, and the moment when it leaves."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol

from candor_guard.integrations.serving.asgi import Message, Receive, Scope, Send
from candor_guard.integrations.serving.headers import find


class ClientGoneError(Exception):
    """The client left in the middle of its request body."""


class BodyTooLargeError(Exception):
    """The request body is over the limit."""


class BodyStalledError(Exception):
    """The rest of the request body does not come."""


def need_room(scope: Scope, limit: int) -> None:
    """Look at the length that a request states, before any of its body is asked for.

    Raises:
        BodyTooLargeError: If it is more than `limit` bytes.
    """
    stated = find(scope["headers"], b"content-length")
    if stated is not None and stated.isdecimal() and int(stated) > limit:
        raise BodyTooLargeError


class Line(Protocol):
    """What a server may tell of a client besides messages.

    Whoever has `receive` only needs a task to watch for a client's leaving, and a timer for a body
    that may be there already. Both cost more than a plain request's own work.

    Attributes:
        complete: Whether the whole body has arrived.
    """

    @property
    def complete(self) -> bool: ...  # noqa: D102 - documented above

    def on_leaving(self, tell: Callable[[], None] | None) -> None:
        """Call `tell`, and nobody else, when the client leaves, or at once if it has left."""
        ...


class Inbox:
    """Reads a request body and then watches for the client's leaving, over one `receive`.

    Args:
        receive: The server's.
        silence: Seconds that each piece of the body may be in coming, or whoever sends half a body
            takes up room for ever. A slow body is none of that, however long it takes.
        line: To the client, where there is one.

    Attributes:
        begun: Whether an answer has begun.
    """

    def __init__(self, receive: Receive, silence: float, line: Line | None = None) -> None:
        self._receive = receive
        self._silence = silence
        self._line = line
        self._read = asyncio.Event()
        self._answered = False
        self.begun = False

    def answering(self, send: Send) -> Send:
        """Return a `send` for the work: servers report the end of a response as a leaving too."""

        def noting(message: Message) -> Awaitable[None]:
            self.begun = True
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                self._answered = True
            return send(message)

        return noting

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives.

        Raises:
            ClientGoneError: If the client leaves before its end.
            BodyStalledError: If the next piece does not come.
        """
        while not self._read.is_set():
            if piece := await self._piece():
                yield piece

    async def body(self, limit: int) -> bytes:
        """Return the whole body.

        Raises:
            BodyTooLargeError: If it has more than `limit` bytes.
            ClientGoneError: If the client leaves before its end.
            BodyStalledError: If the next piece does not come.
        """
        body = bytearray()  # no list: objects for tiny pieces take 30 times the room
        while not self._read.is_set():
            body += await self._piece()
            if len(body) > limit:
                raise BodyTooLargeError
        return bytes(body)

    def again(self, body: bytes) -> Receive:
        """Return a `receive` that begins with the body that was read, for another app."""
        unread = [body]

        async def receive() -> Message:
            if unread:
                return {"type": "http.request", "body": unread.pop(), "more_body": False}
            return await self._receive()

        return receive

    async def _piece(self) -> bytes:
        if self._line is not None and self._line.complete:
            message = await self._receive()
        else:
            message = await self._next()
        if not message.get("more_body", False):
            self._read.set()  # also when the client left: `run` has to know
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        body: bytes = message.get("body", b"")
        return body

    async def _next(self) -> Message:
        try:
            async with asyncio.timeout(self._silence):
                return await self._receive()
        except TimeoutError:
            raise BodyStalledError from None

    async def run(
        self, work: Coroutine[Any, Any, None], patience: Callable[[], float] = lambda: 0.0
    ) -> bool:
        """Do the work, cancelling it when the client leaves; returns whether it was done.

        The work runs in this very task, and at most the watching in one of its own: a further task
        and the waiting for both cost more than anything else that is done for a plain request.

        Args:
            work: To do.
            patience: Asked when the client leaves: seconds that the work may still take, because
                the client has all that it was waiting for.
        """
        doing = asyncio.current_task()
        left = over = False
        later: asyncio.TimerHandle | None = None

        def cut() -> None:
            nonlocal left
            # Behind the answer all that is left is to tidy up; behind the work, to stop watching.
            if doing is not None and not (over or self._answered):
                left = True
                doing.cancel()

        def leave() -> None:
            nonlocal later
            seconds = patience()
            if seconds:
                later = asyncio.get_running_loop().call_later(seconds, cut)
            else:
                cut()

        watch_no_more = self._watch(leave)
        try:
            await work
        except (Exception, asyncio.CancelledError):
            if not left:
                raise
        finally:
            over = True
            watch_no_more()
            if later is not None:
                later.cancel()
        if left and doing is not None and doing.uncancel():
            raise asyncio.CancelledError  # somebody else wants an end, too
        return not left

    def _watch(self, leave: Callable[[], None]) -> Callable[[], object]:
        """Call `leave` when the client leaves; returns what ends the watching."""
        if self._line is not None and self._read.is_set():  # before that, its body tells
            self._line.on_leaving(leave)
            return functools.partial(self._line.on_leaving, None)

        async def watch() -> None:
            await self._read.wait()
            with suppress(Exception):  # of a server that knows no more of its client
                while (await self._receive())["type"] != "http.disconnect":
                    pass
            leave()

        return asyncio.create_task(watch()).cancel
