"""Uvicorn's HTTP protocol, but a response's head leaves together with what follows it at once.

A server writes head and body one after the other. Every write is a system call, and wakes the
client up for a head that it can do nothing with. A head whose body is not there yet leaves alone,
before the event loop waits for anything.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD = b"HTTP/1.1 "


class Corked:
    """A transport that keeps a head back for a moment; all else is the transport's.

    Args:
        transport: What writes.
        loop: The running one.
    """

    __slots__ = ("_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def write(self, data: bytes) -> None:
        """Send bytes; what looks like a head waits for the next ones, or the end of this turn."""
        if self._head:
            data, self._head = self._head + data, b""
            self._transport.write(data)
        elif data.startswith(_HEAD):
            self._head = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Close once everything is sent."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._transport.is_closing()

    def _flush(self) -> None:
        if self._head and not self._transport.is_closing():
            head, self._head = self._head, b""
            self._transport.write(head)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            return getattr(self._transport, name)


class CorkedProtocol(HttpToolsProtocol):
    """What `uvicorn.Config(http=...)` takes."""

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as upstream's
        super().connection_made(cast("asyncio.Transport", Corked(transport, self.loop)))
