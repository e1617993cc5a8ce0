"""More requests than a worker takes on: who is served, who waits, who is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import openai
import pytest
from starlette.types import Receive, Scope, Send
from tests.proxy.http.stage import raw_request, request_body, stage
from tests.proxy.http.upstream import says

from candor_guard.guard import Guard
from candor_guard.testing import FakeDetector, FakeReply, FakeUpstream
from candor_guard.upstreams import UpstreamRequest, UpstreamResponse
from candor_proxy.admission import Admission, Bounds
from candor_proxy.app import create_app

pytestmark = pytest.mark.anyio

BODY = {"model": "m", "messages": [{"role": "user", "content": "How long does it bake?"}]}


class SlowUpstream:
    """Answers nobody before it is told to.

    Attributes:
        go: Tells it.
        asked: Set by the first request.
        count: Of all requests.
    """

    def __init__(self, answers: int) -> None:
        self._played = FakeUpstream([FakeReply.chat("An hour.")] * answers)
        self.go = asyncio.Event()
        self.asked = asyncio.Event()
        self.count = 0

    async def open(self, request: UpstreamRequest) -> UpstreamResponse:
        """Wait, then play the next reply."""
        self.count += 1
        self.asked.set()
        await self.go.wait()
        return await self._played.open(request)

    async def aclose(self) -> None:
        """Close what it plays."""
        await self._played.aclose()


@asynccontextmanager
async def client_of(upstream: SlowUpstream, bounds: Bounds) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(Guard(FakeDetector(at_risk=False), upstream=upstream), bounds=bounds)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://proxy") as client:
        yield client


async def test_what_is_too_much_gets_a_503(caplog: pytest.LogCaptureFixture) -> None:
    """One is served, one waits, the third is told at once when to come again; none is lost."""
    upstream = SlowUpstream(answers=2)
    async with client_of(upstream, Bounds(concurrent=1, waiting=1)) as client:
        first = asyncio.create_task(client.post("/v1/chat/completions", json=BODY))
        await upstream.asked.wait()
        second = asyncio.create_task(client.post("/v1/chat/completions", json=BODY))
        await asyncio.sleep(0.02)
        third = await client.post("/v1/chat/completions", json=BODY)
        assert upstream.count == 1
        upstream.go.set()
        served = [(await first).status_code, (await second).status_code]
        metrics = (await client.get("/metrics")).text
    assert served == [200, 200]
    assert (third.status_code, third.headers["retry-after"]) == (503, "1")
    assert third.json()["error"]["code"] == "overloaded"
    assert 'candor_invalid_requests_total{status="503"} 1.0' in metrics
    told = [r.getMessage() for r in caplog.records if r.name == "candor_proxy"]
    assert told == ["refused a request with 503: this worker is busy"]


async def test_own_paths_answer_however_busy() -> None:
    """Health checks do not queue behind chats."""
    upstream = SlowUpstream(answers=1)
    async with client_of(upstream, Bounds(concurrent=1, waiting=0)) as client:
        chat = asyncio.create_task(client.post("/v1/chat/completions", json=BODY))
        await upstream.asked.wait()
        health = await client.get("/healthz")
        models = await client.get("/v1/models")
        upstream.go.set()
        await chat
    assert (health.status_code, models.status_code) == (200, 503)


async def test_openai_client_reads_the_refusal() -> None:
    """The official client raises its own error for an overloaded server."""
    upstream = SlowUpstream(answers=1)
    async with client_of(upstream, Bounds(concurrent=1, waiting=0)) as client:
        chat = asyncio.create_task(client.post("/v1/chat/completions", json=BODY))
        await upstream.asked.wait()
        asking = openai.AsyncOpenAI(
            api_key="k", base_url="http://proxy/v1", http_client=client, max_retries=0
        )
        messages: Any = BODY["messages"]
        with pytest.raises(openai.InternalServerError) as caught:
            await asking.chat.completions.create(model="m", messages=messages)
        upstream.go.set()
        await chat
    assert caught.value.code == "overloaded"


async def test_who_leaves_the_queue_makes_room_in_it() -> None:
    """A client that is out of patience is no reason to refuse the next one, and counts as gone."""
    go = asyncio.Event()
    async with stage((go, *says("An hour.")), bounds=Bounds(concurrent=1, waiting=1)) as on:
        served = asyncio.create_task(on.chat())
        await on.upstream.called(1)
        async with on.wire() as wire:
            await wire.send(raw_request(request_body()))
            await on.counts()  # by then the queue is full
            assert (await on.chat())[0].status_code == 503
        while (await on.counts())["candor_client_disconnects_total"] != 1.0:
            pass
        waiting = asyncio.create_task(on.chat())
        await on.counts()
        go.set()
        assert [(await task)[0].status_code for task in (served, waiting)] == [200, 200]
        assert len(on.upstream.calls) == 2


@dataclass
class Counting:
    """An app that counts who is in it."""

    now: int = 0
    most: int = 0
    answered: list[int] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a moment; every fifth time, fail."""
        del receive, send
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0.001)
            if scope["number"] % 5 == 0:
                raise RuntimeError("a defect")
            self.answered.append(scope["number"])
        finally:
            self.now -= 1


async def test_slots_survive_failures_and_departures() -> None:
    """Neither an app that raises nor a request that is cancelled in the queue takes a slot along."""
    app, refused = Counting(), list[int]()

    def gone() -> None:
        raise AssertionError("nobody can tell here that a client leaves")

    admission = Admission(app, Bounds(concurrent=3, waiting=50), refused.append, gone)
    tasks = [asyncio.create_task(ask(admission, number)) for number in range(40)]
    await asyncio.sleep(0)
    for task in tasks[20:25]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(*(ask(admission, number) for number in (41, 42, 43)))
    assert (app.most, app.now, refused) == (3, 0, [])
    expected = [n for n in range(40) if n % 5 and not 20 <= n < 25]
    assert app.answered == [*expected, 41, 42, 43]


async def ask(admission: Admission, number: int) -> None:
    async def receive() -> Any:
        raise AssertionError("the body is not read in the queue")

    async def send(message: Any) -> None:
        raise AssertionError(json.dumps(message))

    asking: Awaitable[None] = admission({"type": "http", "number": number}, receive, send)
    await asking
