"""Heads of requests have a bound, and what is beyond it costs neither memory nor other answers."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from tests.proxy.http.stage import Stage, Wire, raw_request, request_body, stage
from tests.proxy.http.upstream import answer, says

from candor_guard.testing import FakeDetector
from candor_proxy.refusals import MAX_HEAD_BYTES

pytestmark = pytest.mark.anyio

PIECE = 16 * 1024
GET = b"GET /healthz HTTP/1.1\r\nhost: proxy\r\n"
ENDLESS = {
    "one header": (GET + b"x-long: ", b"a" * PIECE),
    "many headers": (GET, b"x-short: 1\r\n" * (PIECE // 12)),
    "a name": (GET, b"a" * PIECE),
    "a path": (b"GET /", b"a" * PIECE),
    "a query": (b"GET /v1/models?", b"a" * PIECE),
}


async def refused(wire: Wire, head: bytes) -> None:
    """Expect the one answer that fits, and the end of the connection."""
    assert head.startswith(b"HTTP/1.1 431 ")
    assert b"connection: close" in head
    body = await wire.reader.read()
    error = json.loads(body)["error"]
    assert f"content-length: {len(body)}".encode() in head
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == ("invalid_request_error", "headers_too_large")
    assert str(MAX_HEAD_BYTES) in error["message"]


async def healthy(on: Stage) -> bool:
    return (await on.client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("kind", ENDLESS)
async def test_endless_head_is_refused(kind: str) -> None:
    """A head that does not end gets a 431 after some times the limit, and its rest is not kept."""
    start, piece = ENDLESS[kind]
    async with stage() as on, on.wire() as wire:
        await wire.send(start)
        head, sent = asyncio.create_task(wire.head()), 0
        while not head.done() and sent < 8 * MAX_HEAD_BYTES:
            await wire.send(piece)
            sent += len(piece)
            await asyncio.sleep(0.01)
        assert sent <= 2 * MAX_HEAD_BYTES
        await refused(wire, await head)
        assert await healthy(on)


@pytest.mark.parametrize("where", ["header", "path"])
async def test_whole_head_over_the_limit_is_refused(where: str) -> None:
    """A head that comes at once is measured, too, and reaches nobody."""
    long = b"a" * (MAX_HEAD_BYTES + 1)
    async with stage(says("It is 56.")) as on, on.wire() as wire:
        path = b"/v1/models?" + (long if where == "path" else b"")
        header = long if where == "header" else b"short"
        await wire.send(b"GET %s HTTP/1.1\r\nhost: proxy\r\nx-a: %s\r\n\r\n" % (path, header))
        await refused(wire, await wire.head())
        assert on.upstream.calls == []
        assert await healthy(on)


async def test_head_in_two_pieces_is_measured_as_one() -> None:
    """Neither piece of a head is over the limit, but both together are."""
    half = b"a" * (MAX_HEAD_BYTES // 2 + 100)
    async with stage() as on, on.wire() as wire:
        await wire.send(GET + b"x-one: " + half)
        await asyncio.sleep(0.05)
        await wire.send(b"\r\nx-two: " + half + b"\r\n\r\n")
        await refused(wire, await wire.head())


async def test_large_head_below_the_limit_goes_through() -> None:
    """Long tokens and cookies are no reason to refuse a request, however they come in."""
    value = b"a" * (MAX_HEAD_BYTES - 200)
    head = b"GET /v1/models HTTP/1.1\r\nhost: proxy\r\nx-long: %s\r\n\r\n" % value
    async with stage((answer(b"{}"),)) as on, on.wire() as wire:
        for size in (len(head), 3000):
            for start in range(0, len(head), size):
                await wire.send(head[start : start + size])
                await asyncio.sleep(0)
            assert b" 200 " in await wire.head()
            assert await wire.reader.readexactly(2) == b"{}"
        assert [len(call.values("x-long")[0]) for call in on.upstream.calls] == [len(value)] * 2


async def test_small_chunks_do_not_count_as_a_head() -> None:
    """A body of many small chunks has more framing than a head may have, and arrives whole."""
    text = bytes(range(97, 123)) * 800
    async with stage((answer(b"{}"),)) as on, on.wire() as wire:
        await wire.send(b"POST /v1/files HTTP/1.1\r\nhost: p\r\ntransfer-encoding: chunked\r\n\r\n")
        for start in range(0, len(text), 500):
            piece = text[start : start + 500]
            await wire.send(b"".join(b"0001\r\n%c\r\n" % byte for byte in piece))
        await wire.send(b"0\r\n\r\n")
        assert b" 200 " in await wire.head()
        assert bytes(on.upstream.calls[0].body) == text


async def test_endless_trailers_end_the_connection() -> None:
    """What follows a body without an end is cut off, and its request with it."""
    async with stage(says("It is 56.")) as on, on.wire() as wire:
        await wire.send(b"POST /v1/files HTTP/1.1\r\nhost: p\r\ntransfer-encoding: chunked\r\n\r\n")
        await wire.send(b"1\r\na\r\n0\r\n")
        with pytest.raises(ConnectionError):  # noqa: PT012 - any of the writes may meet it
            for _ in range(64):
                await wire.send(b"x-short: 1\r\n" * (PIECE // 12))
                await asyncio.sleep(0.01)
        assert await healthy(on)


async def test_refusal_does_not_get_into_another_answer() -> None:
    """A head over the limit behind a request that is being answered only ends the connection."""
    go = asyncio.Event()
    detector = FakeDetector(at_risk=False)
    play = (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab", go, b"cd")
    async with stage(play, detector=detector) as on, on.wire() as wire:
        await wire.send(raw_request(request_body()))
        assert b" 200 " in await wire.head()
        assert await wire.reader.readexactly(2) == b"ab"
        await wire.send(GET + b"x-long: " + b"a" * (4 * MAX_HEAD_BYTES))
        with contextlib.suppress(ConnectionError):  # our bytes that it did not read reset it
            assert await wire.reader.read() == b""
        go.set()
        assert await healthy(on)
