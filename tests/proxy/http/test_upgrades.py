"""Requests that ask for another protocol are answered in this one, with their bodies."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from tests.proxy.http.stage import Wire, raw_request, request_body, stage
from tests.proxy.http.upstream import answer, says

from candor_guard.testing import FakeDetector

pytestmark = pytest.mark.anyio

H2C = ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABk")
WEBSOCKET = ("connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13")
ANSWER = answer(b"{}")
SMUGGLED = b"GET /v1/smuggled HTTP/1.1\r\nhost: p\r\n\r\n"


async def sent(wire: Wire, request: bytes, *, apart: bool) -> None:
    """Send a request in one piece, or its body a moment after its head."""
    head, _, body = request.partition(b"\r\n\r\n")
    await wire.send(head + b"\r\n\r\n" + (b"" if apart else body))
    if apart:
        await asyncio.sleep(0.02)
        await wire.send(body)


@pytest.mark.parametrize("apart", [False, True], ids=["whole", "apart"])
@pytest.mark.parametrize("wish", [H2C, WEBSOCKET], ids=["h2c", "websocket"])
async def test_a_body_goes_with_its_request(
    wish: tuple[str, ...], apart: bool, log: pytest.LogCaptureFixture
) -> None:
    """A body arrives whole, even one that reads like a request, and the connection goes on."""
    async with stage((ANSWER,)) as on, on.wire() as wire:
        for _ in range(2):
            await sent(wire, raw_request(SMUGGLED, "/v1/files", *wish), apart=apart)
            assert b" 200 " in await wire.head()
            assert await wire.reader.readexactly(2) == b"{}"
        await wire.send(b"GET /v1/models HTTP/1.1\r\nhost: p\r\n\r\n")
        assert b" 200 " in await wire.head()
        calls = [(call.target, bytes(call.body)) for call in on.upstream.calls]
        assert calls == [("/v1/files", SMUGGLED)] * 2 + [("/v1/models", b"")]
        assert not any(call.values("upgrade") for call in on.upstream.calls)
    assert [r for r in log.records if r.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("apart", [False, True], ids=["whole", "apart"])
async def test_a_chunked_body_goes_with_its_request(apart: bool) -> None:
    """A body without a stated length is framed by its chunks, and the next request is its own."""
    fields = "\r\n".join(("POST /v1/files HTTP/1.1", "host: p", *H2C))
    request = f"{fields}\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n".encode()
    async with stage((ANSWER,)) as on, on.wire() as wire:
        await sent(wire, request, apart=apart)
        assert b" 200 " in await wire.head()
        assert [bytes(call.body) for call in on.upstream.calls] == [b"abcd"]


async def test_a_guarded_turn_is_answered() -> None:
    """A chat request of a client that asks for h2c, as Java's does, gets its reply."""
    async with (
        stage(says("It is 56."), detector=FakeDetector(at_risk=False)) as on,
        on.wire() as wire,
    ):
        body = request_body()
        await wire.send(raw_request(body, "/v1/chat/completions", *H2C))
        assert b" 200 " in await wire.head()
        assert [bytes(call.body) for call in on.upstream.calls] == [body]


async def test_many_at_once_are_answered_in_their_order() -> None:
    """Pipelined requests that each ask for an upgrade are all answered, on one connection."""
    paths = [f"/v1/models/{number}" for number in range(20)]
    lines = "\r\n".join(("host: p", *H2C, "", ""))
    async with stage((ANSWER,)) as on, on.wire() as wire:
        await wire.send("".join(f"GET {path} HTTP/1.1\r\n{lines}" for path in paths).encode())
        for _ in paths:
            assert b" 200 " in await wire.head()
            assert await wire.reader.readexactly(2) == b"{}"
        assert [call.target for call in on.upstream.calls] == paths


async def test_nothing_behind_a_connect_is_a_request() -> None:
    """CONNECT is refused, and what a client sends after it reaches nobody."""
    async with stage((ANSWER,)) as on, on.wire() as wire:
        await wire.send(b"CONNECT files:443 HTTP/1.1\r\nhost: p\r\n\r\n" + SMUGGLED)
        assert b" 405 " in await wire.head()
        error = json.loads(await wire.reader.read())["error"]
        assert error["code"] == "method_not_allowed"
        assert on.upstream.calls == []
