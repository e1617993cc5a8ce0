"""Bodies of requests that stop, crawl, or come in crowds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from tests.proxy.http.stage import CHAT, Stage, Wire, raw_request, request_body, stage
from tests.proxy.http.test_faults import assert_error
from tests.proxy.http.upstream import END, Line, answer, chunk, head, says

from candor_proxy.admission import Bounds
from candor_proxy.options import ProxyOptions

pytestmark = pytest.mark.anyio

CHECK = "/candor/v1/check"
PATHS = [CHAT, "/v1/files", CHECK]
SHORT = ProxyOptions(body_timeout=0.3)
FIRST = b"HTTP/1.1 100 Continue\r\n\r\n"


def opening(path: str, *headers: bytes, length: int = 1000) -> bytes:
    """A request whose body is still to come."""
    fields = b"".join(header + b"\r\n" for header in headers)
    return b"POST %s HTTP/1.1\r\nhost: p\r\ncontent-length: %d\r\n%s\r\n" % (
        path.encode(), length, fields,
    )  # fmt: skip


@pytest.mark.parametrize("sent", [b"", b'{"mess'], ids=["nothing", "half"])
@pytest.mark.parametrize("path", PATHS)
async def test_body_that_stops_is_a_408(path: str, sent: bytes) -> None:
    """A client that falls silent is told so, its connection closed and its place given to others."""
    play, bounds = says("It is 56."), Bounds(1, 1)
    async with stage(play, options=SHORT, bounds=bounds) as on, on.wire() as wire:
        await wire.send(opening(path) + sent)
        told = await on.client.post(CHAT, content=request_body())
        top = await wire.head()
        body = await wire.reader.read()
    assert top.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in top
    assert b'"code":"body_timeout"' in body
    assert told.status_code == 200


async def test_408_has_the_shape_that_clients_read() -> None:
    """The official shape, our id on a guarded path, and a count."""
    async with stage(options=SHORT) as on:

        async def half() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.sleep(5)

        response = await on.client.post(CHAT, content=half())
        assert_error(response, response.content, 408, "body_timeout")
        assert response.headers["x-candor-request-id"].startswith("candor-")
        counts = await on.counts()
    assert counts['candor_invalid_requests_total{status="408"}'] == 1.0


@pytest.mark.parametrize("path", PATHS)
async def test_slow_body_arrives(path: str) -> None:
    """Whoever goes on sending may take much longer in all than the silence that is allowed."""
    whole = b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "reply": "y"}'
    async with stage(says("It is 56."), options=SHORT) as on:
        async with on.wire() as wire:
            await wire.send(opening(path, length=len(whole)))
            for start in range(0, len(whole), 10):
                await wire.send(whole[start : start + 10])
                await asyncio.sleep(0.1)
            assert b" 200 " in await wire.head()
        if path != CHECK:
            assert bytes(on.upstream.calls[0].body) == whole


async def test_answer_to_half_a_body_is_broken_off() -> None:
    """When the upstream has begun to answer, a body that stops ends that answer, and no 408 follows."""

    async def early(line: Line) -> bool:
        await line.play(head("content-type: text/plain"), chunk(b"early"))
        await line.body()
        return False

    async with stage(early, options=SHORT) as on, on.wire() as wire:
        await wire.send(opening("/v1/files", length=1 << 20) + b"half")
        assert b" 200 " in await wire.head()
        rest = await wire.reader.read()
        assert (b"early" in rest, rest.endswith(END), b"408" in rest) == (True, False, False)
        await asyncio.wait_for((await on.upstream.called(1)).left.wait(), 2)


@asynccontextmanager
async def crowd(on: Stage, number: int) -> AsyncIterator[list[Wire]]:
    """Clients that send a body only when somebody is there to read it."""
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(on.wire()) for _ in range(number)]
        for wire in wires:
            await wire.send(opening(CHECK, b"expect: 100-continue", length=10_000_000))
        yield wires


async def test_few_batches_are_held_at_the_same_time() -> None:
    """However many clients send large batches, the bodies of eight at most are taken in."""
    async with stage() as on, crowd(on, 12) as wires:
        called = [asyncio.create_task(wire.head()) for wire in wires]
        await asyncio.sleep(0.3)
        invited = [wire for wire, task in zip(wires, called, strict=True) if task.done()]
        assert [task.result() for task in called if task.done()] == [FIRST] * 8
        invited[0].leave()
        await asyncio.sleep(0.2)
        assert sum(task.done() for task in called) == 9
        for task in called:
            task.cancel()
        await asyncio.gather(*called, return_exceptions=True)


UNREAD = {
    "no JSON": b"not json",
    "no UTF-8": b"\x1f\x8b\x08\x00\xff\xfe",
    "a completion": b'{"model":"m","prompt":"x"}',
    "no messages": b'{"model": "m",  "messages": []}',
    "nothing": b"",
}


@pytest.mark.parametrize("by", ["policy", "header"])
@pytest.mark.parametrize("kind", UNREAD)
async def test_off_leaves_every_body_to_the_upstream(kind: str, by: str) -> None:
    """What a guard could not read is none of its business when it is off: not a byte is touched."""
    body, refusal = UNREAD[kind], b'{"error": {"message": "upstream says"}}'
    play = (answer(refusal, "x-mine: 1", status="400 Bad Request"),)
    wish = {"x-candor-mode": "off"} if by == "header" else {}
    async with stage(play, mode="off" if by == "policy" else "enforce") as on:
        response, got = await on.post(f"{CHAT}?a=%2F", body, {"content-encoding": "gzip", **wish})
        (call,) = on.upstream.calls
    assert (response.status_code, got, response.headers["x-mine"]) == (400, refusal, "1")
    assert (bytes(call.body), call.target) == (body, f"{CHAT}?a=%2F")
    assert call.values("content-encoding") == ["gzip"]
    assert call.values("x-candor-mode") == []


@pytest.mark.parametrize(
    ("coding", "told"),
    [
        ("gzip", True), ("GZIP", True), ("identity, gzip", True), ("identity", False),
        ("Identity", False), ("identity, , IDENTITY", False),
    ],
)  # fmt: skip
async def test_an_encoded_body_is_told_as_such(coding: str, told: bool) -> None:
    """Whoever sends a compressed body learns that it is not read, and not that it is no UTF-8."""
    async with stage(says("It is 56.")) as on:
        response, body = await on.post(CHAT, UNREAD["no UTF-8"], {"content-encoding": coding})
        assert not on.upstream.calls
    assert response.status_code == 400
    assert (b"a content-encoding of requests is not read here" in body) is told


@pytest.mark.parametrize("codings", [("gzip", "identity"), ("identity", "gzip")])
async def test_every_coding_counts(codings: tuple[str, str]) -> None:
    """One header that says nothing does not hide another that says what the body is in."""
    fields = [f"content-encoding: {coding}" for coding in codings]
    async with stage(says("It is 56.")) as on, on.wire() as wire:
        await wire.send(raw_request(request_body(), CHAT, *fields))
        assert b" 400 " in await wire.head()
        assert not on.upstream.calls


async def test_off_by_header_needs_to_be_allowed() -> None:
    """A client that may not switch the guard off cannot get a body past it either."""
    options = ProxyOptions(allow_mode_header=False)
    async with stage(says("It is 56."), options=options) as on:
        response, body = await on.post(CHAT, b"not json", {"x-candor-mode": "off"})
        assert_error(response, body, 400, None)
        assert on.upstream.calls == []


async def test_large_body_is_parsed_beside_the_event_loop() -> None:
    """While a body of many values is parsed, the others are served."""
    turns = [{"role": "user", "content": "a"}] * 150_000
    body = request_body(messages=turns)
    loop = asyncio.get_running_loop()
    async with stage(says("It is 56.")) as on:
        asking = asyncio.create_task(on.post(CHAT, body, {"x-candor-mode": "off"}))
        began, served = loop.time(), 0
        while not asking.done():
            await asyncio.sleep(0.01)
            served += 1
        took = loop.time() - began
        response, _ = asking.result()
    assert response.status_code == 200
    assert served > 10 * took
