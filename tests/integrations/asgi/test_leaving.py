"""A client that leaves, over a real socket: the mounted app learns of it at once, in every call."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request
from starlette.responses import Response
from tests.integrations.asgi.kit import (
    CAVE,
    RIGHT,
    Asked,
    Model,
    both,
    frameworks,
    scene,
    serving,
    starlette_app,
)
from tests.proxy.http.stage import CHAT, PATIENCE, Wire, raw_request, request_body
from typing_extensions import override

from candor_guard.guard import Guard
from candor_guard.integrations.asgi import ASGIApp, CandorMiddleware, Message, Receive, Scope, Send
from candor_guard.testing import FakeDetector, chat_stream

pytestmark = pytest.mark.anyio

AT_ONCE = 0.2


async def learned_in_time(asked: Asked, since: float) -> bool:
    async with asyncio.timeout(2):
        await asked.left.wait()
    return asked.left_at - since < AT_ONCE


@frameworks
@both
@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
async def test_before_the_answer(framework: str, mode: str, stream: bool) -> None:
    """An app that thinks gets the disconnect message."""
    async with scene(20.0, framework=framework) as on, on.wire() as wire:
        body = request_body(stream=stream)
        await wire.send(raw_request(body, CHAT, f"x-candor-mode: {mode}"))
        asked = await on.model.called(1)
        await asyncio.sleep(0.02)
        assert await learned_in_time(asked, wire.leave())


@frameworks
@pytest.mark.parametrize("at_risk", [False, True], ids=["running", "held"])
async def test_during_a_stream(framework: str, at_risk: bool) -> None:
    """A stream of the app ends, whether its client sees it already or not."""
    detector = FakeDetector(at_risk=at_risk)
    async with scene("a b STALL", framework=framework, detector=detector) as on, on.wire() as wire:
        await wire.send(raw_request(request_body(stream=True)))
        asked = await on.model.called(1)
        await asyncio.sleep(0.05)
        assert await learned_in_time(asked, wire.leave())


@both
async def test_during_a_regeneration(stream: bool) -> None:
    """The repeated call of the app ends too."""
    async with scene(CAVE, "STALL" if stream else 20.0) as on, on.wire() as wire:
        await wire.send(raw_request(request_body(stream=stream)))
        asked = await on.model.called(2)
        await asyncio.sleep(0.05)
        assert await learned_in_time(asked, wire.leave())


async def test_app_that_does_not_watch_is_cancelled() -> None:
    """An app that ignores the disconnect message is cancelled after a moment of grace."""
    running, cancelled = asyncio.Event(), asyncio.Event()

    async def deaf(scope: Scope, _receive: Receive, _send: Send) -> None:
        if scope["type"] != "http":
            return
        running.set()
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            cancelled.set()

    guard = Guard(FakeDetector())
    async with asyncio.timeout(PATIENCE), serving(CandorMiddleware(deaf, guard=guard)) as url:
        host, port = url.removeprefix("http://").split(":")
        wire = Wire(*await asyncio.open_connection(host, int(port)))
        await wire.send(raw_request(request_body()))
        await running.wait()
        wire.leave()
        async with asyncio.timeout(2):
            await cancelled.wait()


async def test_client_that_stopped_reading_stops_the_app() -> None:
    """An app that writes without end waits for its client, and ends when that leaves."""
    frame = chat_stream(["x" * 1000])
    written, left = 0, asyncio.Event()

    async def endless(scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal written
        if scope["type"] != "http":
            return
        headers = [(b"content-type", b"text/event-stream")]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while written < 500_000_000:
                message: Message = {"type": "http.response.body", "body": frame, "more_body": True}
                await send(message)
                written += len(frame)
        finally:
            left.set()

    guard = Guard(FakeDetector(at_risk=False))
    async with asyncio.timeout(PATIENCE), serving(CandorMiddleware(endless, guard=guard)) as url:
        host, port = url.removeprefix("http://").split(":")
        wire = Wire(*await asyncio.open_connection(host, int(port)))
        await wire.send(raw_request(request_body(stream=True)))
        await wire.head()
        await asyncio.sleep(0.3)
        before = written
        await asyncio.sleep(0.2)
        assert written == before < 20_000_000
        wire.leave()
        async with asyncio.timeout(2):
            await left.wait()


@both
async def test_work_after_the_answer_is_finished(stream: bool) -> None:
    """What an app does after its answer, such as a background task, is not cut short."""
    finished: list[bool] = []

    def wrap(app: ASGIApp) -> ASGIApp:
        async def slow_end(scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope, receive, send)
            if scope["type"] == "http":
                await asyncio.sleep(0.05)
                finished.append(True)

        return slow_end

    async with scene(CAVE, RIGHT, wrap=wrap) as on:
        await on.chat(stream=stream)
        await asyncio.sleep(0.1)
    assert finished == [True, True]


async def test_client_that_leaves_in_the_middle_of_its_request() -> None:
    """The app is never called for a request that did not arrive."""
    async with scene(RIGHT) as on:
        async with on.wire() as wire:
            await wire.send(raw_request(request_body())[:-5])
            await asyncio.sleep(0.03)
        await asyncio.sleep(0.05)
        assert on.model.asked == []


async def test_twenty_at_once_and_leaving() -> None:
    """Clients that leave right after their request leave no call of the app behind."""
    came: list[asyncio.Task[object] | None] = []

    class Watched(Model):
        @override
        async def answer(self, request: Request) -> Response:
            came.append(asyncio.current_task())
            return await super().answer(request)

    model = Watched((RIGHT,))
    guard = Guard(FakeDetector())
    app = CandorMiddleware(starlette_app(model), guard=guard)
    async with asyncio.timeout(PATIENCE), serving(app) as url:
        host, port = url.removeprefix("http://").split(":")
        for turns in range(20):
            wire = Wire(*await asyncio.open_connection(host, int(port)))
            await wire.send(raw_request(request_body(stream=bool(turns % 2))))
            for _ in range(turns):
                await asyncio.sleep(0)
            wire.leave()
        await asyncio.sleep(0.2)
        assert all(task is not None and task.done() for task in came)
