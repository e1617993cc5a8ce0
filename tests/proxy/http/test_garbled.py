"""What is no HTTP is refused in the API's own shape, and never within another answer."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from tests.proxy.http.stage import Wire, stage
from tests.proxy.http.upstream import answer

pytestmark = pytest.mark.anyio

GARBAGE = {
    "no method": b"\x16\x03\x01\x02\r\n\r\n",
    "no header": b"GET /v1/models HTTP/1.1\r\nhost p\r\n\r\n",
    "two lengths": b"POST /v1/x HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    "another version": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}
UPLOAD = b"POST %s HTTP/1.1\r\nhost: p\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabcd\r\n"


def warnings(log: pytest.LogCaptureFixture) -> list[str]:
    """What the log has of importance."""
    return [r.getMessage() for r in log.records if r.levelno >= logging.WARNING]


async def refused(wire: Wire) -> None:
    """Expect the one answer that fits, and the end of the connection."""
    assert b" 400 " in await wire.head()
    error = json.loads(await wire.reader.read())["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_http")


@pytest.mark.parametrize("kind", GARBAGE)
async def test_garbage_gets_an_error_in_the_usual_shape(kind: str) -> None:
    """A client that misspells HTTP is told so in JSON, whether or not it was answered before."""
    async with stage((answer(b"{}"),)) as on:
        async with on.wire() as wire:
            await wire.send(GARBAGE[kind])
            await refused(wire)
        async with on.wire() as wire:
            await wire.send(b"GET /v1/models HTTP/1.1\r\nhost: p\r\n\r\n")
            assert b" 200 " in await wire.head()
            assert await wire.reader.readexactly(2) == b"{}"
            await wire.send(GARBAGE[kind])
            await refused(wire)


@pytest.mark.parametrize("path", [b"/v1/files", b"/v1/chat/completions"])
async def test_a_garbled_body_is_told_to_who_sends_it(path: bytes) -> None:
    """A chunk that is none is answered at once, and its request goes no further."""
    async with stage((asyncio.Event(),)) as on, on.wire() as wire:
        await wire.send(UPLOAD % path)
        await asyncio.sleep(0.05)
        await wire.send(b"zz\r\n")
        await refused(wire)
        if on.upstream.calls:
            await on.upstream.calls[0].left.wait()


@pytest.mark.parametrize("path", [b"/v1/files", b"/v1/chat/completions", b"/candor/v1/check"])
@pytest.mark.parametrize("codings", [b"gzip, chunked", b"gzip\r\nTransfer-Encoding: chunked"])
async def test_a_transfer_that_is_not_read_is_refused(path: bytes, codings: bytes) -> None:
    """A body whose bytes would reach the upstream without the word of what they are in goes nowhere."""
    async with stage((answer(b"{}"),)) as on, on.wire() as wire:
        await wire.send(UPLOAD.replace(b"chunked", codings) % path + b"0\r\n\r\n")
        assert b" 501 " in await wire.head()
        assert json.loads(await wire.reader.read())["error"]["code"] == "transfer_encoding"
        assert on.upstream.calls == []


async def test_chunked_may_be_spelt_in_any_case() -> None:
    """The one coding that is read needs no particular case."""
    async with stage((answer(b"{}"),)) as on, on.wire() as wire:
        await wire.send(UPLOAD.replace(b"chunked", b" Chunked ") % b"/v1/files" + b"0\r\n\r\n")
        assert b" 200 " in await wire.head()
        assert bytes(on.upstream.calls[0].body) == b"abcd"


async def test_garbage_does_not_get_into_another_answer() -> None:
    """Behind a request that is being answered it only ends the connection."""
    play = (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab", asyncio.Event())
    async with stage(play) as on, on.wire() as wire:
        await wire.send(b"GET /v1/models HTTP/1.1\r\nhost: p\r\n\r\n")
        assert b" 200 " in await wire.head()
        assert await wire.reader.readexactly(2) == b"ab"
        await wire.send(GARBAGE["no method"])
        assert await wire.reader.read() == b""


async def test_the_log_is_not_filled(log: pytest.LogCaptureFixture) -> None:
    """However many send garbage, there is a line a second."""
    began = asyncio.get_running_loop().time()
    async with stage() as on:
        for _ in range(30):
            async with on.wire() as wire:
                await wire.send(GARBAGE["no method"])
                assert b" 400 " in await wire.head()
        seconds = asyncio.get_running_loop().time() - began
    lines = warnings(log)
    assert len(lines) <= 1 + seconds < 30
    assert all(line.startswith("refused what is no HTTP request") for line in lines)


async def test_each_server_has_its_own_lines(log: pytest.LogCaptureFixture) -> None:
    """What one server was sent a moment ago silences no other one in the same process."""
    for _ in range(2):
        async with stage() as on, on.wire() as wire:
            await wire.send(GARBAGE["no method"])
            await refused(wire)
    assert warnings(log) == ["refused what is no HTTP request"] * 2
