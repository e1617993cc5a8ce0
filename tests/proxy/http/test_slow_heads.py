"""A head has so much time: whoever sends half of one does not hold a connection for ever."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.proxy.http.stage import Wire, raw_request, stage
from tests.proxy.http.upstream import answer

from candor_proxy.corked import CorkedProtocol

pytestmark = pytest.mark.anyio

HALF = b"GET /v1/models HTTP/1.1\r\nhost: proxy\r\nx-half: "
WHOLE = b"GET /v1/models HTTP/1.1\r\nhost: proxy\r\n\r\n"
ANSWER = answer(b"{}")
SECONDS = 0.2


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less time than users get."""
    monkeypatch.setattr(CorkedProtocol, "head_seconds", SECONDS)


async def ended(wire: Wire) -> None:
    """Expect the one answer that fits, and the end of the connection."""
    assert b" 408 " in await wire.head()
    error = json.loads(await wire.reader.read())["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "headers_timeout")


async def answered(wire: Wire) -> None:
    assert b" 200 " in await wire.head()
    assert await wire.reader.readexactly(2) == b"{}"


async def test_half_a_head_is_ended() -> None:
    """The connection of a client that stops within its first head is closed with a 408."""
    async with stage() as on, on.wire() as wire:
        await wire.send(HALF)
        await ended(wire)


async def test_a_head_that_drips_is_ended() -> None:
    """Bytes that keep coming gain a head no time."""
    async with stage() as on, on.wire() as wire:
        await wire.send(HALF)
        over = asyncio.create_task(ended(wire))
        while not over.done():
            await wire.send(b"a")
            await asyncio.sleep(SECONDS / 8)
        await over


async def test_half_a_head_on_a_kept_connection_is_ended() -> None:
    """A later head has its time from its own first byte, not from the connection's."""
    async with stage((ANSWER,)) as on, on.wire() as wire:
        for _ in range(2):
            await wire.send(WHOLE)
            await answered(wire)
            await asyncio.sleep(1.5 * SECONDS)
        await wire.send(HALF)
        await ended(wire)


async def test_half_a_head_behind_a_request_leaves_its_answer_alone() -> None:
    """An answer that is on its way goes to its end before the half head behind it is refused."""
    go = asyncio.Event()
    play = (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{", go, b"}")
    async with stage(play) as on, on.wire() as wire:
        await wire.send(WHOLE + HALF)
        assert b" 200 " in await wire.head()
        await asyncio.sleep(2 * SECONDS)
        go.set()
        assert await wire.reader.readexactly(2) == b"{}"
        await ended(wire)


async def test_a_slow_body_has_its_own_time() -> None:
    """Once a head is there, its time is over for good."""
    async with stage((ANSWER,)) as on, on.wire() as wire:
        head, _, body = raw_request(b"abcd", "/v1/files").partition(b"\r\n\r\n")
        await wire.send(head + b"\r\n\r\n")
        await asyncio.sleep(2 * SECONDS)
        await wire.send(body)
        await answered(wire)


@pytest.mark.parametrize("first", [b"", WHOLE], ids=["new", "kept"])
async def test_line_ends_keep_no_connection_open(first: bytes) -> None:
    """A connection on which no request begins is closed as idle, whatever else arrives on it."""
    async with stage((ANSWER,), keep_alive=1) as on, on.wire() as wire:
        await wire.send(first)
        if first:
            await answered(wire)
        await wire.send(b"\r\n")
        assert await wire.reader.read() == b""
