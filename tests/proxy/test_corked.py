"""Heads that wait a moment for their bodies, over a transport that notes what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from typing_extensions import override

from candor_proxy.corked import Corked

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class Noting(asyncio.Transport):
    """Notes every write; closed after `close`."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.written.append(bytes(data))

    @override
    def close(self) -> None:
        self.closed = True

    @override
    def is_closing(self) -> bool:
        return self.closed


@pytest.fixture
def below() -> Noting:
    """What really writes."""
    return Noting()


async def test_head_and_body_leave_together(below: Noting) -> None:
    """One write for both, at once; what comes later is written as it comes."""
    corked = Corked(below, asyncio.get_running_loop())
    corked.write(HEAD)
    assert below.written == []
    corked.write(b"body")
    corked.write(b" and more")
    await asyncio.sleep(0)
    assert below.written == [HEAD + b"body", b" and more"]


async def test_head_alone_leaves_in_the_same_turn(below: Noting) -> None:
    """A stream's head does not wait for its first word."""
    corked = Corked(below, asyncio.get_running_loop())
    corked.write(HEAD)
    await asyncio.sleep(0)
    assert below.written == [HEAD]
    corked.write(b"word")
    assert below.written == [HEAD, b"word"]


@pytest.mark.parametrize("end", [lambda c: c.close(), lambda c: None], ids=["closed", "left open"])
async def test_nothing_is_lost_at_the_end(below: Noting, end: Callable[[Corked], None]) -> None:
    """A head that stands alone is written before the connection is closed."""
    corked = Corked(below, asyncio.get_running_loop())
    corked.write(HEAD)
    end(corked)
    await asyncio.sleep(0)
    assert below.written == [HEAD]


async def test_a_client_that_left_is_written_nothing(below: Noting) -> None:
    """A transport that has begun to close is left alone."""
    corked = Corked(below, asyncio.get_running_loop())
    corked.write(HEAD)
    below.close()
    await asyncio.sleep(0)
    assert below.written == []
    assert corked.is_closing()
