"""A fast upstream: fixed replies, streams with a settable gap. Run: python -m … PORT GAP_MS.

Gap and length of the replies may be changed while it runs: ``POST /gap/MS``, ``POST /words/N``.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

from typing_extensions import override

from candor_guard.testing import chat_body, chat_stream

# None of it caves in or agrees with anybody. 182 words are about 200 tokens.
TEXT = "The table has four legs and stands in the kitchen, near the window. " * 14
_WORDS = TEXT.split()
USUAL_WORDS = 182
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
_LAST_CHUNK = b"0\r\n\r\n"
_DONE = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Script:
    """What is answered; shared by all connections.

    Attributes:
        gap: Seconds between the chunks of a stream.
        whole: A whole response.
        chunks: The body of a stream, a chunk for each word.
    """

    def __init__(self, gap: float) -> None:
        self.gap = gap
        self.say(USUAL_WORDS)

    def say(self, words: int) -> None:
        """Answer with that many words."""
        said = [_WORDS[number % len(_WORDS)] for number in range(words)]
        body = chat_body(" ".join(said))
        self.whole = (
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%s" % (len(body), body)
        )
        stream = chat_stream(f"{word} " for word in said)
        frames = [frame + b"\n\n" for frame in stream.split(b"\n\n") if frame]
        self.chunks = [b"%x\r\n%s\r\n" % (len(frame), frame) for frame in frames]

    def obey(self, path: bytes) -> None:
        """Take a command such as ``/gap/5`` or ``/words/200``."""
        _, what, value = path.decode().split("/")
        if what == "gap":
            self.gap = float(value) / 1000
        else:
            self.say(int(value))


class _Connection(asyncio.Protocol):
    """Answers as soon as a whole request is there; no HTTP library in the way."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._buffer = b""
        self._tasks: set[asyncio.Task[None]] = set()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # TCP servers get these

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        for task in self._tasks:
            task.cancel()

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = _length(head)
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        if not head.startswith(b"POST /v1/"):
            self._script.obey(head.split(b" ", 2)[1])
            self._transport.write(_DONE)
        elif b'"stream":true' in rest or b'"stream": true' in rest:
            self._stream()
        else:
            self._transport.write(self._script.whole)

    def _stream(self) -> None:
        self._transport.write(_STREAM_HEAD)
        if self._script.gap:
            task = asyncio.get_running_loop().create_task(self._paced(self._script.gap))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        for chunk in self._script.chunks:
            self._transport.write(chunk)
        self._transport.write(_LAST_CHUNK)

    async def _paced(self, gap: float) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number, chunk in enumerate(self._script.chunks):
            # Against the clock, so that a busy core delays single chunks and not all the rest.
            await asyncio.sleep(max(0.0, began + number * gap - loop.time()))
            self._transport.write(chunk)
        self._transport.write(_LAST_CHUNK)


def _length(head: bytes) -> int:
    lower = head.lower()
    start = lower.find(b"\r\ncontent-length:")
    if start < 0:
        return 0
    line_end = lower.find(b"\r\n", start + 2)
    return int(lower[start + 17 : line_end if line_end > 0 else None])


async def serve(port: int, script: Script) -> asyncio.Server:
    """Start to serve in the running loop."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: _Connection(script), "127.0.0.1", port, backlog=2048)


async def main(port: int, gap: float) -> None:
    """Serve until killed."""
    server = await serve(port, Script(gap))
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2]) / 1000))
