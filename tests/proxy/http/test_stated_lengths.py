"""A body whose stated length is over the limit is refused before it is sent."""

from __future__ import annotations

import json

import pytest
from tests.proxy.http.stage import Stage, Wire, raw_request, request_body, stage
from tests.proxy.http.upstream import answer

from candor_proxy.options import ProxyOptions

pytestmark = pytest.mark.anyio

LIMIT = 1000
OPTIONS = ProxyOptions(max_request_bytes=LIMIT, body_timeout=5)
PATHS = ["/v1/chat/completions", "/v1/responses", "/candor/v1/check", "/candor/v1/explain"]


async def refused(wire: Wire) -> bytes:
    """Expect a 413 and nothing before it; returns its head."""
    head = await wire.head()
    assert head.startswith(b"HTTP/1.1 413 ")
    (length,) = [line for line in head.splitlines() if line.startswith(b"content-length: ")]
    body = await wire.reader.readexactly(int(length.partition(b": ")[2]))
    assert json.loads(body)["error"]["code"] == "too_large"
    return head


async def healthy(on: Stage) -> bool:
    return (await on.client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("path", PATHS)
async def test_whoever_asks_first_is_not_told_to_go_on(path: str) -> None:
    """A client that waits for a word before its body gets the 413 as that word, and the end."""
    head, _, _ = raw_request(b"a" * (LIMIT + 1), path, "expect: 100-continue").partition(
        b"\r\n\r\n"
    )
    async with stage(options=OPTIONS) as on, on.wire() as wire:
        await wire.send(head + b"\r\n\r\n")
        assert b"connection: close" in await refused(wire)
        assert await wire.reader.read() == b""
        assert await healthy(on)


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_that_comes_all_the_same_is_not_the_next_request(path: str) -> None:
    """The 413 comes before the body; what comes of it is dropped, and the connection goes on."""
    head, _, body = raw_request(b"a" * (1 << 18), path).partition(b"\r\n\r\n")
    async with stage((answer(b"{}"),), options=OPTIONS) as on, on.wire() as wire:
        await wire.send(head + b"\r\n\r\n")
        assert b"connection: close" not in await refused(wire)
        await wire.send(body + b"GET /v1/models HTTP/1.1\r\nhost: p\r\n\r\n")
        assert b" 200 " in await wire.head()
        assert [call.target for call in on.upstream.calls] == ["/v1/models"]


async def test_what_passes_through_has_no_such_limit() -> None:
    """Uploads to unguarded paths are streamed, however large they say they are."""
    async with stage((answer(b"{}"),), options=OPTIONS) as on, on.wire() as wire:
        await wire.send(raw_request(request_body(pad="a" * LIMIT), "/v1/files"))
        assert b" 200 " in await wire.head()
