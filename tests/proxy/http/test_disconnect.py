"""A client that leaves: every upstream connection is closed at once, measured at the upstream."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.proxy.http.stage import CHAT, Stage, raw_request, request_body, stage
from tests.proxy.http.upstream import (
    SSE,
    Call,
    Line,
    Play,
    answer,
    chunk,
    head,
    says,
    streamed,
)

from candor_guard.testing import FakeDetector, chat_body, chat_stream
from candor_proxy.options import ProxyOptions

pytestmark = pytest.mark.anyio

AT_ONCE = 0.2
FRAMES = chat_stream(["It ", "is ", "56."])
STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


async def left_in_time(call: Call, since: float) -> bool:
    """Whether the upstream saw the end of this call's connection at once."""
    async with asyncio.timeout(2):
        await call.left.wait()
    return call.left_at - since < AT_ONCE


async def noticed(on: Stage) -> None:
    """Wait until the proxy has counted the client that left, and nothing is in flight."""
    async with asyncio.timeout(2):
        while (await on.counts())["candor_client_disconnects_total"] != 1.0:
            pass
    assert (await on.counts())["candor_requests_in_flight"] == 0.0


@STREAM
@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
async def test_before_the_upstreams_headers(mode: str, stream: bool) -> None:
    """A client that does not wait for an answer frees the upstream from giving one."""
    async with stage((20.0,)) as on, on.wire() as wire:
        body = request_body(stream=stream)
        await wire.send(raw_request(body, CHAT, f"x-candor-mode: {mode}"))
        call = await on.upstream.called(1)
        await asyncio.sleep(0.02)
        assert await left_in_time(call, wire.leave())
        await noticed(on)


@STREAM
async def test_while_its_reply_is_held(stream: bool) -> None:
    """Leaving ends a hold."""
    whole: Play = (head("content-type: application/json", "content-length: 999"), b"{", 20.0)
    play = streamed(FRAMES[:90], 20.0) if stream else whole
    async with stage(play) as on, on.wire() as wire:
        await wire.send(raw_request(request_body(stream=stream)))
        call = await on.upstream.called(1)
        await asyncio.sleep(0.05)
        assert await left_in_time(call, wire.leave())
        await noticed(on)


async def test_while_a_deferred_stream_is_kept_alive() -> None:
    """Leaving between two keepalive comments ends a hold too."""
    options = ProxyOptions(header_wait=0.02, keepalive_interval=30)
    async with stage(streamed(FRAMES[:90], 20.0), options=options) as on, on.wire() as wire:
        await wire.send(raw_request(request_body(stream=True)))
        assert b"deferred" in await wire.head()
        assert await left_in_time(on.upstream.calls[0], wire.leave())
        await noticed(on)


@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
async def test_during_a_stream(mode: str) -> None:
    """Leaving in the middle of a running stream ends it."""
    detector = FakeDetector(at_risk=mode == "observe")
    async with (
        stage(streamed(FRAMES[: FRAMES.index(b"\n\n") + 2], 20.0), detector=detector) as on,
        on.wire() as wire,
    ):
        await wire.send(raw_request(request_body(stream=True), CHAT, f"x-candor-mode: {mode}"))
        await wire.head()
        assert b"data:" in await wire.reader.read(100)
        assert await left_in_time(on.upstream.calls[0], wire.leave())
        await noticed(on)


async def test_during_a_stream_that_it_stopped_reading() -> None:
    """Leaving with a full pipe ends the upstream's call as well."""
    endless = (head(*SSE), *[chunk(FRAMES * 200)] * 500)
    detector = FakeDetector(at_risk=False)
    async with stage(endless, detector=detector) as on, on.wire() as wire:
        await wire.send(raw_request(request_body(stream=True)))
        await wire.head()
        await asyncio.sleep(0.3)
        call = on.upstream.calls[0]
        assert not call.left.is_set()
        assert await left_in_time(call, wire.leave())


@pytest.mark.parametrize("phase", ["before headers", "in the body"])
@pytest.mark.parametrize("first_open", [False, True], ids=["first read", "first still open"])
async def test_during_a_regeneration(first_open: bool, phase: str) -> None:
    """Leaving closes the second call, and the first one where it is still open."""
    flagged = chat_stream(["CAVE " * 30])
    first: Play = says("CAVE", stream=True)
    settings: dict[str, Any] = {}
    if first_open:
        first, settings = streamed(flagged, 20.0), {"max_hold_bytes": 50}
    second: Play = (20.0,) if phase == "before headers" else streamed(FRAMES[:90], 20.0)
    async with stage(first, second, **settings) as on, on.wire() as wire:
        await wire.send(raw_request(request_body(stream=True)))
        calls = [await on.upstream.called(number) for number in (1, 2)]
        await asyncio.sleep(0.05)
        left = wire.leave()
        for call in calls[0 if first_open else 1 :]:
            assert await left_in_time(call, left)
        await noticed(on)


def upload(path: str, *pieces: bytes) -> bytes:
    """Return the beginning of a chunked upload."""
    lines = f"POST {path} HTTP/1.1\r\nhost: proxy\r\ntransfer-encoding: chunked\r\n\r\n"
    return lines.encode() + b"".join(map(chunk, pieces))


async def test_during_an_upload() -> None:
    """Leaving in the middle of a passed-through upload ends it at the upstream."""
    first = asyncio.Event()

    async def play(line: Line) -> bool:
        await line.piece()
        first.set()
        await line.piece()
        return False

    async with stage(play) as on, on.wire() as wire:
        await wire.send(upload("/v1/files", b"first"))
        await first.wait()
        call = await on.upstream.called(1)
        assert bytes(call.body) == b"first"
        assert await left_in_time(call, wire.leave())
        await noticed(on)


async def test_during_an_upload_that_is_already_answered() -> None:
    """Leaving in the middle of an upload ends it also when the upstream has begun to answer."""

    async def play(line: Line) -> bool:
        await line.piece()
        await line.play(head("transfer-encoding: chunked"), chunk(b"so far"))
        await line.piece()
        return False

    async with stage(play) as on, on.wire() as wire:
        await wire.send(upload("/v1/files", b"first"))
        await wire.head()
        call = await on.upstream.called(1)
        assert await left_in_time(call, wire.leave())
        await noticed(on)


async def test_after_an_upload() -> None:
    """Leaving while the upstream thinks about an upload ends that."""
    async with stage((20.0,)) as on, on.wire() as wire:
        await wire.send(raw_request(b"x" * 300_000, "/v1/embeddings"))
        call = await on.upstream.called(1)
        await asyncio.sleep(0.05)
        assert await left_in_time(call, wire.leave())
        await noticed(on)


async def test_during_a_download() -> None:
    """Leaving in the middle of a passed-through body ends it."""
    play = (head("content-length: 9999999"), b"x" * 1000, 20.0)
    async with stage(play) as on, on.wire() as wire:
        await wire.send(b"GET /v1/files/f/content HTTP/1.1\r\nhost: proxy\r\n\r\n")
        await wire.head()
        await wire.reader.read(10)
        assert await left_in_time(on.upstream.calls[0], wire.leave())
        await noticed(on)


@pytest.mark.parametrize("path", [CHAT, "/v1/embeddings", "/candor/v1/check"])
async def test_in_the_middle_of_its_request(path: str) -> None:
    """A client that leaves before its request is whole costs nothing and logs nothing."""
    async with stage((answer(chat_body("It is 56.")),)) as on:
        async with on.wire() as wire:
            await wire.send(raw_request(request_body(), path)[:-5])
            await asyncio.sleep(0.03)
        await asyncio.sleep(0.05)
        if path == CHAT:
            assert on.upstream.calls == []
            await noticed(on)


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/v1/files", "/candor/v1/check", "/readyz"])
async def test_right_after_its_request(path: str) -> None:
    """A client that leaves at once, again and again, leaves neither a trace nor a connection."""
    verb = "POST" if path in (CHAT, "/candor/v1/check") else "GET"
    body = request_body() if verb == "POST" else b""
    message = raw_request(body, path).replace(b"POST", verb.encode(), 1)
    async with stage((0.05, answer(chat_body("It is 56.")))) as on:
        for turns in (*range(12), *range(12)):
            async with on.wire() as wire:
                await wire.send(message)
                for _ in range(turns):
                    await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        assert all(call.left.is_set() for call in on.upstream.calls)
        assert (await on.counts())["candor_requests_in_flight"] == 0.0


@STREAM
async def test_client_that_got_its_answer_has_not_left(stream: bool) -> None:
    """The end of a response is no disconnect: nothing is counted, connections are used again."""
    plays = [says(text, stream=stream) for text in ("CAVE", "It is 56.", "CAVE", "CAVE")]
    async with stage(*plays * 20) as on:
        for number in range(40):
            response, _ = await on.chat(stream=stream)
            assert response.headers["x-candor-action"] == ("flag" if number % 2 else "regenerate")
        for _ in range(20):
            await on.post("/v1/embeddings", b"x")
        counts = await on.counts()
        assert counts["candor_client_disconnects_total"] == 0.0
        assert counts["candor_requests_in_flight"] == 0.0
        assert on.upstream.connections <= 2
