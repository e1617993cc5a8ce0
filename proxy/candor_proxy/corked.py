"""Uvicorn's HTTP protocol, with a bound on heads, and responses that leave in one piece.

A server writes head and body one after the other. Every write is a system call, and wakes the
client up for a head that it can do nothing with. A head whose body is not there yet leaves alone,
before the event loop waits for anything.

Uvicorn with httptools takes a head of any size, in several times as much memory, and joins it in
time that grows with its square. It also stops at the head of a request that asks for an upgrade, and
takes that one's body for the next request: who picks the body picks that request.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, cast

from httptools import HttpParserError, HttpParserUpgrade
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from candor_proxy.line import LINE
from candor_proxy.refusals import (
    CONNECT,
    ENCODED,
    GARBLED,
    MAX_HEAD_BYTES,
    TOO_LARGE,
    Refusal,
    late,
)
from candor_proxy.throttle import Throttle
from candor_proxy.undivided import Unasked, Undivided

_HEAD = b"HTTP/1.1 "
# Where the connections of a server find its throttle of lines about garbage.
_GARBAGE = "candor_garbage"
# So long a client that is refused may go on sending: closed at once, the connection would be
# reset, and the reset might overtake the answer.
_LINGER_SECONDS = 1.0


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


class _Line:
    """A `candor_guard.integrations.serving.inbox.Line`: what the connection knows of one request.

    The request knows its line in turn, which nobody may ever take: two weak references, or every
    such request would leave a circle with its body. The server holds both while it answers.
    """

    __slots__ = ("_cycle", "_protocol")

    def __init__(self, protocol: CorkedProtocol, cycle: RequestResponseCycle) -> None:
        self._protocol = weakref.ref(protocol)
        self._cycle = weakref.ref(cycle)

    @property
    def complete(self) -> bool:
        cycle = self._cycle()
        return cycle is None or not cycle.more_body

    def on_leaving(self, tell: Callable[[], None] | None) -> None:
        protocol, cycle = self._protocol(), self._cycle()
        if protocol is None or cycle is None:
            return
        if tell is not None:
            protocol.flow.resume_reading()  # or the end of the connection goes unread
            if cycle.disconnected:
                tell()
            protocol.leaving = (cycle, tell)
        elif protocol.leaving is not None and protocol.leaving[0] is cycle:
            protocol.leaving = None  # else the next request is being answered: it is its own


class CorkedProtocol(HttpToolsProtocol):
    """A connection.

    Attributes:
        head_seconds: That a head may take from its first byte to its last, or whoever sends half of
            one holds a connection, and so one of the process's open files, for ever.
    """

    head_seconds = 10.0

    # Whether the parser has made something of the latest bytes, how many in a row it has not,
    # whether a request began in the latest ones, how many they are, and whether nothing more is to
    # be read.
    _moved = False
    _idle = 0
    _began = False
    _size = 0
    _refused = False
    # The request line of a head that is to be read again, without the upgrade that it asks for.
    _again: bytes | None = None
    # Whether a head has begun and not ended, and what runs out meanwhile.
    _heading = False
    _head_timer: asyncio.TimerHandle | None = None
    # The request that is answered, and who wants to know that its client has left.
    leaving: tuple[RequestResponseCycle, Callable[[], None]] | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as upstream's
        super().connection_made(cast("asyncio.Transport", Corked(transport, self.loop)))
        # Whoever connects and asks for nothing is as idle as whoever has been answered.
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    @override
    def data_received(self, data: bytes) -> None:
        """Take bytes; those of a head that is not complete yet, or of trailers, are counted."""
        if self._refused:
            return
        self._moved = self._began = False
        self._size = len(data)
        self._parse(data)
        if self._heading and self._head_timer is None and not self._refused:
            self._time_head()
        self._idle = 0 if self._moved else self._idle + len(data)
        if self._idle > MAX_HEAD_BYTES:
            self._refuse(TOO_LARGE)

    def _parse(self, data: bytes) -> None:
        """Parse bytes; who asks for another protocol is answered in this one (RFC 9110 §7.8)."""
        pieces: list[bytes | memoryview] = [data]
        while pieces and not self._refused:
            piece = pieces.pop()
            try:
                self.parser.feed_data(piece)
            except HttpParserUpgrade as stopped:  # behind a head; its body would be the next one
                pieces += [memoryview(piece)[stopped.args[0] :], self._head_again()]
            except HttpParserError:
                self._garbled()

    def _head_again(self) -> bytes:
        line, self._again = self._again, None
        fields = [b"%s: %s\r\n" % pair for pair in self.headers if pair[0] != b"upgrade"]
        return b"".join((line or b"", *fields, b"\r\n"))

    @override
    def on_message_begin(self) -> None:
        self._moved = self._began = self._heading = True
        self._unset_keepalive_if_required()  # by a request, not by line ends between two of them
        super().on_message_begin()

    @override
    def on_headers_complete(self) -> None:
        self._moved, self._heading = True, False
        self._untime_head()
        within = self._began and self._size <= MAX_HEAD_BYTES
        if not within and self._head_size() > MAX_HEAD_BYTES:
            self._refuse_here(TOO_LARGE)
        framings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if framings and b",".join(framings).strip().lower() != b"chunked":
            self._refuse_here(ENCODED)
        if self.parser.should_upgrade():
            method, version = self.parser.get_method(), self.parser.get_http_version()
            if method == b"CONNECT":  # an upgrade of its own kind
                self._refuse_here(CONNECT)
            self._again = b"%s %s HTTP/%s\r\n" % (method, self.url, version.encode())
            return
        super().on_headers_complete()
        if self.scope["http_version"] == "1.0":
            self.cycle.__class__ = Undivided  # uvicorn has no place to say so; it runs next turn
            self.cycle.waiting_for_100_continue = False  # nor do they know interim answers
        elif self.expect_100_continue:
            self.cycle.__class__ = Unasked
        self.cycle.scope["extensions"] = {LINE: cast("Any", _Line(self, self.cycle))}

    @override
    def on_body(self, body: bytes) -> None:
        self._moved = True
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        if self._again is None:
            super().on_message_complete()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._untime_head()
        while self.pipeline:  # nobody will start them, nor end the circle that each is part of
            self.pipeline.pop()[0].on_response = _nothing
        if self.leaving is not None:
            cycle, tell = self.leaving
            if not cycle.response_complete:
                cycle.disconnected = True  # uvicorn tells only the latest of pipelined requests
                tell()

    def _time_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._head_late)

    def _untime_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_late(self) -> None:
        if self._answered():
            self._refuse(late(self.head_seconds))
        else:
            self._time_head()  # the request before it is being answered, and maybe nothing read

    def _answered(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # before the first one it is None
        return cycle is None or cycle.response_complete

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _garbled(self) -> None:
        """Refuse what is no HTTP, unless the parser has stopped because of a refusal."""
        if self._refused:
            return
        # Anybody can send it, over any number of connections: what logs it is the server's.
        shared = vars(self.server_state).setdefault(_GARBAGE, Throttle())
        shared.warning("refused what is no HTTP request")
        cycle: RequestResponseCycle | None = self.cycle
        if cycle and cycle.more_body and not (cycle.response_started or self.pipeline):
            cycle.disconnected = True  # its own body: nothing else is answered here any more
            cycle.response_complete = True
            cycle.message_event.set()
        self._refuse(GARBLED)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer and close; only close where that would get into another answer."""
        self._refused = True
        if not self._answered():
            self.transport.close()
            return
        self.transport.write(refusal.written())
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    def _refuse_here(self, refusal: Refusal) -> NoReturn:
        """Refuse from a callback of the parser; no request comes of it, and the parser stops."""
        self._refuse(refusal)
        raise ValueError(refusal.message)


def _nothing() -> None:
    pass
