"""A fast upstream: fixed replies, streams with a settable gap. Run: python -m … PORT GAP_MS."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

from typing_extensions import override

from candor_guard.testing import chat_body, chat_stream

_TEXT = "The table has four legs and stands in the kitchen, near the window. " * 14
_PIECES = [f"{word} " for word in _TEXT.split()][:200]
_FRAMES = [frame + b"\n\n" for frame in chat_stream(_PIECES).split(b"\n\n") if frame]


class _Connection(asyncio.Protocol):
    """Answers as soon as a whole request is there; no HTTP library in the way."""

    def __init__(self, gap: float) -> None:
        self._gap = gap
        self._buffer = b""
        self._tasks: set[asyncio.Task[None]] = set()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # TCP servers get these

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n")
             if line.startswith(b"content-length:")), 0,
        )  # fmt: skip
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        if json.loads(rest[:length]).get("stream"):
            task = asyncio.get_running_loop().create_task(self._stream())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._whole()

    def _whole(self) -> None:
        body = chat_body(_TEXT)
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%s" % (len(body), body)
        )

    async def _stream(self) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        for frame in _FRAMES:
            self._transport.write(b"%x\r\n%s\r\n" % (len(frame), frame))
            if self._gap:
                await asyncio.sleep(self._gap)
        self._transport.write(b"0\r\n\r\n")


async def main(port: int, gap: float) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(gap), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2]) / 1000))
