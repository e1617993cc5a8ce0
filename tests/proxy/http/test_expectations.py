"""Clients that wait to be asked for their body, and get the answer at once."""

from __future__ import annotations

import pytest
from tests.proxy.http.stage import CHAT, raw_request, request_body, stage
from tests.proxy.http.upstream import says

from candor_guard.testing import FakeDetector

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1/v1/chat/completions", 404), ("/elsewhere", 404), ("/v1/%2e%2e/x", 400)],
)
async def test_an_answer_without_the_body_ends_the_connection(path: str, status: int) -> None:
    """What the client sends next is not taken for the body that it could leave out."""
    head, _, _ = raw_request(b"a" * (1 << 19), path, "expect: 100-continue").partition(b"\r\n\r\n")
    async with stage() as on, on.wire() as wire:
        await wire.send(head + b"\r\n\r\n")
        answer = await wire.reader.read()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in answer


async def test_a_body_that_is_there_keeps_the_connection() -> None:
    """Who does not wait after all, or was asked, has nothing left to send."""
    request = raw_request(request_body(), CHAT, "expect: 100-continue")
    detector = FakeDetector(at_risk=False)
    async with stage(says("An hour."), detector=detector) as on, on.wire() as wire:
        for path in (CHAT, "/elsewhere"):
            await wire.send(request.replace(CHAT.encode(), path.encode()))
            head = await wire.head()
            while b" 100 " in head:
                head = await wire.head()
            assert b"connection: close" not in head
            length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
            await wire.reader.readexactly(length)
