"""How a client of httpx's make sends the calls of the guard, blocking and asynchronous."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from candor_guard.sync import Worker

# Written anew, or not to be repeated: with the same key a further call would get the old reply.
_NOT_COPIED: Final = frozenset({b"host", b"content-length", b"idempotency-key"})
# What the client's providers write themselves, and refuse to find.
_SIGNED: Final = frozenset({
    b"authorization", b"x-amz-content-sha256", b"x-amz-date", b"x-amz-security-token",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Signing:
    """What the client does to a request before its HTTP client gets it.

    Attributes:
        prepare: Its hook, which may sign the body; a coroutine function in an asynchronous client.
        owned: Whether a provider (Bedrock's, Vertex's) writes the authorization there.
    """

    prepare: Callable[[Any], Any]
    owned: bool


@dataclass(frozen=True, slots=True)
class Parcel:
    """A client's request and how it wants it sent.

    Attributes:
        inner: The original HTTP client.
        http: The library that it comes from.
        request: The library's request.
        options: What else `send` was called with, such as ``auth``.
        patience: Seconds of silence that a further call may take at most, whatever the client
            allows.
        signing: What the client does to each request.
    """

    inner: Any
    http: Any
    request: Any
    options: dict[str, Any]
    patience: float
    signing: Signing

    def blocking(self, first: bool) -> BlockingWire:  # noqa: FBT001 - as `Calls` asks for it
        """Return the wire of a call, for a blocking client."""
        return BlockingWire(self, first=first)

    def asynchronous(self, first: bool) -> AsyncWire:  # noqa: FBT001 - as `Calls` asks for it
        """Return the wire of a call, for an asynchronous client."""
        return AsyncWire(self, first=first)

    @property
    def how(self) -> dict[str, Any]:
        """The options to send any request with."""
        return {**self.options, "stream": True}

    def further(self, body: bytes) -> Any:
        """Return the request of a further call, which the client has not prepared yet."""
        request = self.request
        extensions = dict(request.extensions)
        limits = dict(extensions.get("timeout", {}))
        limits["read"] = min(limits.get("read") or self.patience, self.patience)
        dropped = _NOT_COPIED | _SIGNED if self.signing.owned else _NOT_COPIED
        headers = [pair for pair in request.headers.raw if pair[0].lower() not in dropped]
        return self.http.Request(
            request.method,
            request.url,
            headers=headers,
            content=body,
            extensions={**extensions, "timeout": limits},
        )


class AsyncWire:
    """A call of an ``AsyncClient``; see `candor_guard.integrations.openai.answer.Wire`."""

    def __init__(self, parcel: Parcel, *, first: bool) -> None:
        self.timeout_errors = cast("type[Exception]", parcel.http.TimeoutException)
        self._parcel = parcel
        self._first = first
        self._response: Any = None
        self._pieces: Any = None

    async def send(self, body: bytes) -> Any:
        """Send the request; returns the response, its body unread."""
        parcel = self._parcel
        request = parcel.request
        if not self._first:
            request = parcel.further(body)
            await parcel.signing.prepare(request)
        self._response = await parcel.inner.send(request, **parcel.how)
        self._pieces = self._response.aiter_bytes()
        return self._response

    async def pull(self) -> bytes:
        """Return the next piece of the body; ``b""`` at the end."""
        return cast("bytes", await anext(self._pieces, b""))

    async def shut(self, *, reading: bool) -> None:
        """Free the connection."""
        await self._response.aclose()

    def release(self) -> None:
        """Give the response away."""


class BlockingWire:
    """A call of a ``Client``, in a thread of its own; see `candor_guard.integrations.openai.answer.Wire`.

    The thread belongs to one call, so that a server that stalls holds up nothing else.
    """

    def __init__(self, parcel: Parcel, *, first: bool) -> None:
        self.timeout_errors = cast("type[Exception]", parcel.http.TimeoutException)
        self._parcel = parcel
        self._first = first
        self._worker = Worker()
        self._response: Any = None
        self._pieces: Any = None

    async def send(self, body: bytes) -> Any:
        """Send the request; returns the response, its body unread."""
        try:
            return await self._worker.run(lambda: self._sent(body))
        except BaseException:
            # After a cancelled wait the thread is still in the call: closed when it comes back.
            self._worker.finish(self._close)
            raise

    async def pull(self) -> bytes:
        """Return the next piece of the body; ``b""`` at the end."""
        return await self._worker.run(lambda: cast("bytes", next(self._pieces, b"")))

    async def shut(self, *, reading: bool) -> None:
        """Free the connection."""
        if reading:
            _interrupt(self._response)
            self._worker.finish(self._close)
        else:
            await self._worker.run(self._close)
            self.release()

    def release(self) -> None:
        """Give the response away."""
        self._worker.finish()

    def _sent(self, body: bytes) -> Any:
        parcel = self._parcel
        request = parcel.request
        if not self._first:
            request = parcel.further(body)
            parcel.signing.prepare(request)
        self._response = parcel.inner.send(request, **parcel.how)
        self._pieces = self._response.iter_bytes()
        return self._response

    def _close(self) -> None:
        if self._response is not None:
            with contextlib.suppress(Exception):  # a connection that is given up may complain
                self._response.close()


def _interrupt(response: Any) -> None:
    """Wake the thread that waits for bytes of this response: to it the server has hung up.

    Not where others use the connection: HTTP/2 has many responses on one, and a response that is
    read to its end has given its own back.
    """
    if response.is_closed or not response.http_version.startswith("HTTP/1"):
        return
    stream = response.extensions.get("network_stream")
    connected = None if stream is None else stream.get_extra_info("socket")
    if isinstance(connected, socket.socket):
        with contextlib.suppress(OSError):  # closed already
            # Of the plain socket: TLS would first drop the state that the other thread reads with.
            socket.socket.shutdown(connected, socket.SHUT_RDWR)
