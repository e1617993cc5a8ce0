"""What the server tells a request of its client: nothing is kept, and nobody is forgotten."""

from __future__ import annotations

import asyncio
import gc

import pytest
from tests.proxy.http.stage import CHAT, Wire, raw_request, request_body, served, stage
from tests.proxy.http.upstream import Call, Cut, head, playing
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from candor_guard.guard import Guard
from candor_guard.policy import Policy
from candor_guard.testing import FakeDetector, chat_stream
from candor_guard.upstreams import UpstreamRequest, UpstreamResponse
from candor_guard.upstreams.direct import DirectUpstream
from candor_proxy.admission import Bounds
from candor_proxy.options import ProxyOptions

pytestmark = pytest.mark.anyio

FULL = Bounds(concurrent=1, waiting=0)


def cycles() -> int:
    return sum(isinstance(each, RequestResponseCycle) for each in gc.get_objects())


async def left(call: Call) -> None:
    """Wait until the upstream has seen the end of this call's connection."""
    async with asyncio.timeout(1):
        await call.left.wait()


@pytest.mark.parametrize("path", ["/nope", "/readyz", "/candor/v1/check", CHAT])
async def test_request_whose_client_nobody_watches_is_not_kept(path: str) -> None:
    """A request that is answered without its body goes at once, and the body with it."""
    message = raw_request(request_body(filler="a" * 50_000), path, "connection: close")
    async with stage((20.0,), bounds=FULL) as on, on.wire() as busy:
        await busy.send(raw_request(request_body()))
        await on.upstream.called(1)
        gc.collect()
        gc.disable()
        try:
            before = cycles()
            async with on.wire() as wire:
                await wire.send(message)
                await wire.reader.read()
            await asyncio.sleep(0.02)
            assert cycles() == before
        finally:
            gc.enable()


async def test_client_that_leaves_two_requests_behind() -> None:
    """The first one's upstream call ends at once, and neither request is kept."""
    async with stage((20.0,)) as on:
        gc.collect()
        gc.disable()
        try:
            before = cycles()
            async with on.wire() as wire:
                await wire.send(raw_request(request_body()) * 2)
                call = await on.upstream.called(1)
                await asyncio.sleep(0.02)
            await left(call)
            await asyncio.sleep(0.02)
            assert cycles() == before
        finally:
            gc.enable()
        assert (await on.counts())["candor_client_disconnects_total"] == 1.0


class _Slow:
    """A response that takes a moment to close, as those of client libraries do."""

    def __init__(self, response: UpstreamResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers = response.headers

    async def read(self) -> bytes:
        return await self._response.read()

    async def aclose(self) -> None:
        await asyncio.sleep(0.02)
        await self._response.aclose()


class _SlowUpstream(DirectUpstream):
    @override
    async def open(self, request: UpstreamRequest) -> UpstreamResponse:  # type: ignore[override]  # wider, on purpose
        return _Slow(await super().open(request))


async def test_next_request_is_watched_while_its_predecessor_tidies_up() -> None:
    """The end of one request's work does not make the server forget the next one's client."""
    first = head("content-type: text/event-stream", "connection: close"), chat_stream(["It is 56."])
    async with playing((*first, Cut.CLOSE), (20.0,)) as upstream:
        slow = _SlowUpstream(upstream.url)
        guard = Guard(FakeDetector(), Policy(probe="never"), upstream=slow)
        async with served(guard, ProxyOptions()) as url:
            host, port = url.removeprefix("http://").split(":")
            wire = Wire(*await asyncio.open_connection(host, int(port)))
            await wire.send(raw_request(request_body(stream=True)) * 2)
            call = await upstream.called(2)
            await asyncio.sleep(0.1)
            wire.leave()
            await left(call)
