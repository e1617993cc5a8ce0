"""Bodies of guarded requests that stop, crawl, or never end, over a real socket."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable

import pytest
from tests.integrations.asgi.kit import RIGHT, scene
from tests.proxy.http.stage import CHAT, Wire, request_body

from candor_guard.guard import Guard
from candor_guard.integrations.asgi import CandorMiddleware, Message, Patience, Scope
from candor_guard.testing import FakeDetector

pytestmark = pytest.mark.anyio

SILENCE = 0.3
IMPATIENT = {"patience": Patience(body_timeout=SILENCE)}
CHUNKED = "transfer-encoding: chunked"


def opening(length: str = "content-length: 1000") -> bytes:
    """A request whose body is still to come."""
    return f"POST {CHAT} HTTP/1.1\r\nhost: p\r\n{length}\r\n\r\n".encode()


async def rest(wire: Wire) -> bytes:
    """What comes until the server closes the connection."""
    return await wire.reader.read()


@pytest.mark.parametrize("length", ["content-length: 1000", CHUNKED])
@pytest.mark.parametrize("sent", ["nothing", "half"])
async def test_body_that_stops_is_a_408(sent: str, length: str) -> None:
    """A client that falls silent is told so, its connection is closed, and the app never called."""
    half = b'6\r\n{"mess\r\n' if length == CHUNKED else b'{"mess'
    loop = asyncio.get_running_loop()
    async with scene(RIGHT, options=IMPATIENT) as on, on.wire() as wire:
        began = loop.time()
        await wire.send(opening(length) + (half if sent == "half" else b""))
        top, body = await wire.head(), await rest(wire)
        took = loop.time() - began
        assert on.model.asked == []
    assert top.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in top
    assert b"x-candor-request-id: candor-" in top
    assert b'"code":"body_timeout"' in body
    assert SILENCE <= took < SILENCE + 1


async def test_slow_body_arrives() -> None:
    """Whoever goes on sending may take much longer in all than the silence that is allowed."""
    whole = request_body()
    pieces = [whole[start : start + 60] for start in range(0, len(whole), 60)]
    assert len(pieces) * 0.1 > 1.5 * SILENCE
    async with scene(RIGHT, options=IMPATIENT) as on:
        async with on.wire() as wire:
            await wire.send(opening(f"content-length: {len(whole)}"))
            for piece in pieces:
                await wire.send(piece)
                await asyncio.sleep(0.1)
            assert b" 200 " in await wire.head()
        assert on.model.asked[0].body == whole


async def test_flood_of_tiny_chunks_ends_at_the_limit() -> None:
    """A body that never ends, a byte a chunk, is a 413 as soon as it is over the limit."""
    options = {"max_request_bytes": 1000}
    async with scene(RIGHT, options=options) as on, on.wire() as wire:
        await wire.send(opening(CHUNKED))
        answer = asyncio.create_task(wire.head())
        sent = 0
        while not answer.done():
            await wire.send(b"1\r\nx\r\n")
            sent += 1
            await asyncio.sleep(0)
        assert answer.result().startswith(b"HTTP/1.1 413 ")
        assert on.model.asked == []
    assert 1000 < sent < 10_000


def crumbs(count: int) -> Callable[[], Awaitable[Message]]:
    """A server's `receive` that gives two bytes a message, and does not end."""
    left = count

    async def receive() -> Message:
        nonlocal left
        if not left:
            await asyncio.Event().wait()
        left -= 1
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"%02d" % (left % 100), "more_body": True}

    return receive


async def unread(
    receive: Callable[[], Awaitable[Message]], silence: float, version: str = "1.1"
) -> Message:
    """Give the middleware a body that stops; returns the head of its answer."""
    sent = list[Message]()

    async def no_app(_scope: Scope, _receive: object, _send: object) -> None:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    guard = Guard(FakeDetector())
    guarded = CandorMiddleware(no_app, guard=guard, patience=Patience(body_timeout=silence))
    scope = {"type": "http", "method": "POST", "path": CHAT, "headers": []}
    await guarded({**scope, "http_version": version}, receive, send)
    await guard.aclose()
    return sent[0]


async def test_crumbs_take_no_more_room_than_they_are() -> None:
    """What is kept of a body in tiny pieces is its bytes, not an object for each."""
    pieces = 10_000
    tracemalloc.start()
    try:
        top = await unread(crumbs(pieces), 0.2)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert top["status"] == 408
    assert most < 10 * 2 * pieces


@pytest.mark.parametrize(("version", "closes"), [("1.1", True), ("2", False)])
async def test_only_http_1_has_a_connection_to_close(version: str, *, closes: bool) -> None:
    """HTTP/2 forbids the header that ends an HTTP/1 connection, and servers raise over it."""
    top = await unread(crumbs(1), 0.01, version)
    assert top["status"] == 408
    assert ((b"connection", b"close") in top["headers"]) is closes
