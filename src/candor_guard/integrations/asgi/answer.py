"""From the events of one guarded request to ASGI messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from candor_guard.driver import Data, Event, Finished, Holding, Started
from candor_guard.errors import InvalidRequestError, UpstreamError
from candor_guard.integrations.asgi.inner import Receive, Send
from candor_guard.integrations.problems import NO_RETRY, describe, refused
from candor_guard.integrations.shapes import error_frame, shaped
from candor_guard.outcome import Outcome
from candor_guard.surface import GuardedRequest
from candor_guard.upstreams import OF_THE_BYTES, Headers
from candor_guard.wire.json import dump


class ClientGoneError(Exception):
    """The client left in the middle of its request body."""


class BodyTooLargeError(Exception):
    """The request body is over the limit."""


class BodyStalledError(Exception):
    """The rest of the request body does not come."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a held stream may be silent, and a client within its body.

    Attributes:
        header_wait: Seconds that the headers of a held stream wait for the decision.
        keepalive_interval: Seconds between keepalive comments after that.
        body_timeout: Seconds of silence that a client is allowed before and within its body; then
            it gets a 408.
    """

    header_wait: float = 10.0
    keepalive_interval: float = 10.0
    body_timeout: float = 30.0


async def read_body(receive: Receive, limit: int, silence: float) -> bytes:
    """Return the whole request body.

    Args:
        receive: The server's.
        limit: Bytes at most.
        silence: Seconds that each piece may be in coming. A slow body is let in, however long it
            takes in all.

    Raises:
        BodyTooLargeError: If it has more than `limit` bytes.
        BodyStalledError: If the next piece does not come.
        ClientGoneError: If the client leaves before its end.
    """
    body = bytearray()
    more = True
    while more:
        try:
            async with asyncio.timeout(silence):
                message = await receive()
        except TimeoutError:
            raise BodyStalledError from None
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limit:
            raise BodyTooLargeError
    return bytes(body)


async def send_error(
    send: Send, status: int, error: Mapping[str, Any], headers: Iterable[tuple[str, str]] = ()
) -> None:
    """Answer with an error."""
    body = dump(error)
    kind, length = ("content-type", "application/json"), ("content-length", str(len(body)))
    pairs = _encoded([kind, length, *headers])
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body, "more_body": False})


class Answer:
    """One response on its way to the client."""

    def __init__(
        self, request: GuardedRequest, request_id: str, patience: Patience, send: Send
    ) -> None:
        self._request = request
        self._request_id = request_id
        self._patience = patience
        self._send = send
        self._started: Started | None = None
        self._headers_out = False
        self._whole: bytearray | None = None
        self._over = False

    async def give(self, events: AsyncGenerator[Event, None], receive: Receive) -> None:
        """Send the response; ends everything at once when the client leaves."""
        work = asyncio.ensure_future(self._give(events))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait((work, leaving), return_when=asyncio.FIRST_COMPLETED)
            if self._over:  # servers report the end of a response as a leaving, too
                await asyncio.wait((work,))
            if work.done():
                work.result()
        finally:
            await _end(leaving)
            await _end(work)

    async def _give(self, events: AsyncGenerator[Event, None]) -> None:
        async with aclosing(events):
            try:
                async for event in events:
                    await self._take(event)
                    if isinstance(event, Holding) and self._request.stream:
                        await self._wait(events, event)
            except (UpstreamError, InvalidRequestError) as error:
                await self._fail(*describe(error))

    async def _wait(self, events: AsyncGenerator[Event, None], held: Holding) -> None:
        """Take the next event, keeping the client company until it comes.

        What the client has so far is whole frames, or nothing.
        """
        upcoming = asyncio.ensure_future(anext(events, None))
        try:
            while not (await asyncio.wait((upcoming,), timeout=self._silence()))[0]:
                await self._keep_alive(held)
            event = upcoming.result()
        finally:
            await _end(upcoming)
        if event is not None:
            await self._take(event)

    def _silence(self) -> float:
        patience = self._patience
        return patience.keepalive_interval if self._headers_out else patience.header_wait

    async def _keep_alive(self, held: Holding) -> None:
        if not self._headers_out:
            await self._start(held.status, held.headers, self._deferred(), rewritten=True)
        await self._body(self._request.surface.keepalive)

    async def _take(self, event: Event) -> None:
        match event:
            case Holding():
                pass
            case Started():
                await self._begin(event)
            case Data() if self._whole is not None:
                self._whole += event.data
            case Data():
                await self._body(event.data)
            case Finished():
                await self._finish(event.outcome)

    async def _begin(self, started: Started) -> None:
        self._started = started
        if started.rewritten and not self._request.stream:
            self._whole = bytearray()  # sent at the end, with its true length
        elif not self._headers_out:
            known = started.outcome.evaluated != "deferred"
            added = started.outcome.headers() if known else self._deferred()
            await self._start(started.status, started.headers, added, rewritten=started.rewritten)

    def _deferred(self) -> list[tuple[str, str]]:
        """What can be said while nothing is decided."""
        return [("x-candor-evaluated", "deferred"), ("x-candor-request-id", self._request_id)]

    async def _finish(self, outcome: Outcome) -> None:
        if outcome.action == "block":
            await self._fail(*refused(outcome), [*outcome.headers(), NO_RETRY])
            return
        if self._whole is not None and self._started is not None:
            added = [*outcome.headers(), ("content-length", str(len(self._whole)))]
            await self._start(self._started.status, self._started.headers, added, rewritten=True)
            await self._body(bytes(self._whole))
        await self._end()

    async def _fail(
        self, status: int, problem: dict[str, Any], headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Say that there is no reply; a body that has begun is broken off, as the app's was."""
        surface = self._request.surface.name
        told = shaped(surface, status, problem, self._request_id)
        if not self._headers_out:
            self._over = True
            own = list(headers) or [("x-candor-request-id", self._request_id)]
            await send_error(self._send, status, told, own)
        elif self._started is None:  # only comments so far; every client reads an error frame
            await self._body(error_frame(surface, told))
            await self._end()

    async def _start(
        self, status: int, upstream: Headers, added: list[tuple[str, str]], *, rewritten: bool
    ) -> None:
        dropped = OF_THE_BYTES if rewritten else frozenset[str]()
        kept = [
            (name, value)
            for name, value in upstream
            if not name.startswith("x-candor-") and name not in dropped
        ]
        self._headers_out = True
        headers = _encoded([*kept, *added])
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _body(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _end(self) -> None:
        self._over = True
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(task: asyncio.Future[Any]) -> None:
    """Cancel what is still running; what it raised, or has raised by now, is of no interest."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
