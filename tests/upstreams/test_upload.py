"""A body that arrives while it is sent, and a server that does not wait for its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.upstreams.helpers import CHUNKED, post, read_all, upstream_for
from tests.upstreams.servers import Connection

pytestmark = pytest.mark.anyio


async def test_an_answer_before_the_uploads_end_does_not_end_the_upload() -> None:
    """Both directions go on side by side; nothing is lost on either."""
    answered = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        await answered.wait()
        for piece in (b"two", b"three"):
            await asyncio.sleep(0.01)
            yield piece

    async def echo(connection: Connection) -> None:
        await connection.send(CHUNKED + b"1\r\n>\r\n")
        body = (await connection.request()).body
        await connection.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))

    async with upstream_for(echo) as (upstream, _), asyncio.timeout(2):
        response = await upstream.open(post(pieces()))
        answered.set()
        assert await read_all(response) == b">onetwothree"
        await response.aclose()


async def test_an_upload_that_fails_after_the_answer_ends_the_answer() -> None:
    """Whoever reads the answer to half a request does not wait for ever; the server is told."""
    answered, closed = asyncio.Event(), asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        await answered.wait()
        raise ValueError("the sender is gone")

    async def script(connection: Connection) -> None:
        await connection.send(CHUNKED)
        await connection.closed()
        closed.set()

    async with upstream_for(script) as (upstream, _), asyncio.timeout(2):
        response = await upstream.open(post(pieces()))
        answered.set()
        with pytest.raises(ValueError, match="the sender is gone"):
            await response.read()
        await closed.wait()
