"""A model server that plays scripted bytes on a real socket and notes when each client leaves."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from typing_extensions import override

from candor_guard.testing import chat_body, chat_stream, is_probe


class Cut(Enum):
    """How a play ends a connection that it does not leave open."""

    CLOSE = "an orderly end"
    RESET = "a reset"


Piece = bytes | float | asyncio.Event | Cut


@dataclass(slots=True)
class Call:
    """One request, byte for byte as it came off the wire.

    Attributes:
        method: As sent.
        target: Path and query, as sent.
        headers: Names in lower case.
        body: What has arrived of it.
        left: Set when its connection was closed from the other side.
        left_at: The loop's time at that moment.
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytearray = field(default_factory=bytearray)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    left_at: float = 0.0

    def values(self, name: str) -> list[str]:
        """Return the values of every header of this name."""
        return [value for key, value in self.headers if key == name]

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(bytes(self.body))


@dataclass(slots=True)
class Line:
    """One accepted connection, seen from the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    call: Call | None = None

    async def head(self) -> Call:
        """Read the next request up to its body."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *fields = head[:-4].split("\r\n")
        method, target, _ = first.split(" ")
        pairs = [(name.lower(), value) for name, _, value in (f.partition(": ") for f in fields)]
        self.call = Call(method, target, pairs)
        return self.call

    async def piece(self) -> bytes:
        """Read the next piece of a chunked body; ``b""`` at its end."""
        assert self.call is not None
        data = await self.reader.readexactly(int(await self.reader.readuntil(b"\r\n"), 16))
        await self.reader.readexactly(2)
        self.call.body += data
        return data

    async def body(self) -> None:
        """Read the body to its end."""
        assert self.call is not None
        if self.call.values("transfer-encoding"):
            while await self.piece():
                pass
        else:
            length = int((self.call.values("content-length") or ["0"])[0])
            self.call.body += await self.reader.readexactly(length)

    async def play(self, *pieces: Piece) -> bool:
        """Send, wait or cut; returns whether the connection can be used again."""
        for piece in pieces:
            match piece:
                case bytes():
                    self.writer.write(piece)
                    await self.writer.drain()
                case asyncio.Event():
                    await piece.wait()
                case Cut.CLOSE:
                    return False
                case Cut.RESET:
                    sock: socket.socket = self.writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.writer.transport.abort()
                    return False
                case float():
                    await asyncio.sleep(piece)
        return True


# What to do with one request: pieces of an answer, or a function that also reads the body.
Play = tuple[Piece, ...] | Callable[[Line], Awaitable[bool]]


@dataclass(slots=True)
class ScriptedUpstream:
    """A running server that plays its plays in order, the last one over and over.

    Attributes:
        plays: What to do with each request.
        probes: What to do with each probe; without any, probes are requests like all others.
    """

    plays: tuple[Play, ...]
    probes: tuple[tuple[Piece, ...], ...] = ()
    url: str = ""
    calls: list[Call] = field(default_factory=list)
    connections: int = 0
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def called(self, number: int) -> Call:
        """Wait for the request of that number, from 1 on, and return it."""
        async with self.came:
            await self.came.wait_for(lambda: len(self.calls) >= number)
        return self.calls[number - 1]

    async def serve(self, line: Line) -> None:
        """Answer the requests of one connection."""
        self.connections += 1
        usable = True
        while usable:
            call = await line.head()
            if self.probes:
                await line.body()  # only there does it say whether it is a probe
            play = self._next(probe=is_probe(bytes(call.body)))
            self.calls.append(call)
            async with self.came:
                self.came.notify_all()
            if not isinstance(play, tuple):
                usable = await play(line)
                continue
            if not self.probes:
                await line.body()
            usable = await line.play(*play)

    def _next(self, *, probe: bool) -> Play:
        script: tuple[Play, ...] = self.probes if probe else self.plays
        earlier = sum(is_probe(bytes(call.body)) is probe for call in self.calls)
        return script[min(earlier, len(script) - 1)]


class _Protocol(asyncio.StreamReaderProtocol):
    """Notes the moment when the other side leaves, whether or not anybody reads."""

    def __init__(self, upstream: ScriptedUpstream, running: set[asyncio.Task[None]]) -> None:
        reader = asyncio.StreamReader(2**20)
        super().__init__(reader, self._begin)
        self._upstream = upstream
        self._running = running
        self._line: Line | None = None

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._line = Line(reader, writer)
        task = asyncio.ensure_future(self._serve(self._line))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _serve(self, line: Line) -> None:
        try:
            await self._upstream.serve(line)
        except (asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
            pass  # the test is over, or the other side has gone
        finally:
            line.writer.close()

    @override
    def eof_received(self) -> bool | None:
        self._gone()
        return super().eof_received()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._gone()
        super().connection_lost(exc)

    def _gone(self) -> None:
        call = self._line.call if self._line is not None else None
        if call is not None and not call.left.is_set():
            call.left_at = asyncio.get_running_loop().time()
            call.left.set()


@asynccontextmanager
async def playing(
    *plays: Play, probes: tuple[tuple[Piece, ...], ...] = ()
) -> AsyncIterator[ScriptedUpstream]:
    """Run a scripted upstream while the block runs."""
    running: set[asyncio.Task[None]] = set()
    upstream = ScriptedUpstream(plays, probes)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Protocol(upstream, running), "127.0.0.1", 0)
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield upstream
    finally:
        server.close()
        for task in tuple(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.sleep(0)  # lets the transports finish closing


def head(*headers: str, status: str = "200 OK") -> bytes:
    """Return a status line and headers."""
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("latin-1")


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return a whole response with a content-length; JSON unless the headers say otherwise."""
    if not any(line.lower().startswith("content-type:") for line in headers):
        headers = ("content-type: application/json", *headers)
    return head(f"content-length: {len(body)}", *headers, status=status) + body


def chunk(data: bytes) -> bytes:
    """Return data as one piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


END = b"0\r\n\r\n"
SSE = ("content-type: text/event-stream; charset=utf-8", "transfer-encoding: chunked")


def streamed(*pieces: Piece, headers: tuple[str, ...] = ()) -> tuple[Piece, ...]:
    """Return the play of an event stream whose pieces of bytes are sent one by one."""
    body = [chunk(piece) if isinstance(piece, bytes) else piece for piece in pieces]
    return (head(*SSE, *headers), *body, END)


def says(text: str, *headers: str, stream: bool = False, usage: bool = False) -> tuple[Piece, ...]:
    """Return the play of a well-formed reply; a stream brings each word in a piece of its own."""
    if not stream:
        return (answer(chat_body(text), *headers),)
    words = [word + " " for word in text.split(" ")]
    frames = chat_stream(words, usage=usage).split(b"\n\n")[:-1]
    return streamed(*[frame + b"\n\n" for frame in frames], headers=headers)
