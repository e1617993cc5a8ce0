"""What the tests of `DirectUpstream` share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from tests.upstreams.servers import Script, Server, head, serve

from candor_guard.upstreams import Headers, UpstreamRequest, UpstreamResponse
from candor_guard.upstreams.direct import DirectUpstream

KEY = "sk-operator-secret"
CHUNKED = head("transfer-encoding: chunked")


def post(
    body: bytes | AsyncIterator[bytes] = b"{}",
    headers: Headers = (),
    path: str = "/chat/completions",
) -> UpstreamRequest:
    return UpstreamRequest("POST", path, headers, body)


@asynccontextmanager
async def upstream_for(
    script: Script, **options: Any
) -> AsyncIterator[tuple[DirectUpstream, Server]]:
    async with serve(script) as server, aclosing(DirectUpstream(server.url, **options)) as upstream:
        yield upstream, server


async def read_all(response: UpstreamResponse) -> bytes:
    pieces = []
    while piece := await response.read():
        pieces.append(piece)
    return b"".join(pieces)
