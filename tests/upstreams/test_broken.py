"""What a failed request holds on to, and what it must leave alone."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import traceback
from collections.abc import AsyncIterator

import pytest
from tests.upstreams.helpers import post, upstream_for
from tests.upstreams.servers import Connection

from candor_guard.errors import (
    InvalidRequestError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from candor_guard.upstreams.direct import DirectUpstream

pytestmark = pytest.mark.anyio


class SenderLostError(Exception):
    """What half a body ends with."""


async def deaf(connection: Connection) -> None:
    connection.stop_reading()
    await asyncio.sleep(5)


async def takes_all(connection: Connection) -> None:
    await connection.closed()


async def test_heads_that_are_not_read_are_a_timeout() -> None:
    """A small body behind large headers has to wait, too; a server that never reads is given up."""
    headers = tuple((f"x-{number}", "a" * (1 << 20)) for number in range(16))
    async with upstream_for(deaf, connect_timeout=0.2, read_timeout=0.1) as (upstream, _):
        with pytest.raises(UpstreamTimeoutError):
            await asyncio.wait_for(upstream.open(post(headers=headers)), 2)


def refusals() -> list[object]:
    return [each for each in gc.get_objects() if isinstance(each, ConnectionRefusedError)]


async def test_request_that_fails_is_not_kept() -> None:
    """What a request without a server leaves behind goes at once, not when garbage is collected."""
    async with upstream_for(takes_all) as (_, server):
        url = server.url
    upstream = DirectUpstream(url)
    gc.collect()
    gc.disable()
    try:
        before = len(refusals())
        with contextlib.suppress(UpstreamUnreachableError):
            await upstream.open(post())
        await asyncio.sleep(0.01)  # the event loop has a last look at its socket
        assert len(refusals()) == before
    finally:
        gc.enable()
        await upstream.aclose()


async def test_callers_own_exception_keeps_its_places() -> None:
    """Whoever calls while handling an exception still sees where that one came from."""
    places = 0
    async with upstream_for(deaf) as (upstream, _):
        try:
            int("no number")
        except ValueError as own:
            with pytest.raises(InvalidRequestError):
                await upstream.open(post(headers=(("x-broken", "a\r\nb"),)))
            places = len(traceback.extract_tb(own.__traceback__))
    assert places == 1


@pytest.mark.parametrize("cancelled", [False, True], ids=["failing", "cancelled"])
async def test_upload_that_fails_is_not_kept(cancelled: bool) -> None:
    """Half a body goes at once, whether or not somebody still waits for the answer to it."""
    tasks: list[asyncio.Task[None]] = []

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.sleep(0.01)
        if cancelled:  # in the same turn, as by a client that leaves
            asyncio.get_running_loop().call_soon(tasks[0].cancel)
        raise SenderLostError

    async def attempt(upstream: DirectUpstream) -> None:
        with contextlib.suppress(SenderLostError):
            await upstream.open(post(pieces()))

    async with upstream_for(takes_all) as (upstream, _):
        gc.collect()
        gc.disable()
        try:
            tasks.append(asyncio.create_task(attempt(upstream)))
            await asyncio.wait(tasks)
            assert tasks[0].cancelled() is cancelled
            await asyncio.sleep(0.01)
            assert not any(isinstance(each, SenderLostError) for each in gc.get_objects())
        finally:
            gc.enable()
