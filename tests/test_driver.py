"""The driver: when what the flow asks for gets onto the wire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest
from tests.integrations.model_server import ModelServer, model_server
from tests.test_outcome import outcome
from typing_extensions import override

from candor_guard import Guard
from candor_guard.conversation import Conversation
from candor_guard.detectors.runner import DetectorRunner
from candor_guard.driver import Load, clock, drive
from candor_guard.errors import UpstreamError
from candor_guard.flow import Beside, Close, Flow, Head, Receive, Send
from candor_guard.testing import FakeDetector, FakeResponse
from candor_guard.upstreams import UpstreamRequest
from candor_guard.upstreams.direct import DirectUpstream
from candor_guard.verdict import Risk
from candor_guard.wire.chat import ChatSurface

pytestmark = pytest.mark.anyio

REQUEST = {"model": "m", "messages": [{"role": "user", "content": "How long does bread bake?"}]}
PATIENCE = 2.0


@dataclass(slots=True)
class WaitingDetector(FakeDetector):
    """Its gate keeps the event loop busy until something has happened elsewhere.

    Attributes:
        happened: Whether it has.
        seen: What it was when each gate gave up waiting.
    """

    happened: Callable[[], bool] = lambda: True
    seen: list[bool] = field(default_factory=list)

    @override
    def gate(self, conversation: Conversation) -> Risk:
        until = time.monotonic() + PATIENCE
        while not self.happened() and time.monotonic() < until:
            time.sleep(0.001)
        self.seen.append(self.happened())
        return Risk(at_risk=False, score=0.0, reason="none")


def asked(model: ModelServer, times: int) -> Callable[[], bool]:
    return lambda: len(model.asked) >= times


async def test_whole_request_leaves_before_the_gate() -> None:
    """A request that is alone, on a pooled connection, is with the upstream before it is judged."""
    with model_server() as model:
        detector = WaitingDetector()
        guard = Guard(detector, upstream=DirectUpstream(model.url))
        await guard.complete(REQUEST)
        detector.happened = asked(model, 2)
        await guard.complete(REQUEST)
        await guard.aclose()
    assert detector.seen == [True, True]


async def test_what_was_driven_counts_no_more() -> None:
    """After replies, a failure and one that nobody reads to its end, a request is alone again."""
    with model_server() as model:
        model.broken = {2: 500}
        detector = WaitingDetector()
        guard = Guard(detector, upstream=DirectUpstream(model.url))
        await guard.complete(REQUEST)
        with pytest.raises(UpstreamError):
            await guard.complete(REQUEST)
        async with aclosing(guard.stream(REQUEST)) as chunks:
            await anext(chunks)
        await guard.complete(REQUEST)  # leaves a connection in the pool
        detector.happened = asked(model, 5)
        await guard.complete(REQUEST)
        await guard.aclose()
    assert detector.seen == [True] * 5


async def test_among_others_no_request_waits() -> None:
    """While another reply is on its way, a request is judged at once."""
    with model_server() as model:
        detector = WaitingDetector()
        guard = Guard(detector, upstream=DirectUpstream(model.url))
        async with aclosing(guard.stream(REQUEST)) as chunks:
            await anext(chunks)
            detector.seen.clear()
            asking = asyncio.ensure_future(guard.complete(REQUEST))
            await asyncio.sleep(0)
            assert detector.seen == [True]
            await asking
        await guard.aclose()


class Turn:
    """A body whose next piece comes when the test says so; an `UpstreamResponse`."""

    status, headers = 200, (("content-type", "text/event-stream"),)

    def __init__(self) -> None:
        self.piece: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def read(self) -> bytes:
        """Wait for the piece; there is no other after it."""
        piece = await self.piece
        self.piece = asyncio.get_running_loop().create_future()
        return piece

    async def aclose(self) -> None:
        """There is nothing to close."""


class Two:
    """The reply, and a side call that ends at once; an `Upstream`."""

    def __init__(self) -> None:
        self.reply = Turn()

    async def open(self, request: UpstreamRequest) -> Turn | FakeResponse:
        """Answer by the path of the body."""
        if request.body == b"side":
            return FakeResponse(200, (("content-type", "application/json"),), [b"{}"])
        return self.reply

    async def aclose(self) -> None:
        """There is nothing to close."""


def one_after_the_other(late: Callable[[], None], found: list[object]) -> Flow:
    """Read beside a side call that ends first, then until a deadline at which the piece comes."""
    yield Send(0, b"reply")
    yield Send(1, b"side", side=True)
    yield Head(0)
    found.append((yield Receive(0, None, beside=1)))
    late()
    found.append((yield Receive(0, clock())))
    found.append((yield Receive(0, clock() + 0.2)))
    yield Close(0)
    return outcome()


async def test_a_piece_that_comes_at_the_deadline_is_not_lost() -> None:
    """A read that a probe's end left open gives its piece to whoever reads next."""
    upstream, found = Two(), list[object]()

    def late() -> None:
        upstream.reply.piece.set_result(b"piece")

    flow = one_after_the_other(late, found)
    template = UpstreamRequest("POST", "/chat/completions", ())
    request = ChatSurface().parse(b'{"messages": [{"role": "user", "content": "?"}]}')
    runner = DetectorRunner(FakeDetector(), 1.0)
    async with aclosing(drive(flow, upstream, runner, request, template, Load())) as events:
        async for _ in events:
            pass
    assert [piece for piece in found if isinstance(piece, bytes)] == [b"piece"]
    assert found[0] is Beside.ENDED
