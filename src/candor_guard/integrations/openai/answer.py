"""One guarded call of an HTTP client: the upstream of its calls, and what it is answered with.

Written once, asynchronous. What differs between a blocking and an asynchronous client is a `Wire`:
how one request leaves, and how its response comes in.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from candor_guard.driver import Data, Event, Finished, Started, end_tasks
from candor_guard.errors import (
    UpstreamError,
    UpstreamInterruptedError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from candor_guard.integrations.problems import NO_RETRY, refused
from candor_guard.outcome import Outcome
from candor_guard.upstreams import OF_THE_BYTES, Headers, UpstreamRequest
from candor_guard.wire.json import dump

# The client library decodes and measures bodies itself, so these no longer fit what is read here.
_OF_THE_WIRE: Final = frozenset({"content-encoding", "content-length", "transfer-encoding"})
_ALREADY: Final = "x-candor-request-id"
_DONE: Final = b"[DONE]"
# After these words nothing of a stream is left to tell: Chat Completions', and those of Responses.
_ENDS: Final = (_DONE, b"response.completed", b"response.incomplete", b"response.failed")
_DRAIN_SECONDS: Final = 0.25


class Wire(Protocol):
    """One request of an HTTP client and its response, in the terms of that client.

    Attributes:
        timeout_errors: What it raises for silence.
    """

    @property
    def timeout_errors(self) -> type[Exception]:
        """See above."""
        ...

    async def send(self, body: bytes) -> Any:
        """Send the request with this body; returns the client's response, its body unread."""
        ...

    async def pull(self) -> bytes:
        """Return the next piece of the body, decoded; ``b""`` at the end."""
        ...

    async def shut(self, *, reading: bool) -> None:
        """Free the connection; `reading` says that a `pull` was cancelled and may go on."""
        ...

    def release(self) -> None:
        """Give the response away: somebody else reads and closes it."""
        ...


class AlreadyGuardedError(UpstreamError):
    """The server is candor-guard's proxy, which has read the reply itself.

    Attributes:
        response: The client's response, its body unread.
    """

    def __init__(self, response: Any) -> None:
        super().__init__("the server guards its replies itself")
        self.response = response


class Calls:
    """The upstream of one guarded request.

    Args:
        wire: Makes the wire of the next call; told whether it is the first.

    Attributes:
        first: The client's response to the first call.
    """

    def __init__(self, wire: Callable[[bool], Wire]) -> None:
        self._wire = wire
        self.first: Any = None
        self._called = False

    async def open(self, request: UpstreamRequest) -> Reply:
        """Send a request through the client; see `candor_guard.upstreams.Upstream.open`.

        Raises:
            UpstreamUnreachableError: If the client raises; its own exception is the cause.
            UpstreamTimeoutError: If it raises for silence.
            AlreadyGuardedError: If the server is a guard itself.
        """
        body = request.body
        assert isinstance(body, bytes)  # noqa: S101 - the engine sends whole bodies
        first, self._called = not self._called, True
        wire = self._wire(first)
        try:
            response = await wire.send(body)
        except Exception as error:  # authentication hooks may raise anything
            raise _translated(error, wire, UpstreamUnreachableError) from error
        if first:
            self.first = response
            if _ALREADY in response.headers:
                wire.release()
                raise AlreadyGuardedError(response)
        return Reply(wire, response)

    async def aclose(self) -> None:
        """Nothing to close: the client is its owner's."""


class Reply:
    """A client's response as an `candor_guard.upstreams.UpstreamResponse`."""

    def __init__(self, wire: Wire, response: Any) -> None:
        self.status: int = response.status_code
        pairs = ((name.lower(), value) for name, value in response.headers.multi_items())
        self.headers: Headers = tuple(pair for pair in pairs if pair[0] not in _OF_THE_WIRE)
        self._wire = wire
        self._pull: asyncio.Task[bytes] | None = None

    async def read(self) -> bytes:
        """Return the next piece; a cancelled read loses nothing, it goes on by itself.

        Behind a stream's last frame it reads on unasked: only its end gives the connection back,
        which the guard's next call may have to wait for where the client has few.

        Raises:
            UpstreamInterruptedError: If the client raises; its own exception is the cause.
            UpstreamTimeoutError: If it raises for silence.
        """
        pull = self._pull = self._pull or asyncio.create_task(_begun(self._wire.pull))
        await asyncio.wait((pull,))
        self._pull = None
        try:
            data = pull.result()
        except Exception as error:
            raise _translated(error, self._wire, UpstreamInterruptedError) from error
        if any(word in data for word in _ENDS):
            self._pull = asyncio.create_task(_begun(self._wire.pull))
        return data

    async def aclose(self) -> None:
        """Free the connection."""
        pull, self._pull = self._pull, None
        reading = pull is not None and not pull.done()
        if pull is not None:
            await end_tasks(pull)
        with contextlib.suppress(Exception):  # a connection that is given up may complain
            await self._wire.shut(reading=reading)


@dataclass(frozen=True, slots=True)
class Head:
    """How an answer begins.

    Attributes:
        status: HTTP status.
        headers: Lower-case names.
        content: The whole body, or None when it follows piece by piece.
    """

    status: int
    headers: list[tuple[str, str]]
    content: bytes | None


class Answer:
    """What the client gets for one guarded request. One method at a time does its work.

    Args:
        events: Of `Guard.events`.
        stream: Whether the body is handed on as it comes.

    Attributes:
        outcome: The record, as soon as it is final.
    """

    def __init__(self, events: AsyncGenerator[Event, None], *, stream: bool) -> None:
        self._events = events
        self._stream = stream
        self._tail = b""
        self._lock = asyncio.Lock()
        self.outcome: Outcome | None = None

    async def begin(self) -> Head:
        """Run until the answer's head is known.

        Raises:
            AlreadyGuardedError: If the server guards its replies itself.
            Exception: What the client raised instead of a response, unchanged.
        """
        async with self._lock:
            try:
                return await self._begin()
            except UpstreamError as error:
                failure = _own(error)
            # Out here, so that the client's own exception keeps its own cause and context.
            raise failure

    async def read(self) -> bytes:
        """Return the next piece of the body; ``b""`` at its end.

        Raises:
            Exception: What the client raised while it was reading, unchanged.
        """
        async with self._lock:
            try:
                return await self._read()
            except UpstreamError as error:
                failure = _own(error)
            raise failure

    async def aclose(self) -> None:
        """Close every call.

        Clients stop reading at the stream's last frame; what follows it is only the record.
        """
        async with self._lock:
            if _DONE in self._tail and self.outcome is None:
                with contextlib.suppress(UpstreamError, TimeoutError):
                    async with asyncio.timeout(_DRAIN_SECONDS):
                        while await self._read():
                            pass
            await self._events.aclose()

    async def _begin(self) -> Head:
        started: Started | None = None
        body = bytearray()
        async for event in self._events:
            match event:
                case Started() if self._stream:
                    return _head(event, event.outcome, None)
                case Started():
                    started = event
                case Data():
                    body += event.data
                case Finished():
                    self.outcome = event.outcome
                case _:
                    pass
        assert self.outcome is not None  # noqa: S101 - events end with the record
        if started is None:
            return error_head(*refused(self.outcome), self.outcome.headers())
        return _head(started, self.outcome, bytes(body))

    async def _read(self) -> bytes:
        async for event in self._events:
            match event:
                case Data() if event.data:
                    self._tail = (self._tail + event.data)[-64:]
                    return event.data
                case Finished():
                    self.outcome = event.outcome
                case _:
                    pass
        return b""


def error_head(
    status: int, body: Mapping[str, Any], headers: Iterable[tuple[str, str]] = ()
) -> Head:
    """Return an answer of our own."""
    return Head(status, [("content-type", "application/json"), NO_RETRY, *headers], dump(body))


def _head(started: Started, outcome: Outcome, content: bytes | None) -> Head:
    dropped = OF_THE_BYTES if started.rewritten else frozenset[str]()
    kept = [pair for pair in started.headers if pair[0] not in dropped]
    return Head(started.status, [*kept, *outcome.headers()], content)


async def _begun(pull: Callable[[], Coroutine[Any, Any, bytes]]) -> bytes:
    return await pull()


def _translated(error: Exception, wire: Wire, otherwise: type[UpstreamError]) -> UpstreamError:
    kind = UpstreamTimeoutError if isinstance(error, wire.timeout_errors) else otherwise
    return kind(f"the client raised {type(error).__name__}")


def _own(error: UpstreamError) -> BaseException:
    """Return the client's own exception where ours only stands for it."""
    return error.__cause__ or error
