"""Requests that are not done when the server's time to drain is over."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.proxy.http.stage import DISPUTE, raw_request, request_body, stage
from tests.proxy.http.upstream import Play

from candor_guard.testing import FakeDetector
from candor_proxy.options import ProxyOptions

pytestmark = pytest.mark.anyio

GET = b"GET /v1/models HTTP/1.1\r\nhost: p\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
FRAME = b'data: {"choices": [{"index": 0, "delta": {"content": "It is"}}]}\n\n'
BEGUN = HEAD + b"%x\r\n%s\r\n" % (len(FRAME), FRAME)


async def cut_off(request: bytes, play: Play, marker: bytes = b"", **staging: Any) -> bytes:
    """Stop the server while a request is under way; returns what its client got."""
    async with stage(play, **staging) as on:
        host, port = on.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request)
        begun = await reader.readuntil(marker) if marker else b""
        await on.upstream.called(1)
    got = begun + await reader.read()
    writer.close()
    return got


@pytest.mark.parametrize(
    "request_", [GET, raw_request(request_body())], ids=["passed through", "guarded"]
)
async def test_a_request_without_an_answer_is_told(request_: bytes) -> None:
    """A client that has nothing yet gets a 503 in the usual shape, with the request's id."""
    head, _, body = (await cut_off(request_, (asyncio.Event(),))).partition(b"\r\n\r\n")
    error = json.loads(body)["error"]
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"x-candor-request-id: candor-" in head
    assert (error["type"], error["code"]) == ("candor_guard_error", "shutting_down")


async def test_another_api_is_told_in_its_own_shape() -> None:
    """A client of Anthropic's API reads its own kind of error."""
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": DISPUTE}).encode()
    got = await cut_off(raw_request(body, "/v1/messages"), (asyncio.Event(),))
    told = json.loads(got.partition(b"\r\n\r\n")[2])
    assert (told["type"], told["error"]["details"]["error_code"]) == ("error", "shutting_down")


async def test_a_stream_that_waits_for_its_verdict_gets_an_error_frame() -> None:
    """After deferred headers the error is a frame, and the body ends in good order."""
    options = ProxyOptions(header_wait=0.05)
    request = raw_request(request_body(stream=True))
    got = await cut_off(request, (BEGUN, asyncio.Event()), b"\r\n\r\n", options=options)
    assert b"x-candor-evaluated: deferred" in got
    (frame,) = [line for line in got.splitlines() if line.startswith(b"data: ")]
    assert json.loads(frame.removeprefix(b"data: "))["error"]["code"] == "shutting_down"
    assert got.endswith(b"\r\n0\r\n\r\n")


async def test_a_body_that_has_begun_is_broken_off() -> None:
    """Half a reply is not made to look like a whole one."""
    request, detector = raw_request(request_body(stream=True)), FakeDetector(at_risk=False)
    got = await cut_off(request, (BEGUN, asyncio.Event()), FRAME, detector=detector)
    assert FRAME in got
    assert not got.endswith(b"0\r\n\r\n")
