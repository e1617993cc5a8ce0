"""Every upstream call is closed in the end, whenever the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from tests.flow.kit import BAD, GOOD, Script, body_of, reply, request
from typing_extensions import override

from candor_guard import Guard, Policy, Risk
from candor_guard.conversation import Conversation, Exchange
from candor_guard.driver import Data, Event, Finished, Holding, Started
from candor_guard.testing import FakeDetector, FakeReply, FakeUpstream, by_marker, chat_stream
from candor_guard.upstreams import UpstreamRequest

pytestmark = pytest.mark.anyio
TEMPLATE = UpstreamRequest("POST", "/chat/completions", ())
FOREVER = 3600.0


def events(upstream: FakeUpstream, **options: Any) -> AsyncGenerator[Event, None]:
    detector = options.pop("detector", None) or FakeDetector()
    guard = Guard(detector, Policy(**{"probe": "never", **options}), upstream=upstream)
    return guard.events(request(stream=True), TEMPLATE)


def stalling(text: str) -> FakeReply:
    return FakeReply.sse(body_of(reply(text, stream=True))[:400], FOREVER)


LONG = FakeReply.sse(*[chat_stream(["a"])] * 5)
NO_RISK = FakeDetector(at_risk=False)
KINDS: dict[str, tuple[Script, type[Event], dict[str, Any]]] = {
    "held": ([reply(GOOD, stream=True)], Holding, {}),
    "started": ([LONG], Started, {"detector": NO_RISK}),
    "in the body": ([LONG], Data, {"detector": NO_RISK}),
    "observed, in the body": ([LONG], Data, {"mode": "observe"}),
    "regenerated, started": ([reply(t, stream=True) for t in (BAD, GOOD)], Started, {}),
    "released after a bound": ([LONG], Data, {"max_hold_bytes": 1}),
    "finished": ([reply(GOOD, stream=True)], Finished, {}),
}


@pytest.mark.parametrize(("script", "kind", "options"), KINDS.values(), ids=KINDS)
async def test_consumer_stops(
    script: Script, kind: type[Event], options: dict[str, Any]
) -> None:  # fmt: skip
    """A consumer that closes the generator after any event leaves no response open."""
    upstream = FakeUpstream(script)
    async with aclosing(events(upstream, **options)) as stream:
        async for event in stream:
            if isinstance(event, kind):
                break
    assert upstream.responses
    assert all(response.closed for response in upstream.responses)


PHASES: dict[str, tuple[Script, dict[str, Any], int]] = {
    "waiting for the head": ([FakeReply((), delay=FOREVER)], {}, 0),
    "held, waiting for the body": ([stalling(GOOD)], {}, 1),
    "relaying": ([stalling(GOOD)], {"detector": NO_RISK}, 1),
    "observing": ([stalling(GOOD)], {"mode": "observe"}, 1),
    "waiting for the second head": (
        [reply(BAD, stream=True), FakeReply((), delay=FOREVER)], {}, 1,
    ),
    "reading the second reply": ([reply(BAD, stream=True), stalling(GOOD)], {}, 2),
}  # fmt: skip
phases = pytest.mark.parametrize(("script", "options", "opened"), PHASES.values(), ids=PHASES)


async def drain(stream: AsyncGenerator[Event, None]) -> None:
    async with aclosing(stream):
        async for _ in stream:
            pass


async def settled() -> None:
    """Let whatever is under way come to rest; the fakes take no time."""
    for _ in range(50):
        await asyncio.sleep(0)


async def only_this_task() -> bool:
    await settled()
    return asyncio.all_tasks() <= {asyncio.current_task()} | _runner_tasks()


def _runner_tasks() -> set[asyncio.Task[Any]]:
    """The task in which anyio's plugin runs tests."""
    return {t for t in asyncio.all_tasks() if "TestRunner" in repr(t.get_coro())}


@phases
async def test_consumer_is_cancelled(
    script: Script, options: dict[str, Any], opened: int
) -> None:  # fmt: skip
    """A cancelled consumer leaves no response open and no task behind."""
    upstream = FakeUpstream(script)
    task = asyncio.create_task(drain(events(upstream, **options)))
    await settled()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert [response.closed for response in upstream.responses] == [True] * opened
    assert await only_this_task()


@phases
async def test_consumer_is_in_a_cancelled_scope(
    script: Script, options: dict[str, Any], opened: int
) -> None:  # fmt: skip
    """Under anyio, which cancels every further await as well, responses are closed all the same."""
    upstream = FakeUpstream(script)
    async with anyio.create_task_group() as group:
        group.start_soon(drain, events(upstream, **options))
        await settled()
        group.cancel_scope.cancel()
    await settled()
    assert [response.closed for response in upstream.responses] == [True] * opened
    assert await only_this_task()


@dataclass(slots=True)
class _Watching(FakeDetector):
    """Notes how many requests upstream had when the gate ran."""

    upstream: FakeUpstream = field(default_factory=lambda: FakeUpstream([]))
    seen: list[int] = field(default_factory=list)

    @override
    def gate(self, conversation: Conversation) -> Risk:
        self.seen.append(len(self.upstream.requests))
        return FakeDetector.gate(self, conversation)


@pytest.mark.parametrize("inline", [True, False])
async def test_gate_runs_while_upstream_works(inline: bool) -> None:
    """The upstream has the request before the gate runs, and the gate does not wait for it."""
    upstream = FakeUpstream([FakeReply.chat_stream(GOOD)])
    slow = FakeUpstream([FakeReply(reply(GOOD, stream=True).pieces, delay=0.05)])
    for source in (upstream, slow):
        detector = _Watching(upstream=source, inline=inline)
        guard = Guard(detector, upstream=source)
        await drain(guard.events(request(stream=True), TEMPLATE))
        await guard.aclose()
        assert detector.seen == [1]


def _boom(_: Exchange) -> Mapping[str, float]:
    raise KeyboardInterrupt


async def test_a_crash_closes_everything() -> None:
    """Whatever breaks inside, no response stays open."""
    upstream = FakeUpstream([reply(GOOD, stream=True)])
    with pytest.raises(KeyboardInterrupt):
        await drain(events(upstream, detector=FakeDetector(scores=_boom)))
    assert [response.closed for response in upstream.responses] == [True]


async def test_failing_observer(caplog: pytest.LogCaptureFixture) -> None:
    """An observer's own failure is logged and breaks no reply."""

    def observer(_: object) -> None:
        raise LookupError("observer")

    upstream = FakeUpstream([reply(GOOD, stream=True)])
    guard = Guard(FakeDetector(scores=by_marker("CAVE")), upstream=upstream, observers=[observer])
    events = [event async for event in guard.events(request(stream=True), TEMPLATE)]
    assert isinstance(events[-1], Finished)
    assert "observer failed" in caplog.text
    assert [response.closed for response in upstream.responses] == [True]
