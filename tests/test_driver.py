"""The driver: when what the flow asks for gets onto the wire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest
from tests.integrations.model_server import ModelServer, model_server
from typing_extensions import override

from candor_guard import Guard
from candor_guard.conversation import Conversation
from candor_guard.errors import UpstreamError
from candor_guard.testing import FakeDetector
from candor_guard.upstreams.direct import DirectUpstream
from candor_guard.verdict import Risk

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
