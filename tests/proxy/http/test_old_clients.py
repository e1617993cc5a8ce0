"""Clients of HTTP/1.0: no chunks, no interim answers, and the connection's end as the body's."""

from __future__ import annotations

import pytest
from tests.proxy.http.stage import raw_request, request_body, stage
from tests.proxy.http.upstream import Play, answer, says, streamed

from candor_guard.testing import FakeDetector

pytestmark = pytest.mark.anyio

PIECES = streamed(b"data: 1\n\n", b"data: 2\n\n")


async def exchange(request: bytes, play: Play) -> tuple[bytes, bytes]:
    """Send a request of HTTP/1.0; returns head and body of what came until the end."""
    async with stage(play, detector=FakeDetector(at_risk=False)) as on, on.wire() as wire:
        await wire.send(request.replace(b"HTTP/1.1", b"HTTP/1.0"))
        head, _, body = (await wire.reader.read()).partition(b"\r\n\r\n")
        return head, body


@pytest.mark.parametrize("path", ["/v1/events", "/v1/chat/completions"])
async def test_a_body_of_unknown_length_ends_with_the_connection(path: str) -> None:
    """What the upstream sends in chunks arrives without any, guarded or passed through."""
    head, body = await exchange(raw_request(request_body(stream=True), path), PIECES)
    assert b" 200 " in head
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert body == b"data: 1\n\ndata: 2\n\n"


async def test_a_known_length_is_kept() -> None:
    """A body whose length the upstream states is sent with it."""
    head, body = await exchange(b"GET /v1/models HTTP/1.1\r\n\r\n", (answer(b"{}"),))
    assert b"content-length: 2" in head
    assert body == b"{}"


async def test_no_body_stays_none() -> None:
    """HEAD is answered with a head alone."""
    play = (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",)
    head, body = await exchange(b"HEAD /v1/models HTTP/1.1\r\n\r\n", play)
    assert b" 200 " in head
    assert body == b""


async def test_nobody_is_told_to_continue() -> None:
    """An expectation of a client that cannot know what it asks for is ignored."""
    request = raw_request(request_body(), "/v1/chat/completions", "expect: 100-continue")
    head, _ = await exchange(request, says("It is 56."))
    assert head.startswith(b"HTTP/1.1 200 ")
