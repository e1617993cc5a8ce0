"""From the events of one guarded request to ASGI messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Protocol

from candor_guard.driver import Data, Event, Finished, Holding, Started, end_tasks
from candor_guard.errors import InvalidRequestError, UpstreamError
from candor_guard.integrations.problems import NO_RETRY, describe, refused
from candor_guard.integrations.serving.asgi import Send
from candor_guard.integrations.serving.headers import RawHeaders, to_client
from candor_guard.integrations.shapes import error_frame, shaped
from candor_guard.outcome import Outcome, deferred_headers
from candor_guard.surface import GuardedRequest
from candor_guard.wire.json import dump


class Waits(Protocol):
    """How long a held stream may be silent.

    Attributes:
        header_wait: Seconds that its headers wait for the decision.
        keepalive_interval: Seconds between keepalive comments after that.
    """

    @property
    def header_wait(self) -> float: ...  # noqa: D102 - documented above

    @property
    def keepalive_interval(self) -> float: ...  # noqa: D102 - documented above


class Witness(Protocol):
    """Who notes how an answer ends; it is told before the client is."""

    def finished(self, outcome: Outcome) -> None:
        """All is said; the record is final."""
        ...

    def failed(self, error: UpstreamError | InvalidRequestError, *, begun: bool) -> None:
        """There is no reply, or one that breaks off, because its body had `begun`."""
        ...

    def ended(self, error: BaseException) -> None:
        """Something else ended it, a client's leaving or a fault, be it before or after its record."""
        ...


class Unwitnessed:
    """A `Witness` that notes nothing."""

    def finished(self, outcome: Outcome) -> None:
        """Do nothing."""

    def failed(self, error: UpstreamError | InvalidRequestError, *, begun: bool) -> None:
        """Do nothing."""

    def ended(self, error: BaseException) -> None:
        """Do nothing."""


class Answer:
    """One response on its way to the client.

    Args:
        request: That is answered.
        request_id: Which the client is told.
        waits: How long a held stream may be silent.
        send: The server's.
        witness: Notes how it ends.
    """

    def __init__(
        self, request: GuardedRequest, request_id: str, waits: Waits, send: Send, witness: Witness
    ) -> None:
        self._request = request
        self._request_id = request_id
        self._waits = waits
        self._send = send
        self._witness = witness
        self._started: Started | None = None
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
                        await self._wait_patiently(events, event)
        except (UpstreamError, InvalidRequestError) as error:
            await self._fail(error)
        except BaseException as error:
            self._witness.ended(error)
            raise

    def complete(self) -> bool:
        """Whether the client of a stream has got all that it waits for, though more may come."""
        return self._request.stream and self._request.surface.ended(self._last)

    async def stop(self, status: int, problem: dict[str, Any]) -> None:
        """Tell a stream that waits for its verdict that it waits in vain."""
        if self._headers_out and self._started is None:
            await self._error(status, problem, [])

    async def _wait_patiently(self, events: AsyncGenerator[Event, None], held: Holding) -> None:
        """Take the next event, which may be long in coming; keep the client's patience until then.

        What the client has so far is whole frames, or nothing.
        """
        upcoming = asyncio.ensure_future(anext(events, None))
        try:
            while not (await asyncio.wait((upcoming,), timeout=self._silence()))[0]:
                await self._keep_alive(held)
            event = upcoming.result()
        finally:
            await end_tasks(upcoming)
        if event is not None:
            await self._take(event)

    def _silence(self) -> float:
        return self._waits.keepalive_interval if self._headers_out else self._waits.header_wait

    async def _keep_alive(self, held: Holding) -> None:
        if not self._headers_out:
            added = deferred_headers(self._request_id)
            headers = to_client(held.status, held.headers, rewritten=True, added=added)
            await self._send_start(held.status, headers)
        await self._send_body(self._request.surface.keepalive)

    async def _take(self, event: Event) -> None:
        match event:
            case Started():
                await self._start(event)
            case Data():
                await self._body(event.data)
            case Finished():
                await self._finish(event.outcome)
            case Holding():
                pass

    async def _start(self, started: Started) -> None:
        self._started = started
        if self._headers_out:
            return
        if started.rewritten and not self._request.stream:
            self._whole = bytearray()  # sent at the end, with its true length
            return
        status, added = started.status, started.outcome.headers()
        headers = to_client(status, started.headers, rewritten=started.rewritten, added=added)
        await self._send_start(status, headers)

    async def _body(self, data: bytes) -> None:
        if self._whole is not None:
            self._whole += data
            return
        self._last = b""  # while the connection does not take it, the client cannot have it
        await self._send_body(data)
        self._last = data

    async def _finish(self, outcome: Outcome) -> None:
        self._witness.finished(outcome)
        if outcome.action == "block":
            await self._error(*refused(outcome), [*outcome.headers(), NO_RETRY])
            return
        if self._whole is not None and self._started is not None:
            status, added = self._started.status, [*outcome.headers(), _length(self._whole)]
            headers = to_client(status, self._started.headers, rewritten=True, added=added)
            await self._send_start(status, headers)
            await self._send_body(bytes(self._whole))
        await self._end()

    async def _fail(self, error: UpstreamError | InvalidRequestError) -> None:
        """Say that there is no reply; a body that has begun is broken off, as upstream's was."""
        begun = self._headers_out and self._started is not None
        self._witness.failed(error, begun=begun)
        if not begun:
            status, problem = describe(error)
            await self._error(status, problem, [("x-candor-request-id", self._request_id)])

    async def _error(
        self, status: int, problem: dict[str, Any], headers: Iterable[tuple[str, str]]
    ) -> None:
        surface = self._request.surface.name
        told = shaped(surface, status, problem, self._request_id)
        if self._headers_out:  # too late for a status; every client reads an error frame
            await self._send_body(error_frame(surface, told))
            await self._end()
        else:
            await send_error(self._send, status, told, headers)

    def _send_start(self, status: int, headers: RawHeaders) -> Awaitable[None]:
        self._headers_out = True
        return self._send({"type": "http.response.start", "status": status, "headers": headers})

    def _send_body(self, data: bytes) -> Awaitable[None]:
        return self._send({"type": "http.response.body", "body": data, "more_body": True})

    def _end(self) -> Awaitable[None]:
        return self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def send_error(
    send: Send, status: int, error: Mapping[str, Any], headers: Iterable[tuple[str, str]]
) -> None:
    """Answer with an error, in the shape that its client reads."""
    body = dump(error)
    added = [*headers, _length(body)]
    start = to_client(status, (("content-type", "application/json"),), added=added)
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _length(body: bytes | bytearray) -> tuple[str, str]:
    return "content-length", str(len(body))
