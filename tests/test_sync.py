"""The guard without an event loop: same engine, callable from everywhere, closing what it opens."""

from __future__ import annotations

import asyncio
import gc
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from multiprocessing import get_context
from typing import Any

import pytest
from tests.flow.kit import BAD, GOOD, MESSAGES, reply

from candor_guard import Guard, Policy
from candor_guard.errors import (
    ClosedError,
    ConfigurationError,
    ReplyRefusedError,
    UpstreamUnreachableError,
)
from candor_guard.sync import Portal, SyncGuard, Worker, in_thread
from candor_guard.testing import FakeDetector, FakeReply, FakeUpstream
from candor_guard.upstreams.direct import DirectUpstream

REQUEST = {"model": "m", "messages": MESSAGES}
YIELDING = "You're absolutely right, I apologize, 7 is not prime."
WAIT = 10.0


@contextmanager
def sync_guard(*script: Any, **policy: Any) -> Iterator[tuple[SyncGuard, FakeUpstream]]:
    upstream = FakeUpstream(script)
    with SyncGuard(Guard(FakeDetector(), Policy(**policy), upstream=upstream)) as guard:
        yield guard, upstream


def thread_of(guard: SyncGuard) -> threading.Thread:
    assert guard._portal._current is not None
    return guard._portal._current.thread


def said(chunks: list[dict[str, Any]]) -> str:
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])


def eventually(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + WAIT
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


def test_complete() -> None:
    """A whole reply is replaced as it is by the asynchronous guard."""
    with sync_guard(reply(BAD), reply(GOOD), probe="never") as (guard, _):
        body = guard.complete(REQUEST)
    assert body["choices"][0]["message"]["content"] == GOOD
    assert body["candor"]["action"] == "regenerate"


def test_stream() -> None:
    """A stream is replaced as it is by the asynchronous guard."""
    script = reply(BAD, stream=True), reply(GOOD, stream=True)
    with sync_guard(*script, probe="never") as (guard, _):
        chunks = list(guard.stream(REQUEST))
    assert said(chunks) == GOOD
    assert [c["candor"]["action"] for c in chunks if "candor" in c] == ["regenerate"]


def test_a_stream_comes_piece_by_piece() -> None:
    """A chunk is handed out when it comes, not when the stream ends."""
    frames = [f + b"\n\n" for f in _stream_bytes().split(b"\n\n")[:-1]]
    slow = FakeReply.sse(frames[0], frames[1], 60.0, *frames[2:])
    calm = Guard(FakeDetector(at_risk=False), upstream=FakeUpstream([slow]))
    with SyncGuard(calm) as guard:
        began = time.monotonic()
        stream = guard.stream(REQUEST)
        next(stream)
        assert said([next(stream)]) == "Seven"
        assert time.monotonic() - began < WAIT


def _stream_bytes() -> bytes:
    (piece,) = reply(GOOD, stream=True).pieces
    assert isinstance(piece, bytes)
    return piece


def test_reading() -> None:
    """`check`, `check_many` and `gate` need no thread and give what the guard gives."""
    guard = SyncGuard(Guard(FakeDetector()))
    assert guard.check(MESSAGES, BAD).labels == {"capitulation"}
    exchange = {"messages": MESSAGES, "reply": BAD}
    seen: list[object] = []
    assert guard.check_many([exchange], progress=lambda *done: seen.append(done))[0].flagged
    assert seen == [(1, 1)]
    assert guard.gate(MESSAGES).at_risk
    assert not guard._portal.running
    guard.close()


def test_closing_without_a_call_closes_the_guard() -> None:
    """A guard that only read closes its upstream, too, and closing again does nothing."""
    upstream = FakeUpstream([])
    with SyncGuard(Guard(FakeDetector(), upstream=upstream)) as guard:
        guard.check(MESSAGES, BAD)
    assert upstream.closed
    guard.close()
    with pytest.raises(ClosedError, match="closed"):
        guard.complete(REQUEST)


def test_a_call_that_stops_an_iteration_fails() -> None:
    """No future takes a StopIteration: the caller gets it as the cause of another error."""

    def run_out() -> None:
        raise StopIteration

    with pytest.raises(RuntimeError, match="StopIteration") as caught:
        asyncio.run(asyncio.wait_for(in_thread(run_out), WAIT))
    assert isinstance(caught.value.__cause__, StopIteration)


def test_errors() -> None:
    """What goes wrong is the asynchronous guard's own exception."""
    with sync_guard(UpstreamUnreachableError("no")) as (guard, _):
        with pytest.raises(UpstreamUnreachableError, match="no"):
            guard.complete(REQUEST)
        with pytest.raises(UpstreamUnreachableError, match="no"):
            list(guard.stream(REQUEST))
    refusing = {"max_attempts": 0, "on_unresolved": "refuse", "probe": "never"}
    with sync_guard(reply(BAD), **refusing) as (guard, _), pytest.raises(ReplyRefusedError):
        guard.complete(REQUEST)
    with pytest.raises(ConfigurationError, match="upstream"):
        SyncGuard(Guard(FakeDetector())).complete(REQUEST)


@pytest.mark.anyio
async def test_in_a_running_loop() -> None:
    """It works where a loop is running already, as in a notebook."""
    with sync_guard(reply(GOOD)) as (guard, _):
        assert guard.complete(REQUEST)["choices"]


def test_many_threads() -> None:
    """One guard serves many threads at the same time."""
    slow = FakeReply.chat(GOOD)
    script = FakeReply(slow.pieces, delay=0.2)
    with sync_guard(script) as (guard, upstream), ThreadPoolExecutor(20) as threads:
        began = time.monotonic()
        replies = list(threads.map(guard.complete, [REQUEST] * 20))
        took = time.monotonic() - began
    assert len(replies) == len(upstream.requests) == 20
    assert took < 20 * 0.2


@pytest.mark.anyio
async def test_the_bundled_detector() -> None:
    """The bundled detector, which reads in threads of its own, serves many threads and a notebook."""
    upstream = FakeUpstream([reply(GOOD)])
    many = [YIELDING, GOOD, BAD] * 8
    with SyncGuard(Guard(upstream=upstream)) as guard, ThreadPoolExecutor(8) as threads:
        assert guard.complete(REQUEST)["choices"]
        alone = [guard.check(MESSAGES, text) for text in many[:3]]
        bodies = [threads.submit(guard.complete, REQUEST) for _ in range(8)]
        assert list(threads.map(guard.check, [MESSAGES] * 24, many)) == alone * 8
        assert all(body.result(WAIT)["choices"] for body in bodies)


@pytest.mark.parametrize("way", ["close", "drop"])
def test_a_stream_that_is_left(way: str) -> None:
    """Closing or dropping a stream closes the upstream's response."""
    calm = FakeUpstream([reply(GOOD, stream=True)])
    with SyncGuard(Guard(FakeDetector(at_risk=False), upstream=calm)) as guard:
        stream: Any = guard.stream(REQUEST)
        next(stream)
        if way == "close":
            stream.close()
        del stream
        assert eventually(lambda: calm.responses[0].closed)


def test_closing() -> None:
    """Closing closes the upstream and ends the thread; later calls say that it is closed."""
    with sync_guard(reply(GOOD)) as (guard, upstream):
        guard.complete(REQUEST)
        thread = thread_of(guard)
    assert upstream.closed
    assert not thread.is_alive()
    with pytest.raises(RuntimeError, match="closed"):
        guard.complete(REQUEST)
    guard.close()


def test_closing_during_a_call() -> None:
    """A call that is in progress when the guard closes fails, and its response is closed."""
    with (
        ThreadPoolExecutor(1) as threads,
        sync_guard(FakeReply.sse(b": x\n\n", 60.0)) as (guard, up),
    ):
        pending = threads.submit(guard.complete, REQUEST)
        assert eventually(lambda: bool(up.responses))
        guard.close()
        with pytest.raises(RuntimeError, match="closed during the call"):
            pending.result(WAIT)
        assert up.responses[0].closed


def test_collected() -> None:
    """The thread of a guard that nobody refers to any more ends by itself."""
    guard = SyncGuard(Guard(FakeDetector(), upstream=FakeUpstream([reply(GOOD)])))
    guard.complete(REQUEST)
    thread = thread_of(guard)
    del guard
    gc.collect()
    assert eventually(lambda: not thread.is_alive())


def test_context_variables() -> None:
    """What runs for a caller sees the caller's context variables."""
    name: ContextVar[str] = ContextVar("name")

    async def read() -> str:
        return name.get()

    portal = Portal()
    name.set("ada")
    assert portal.call(read) == "ada"
    portal.close()


def test_a_call_from_its_own_thread() -> None:
    """A call that would wait for itself is refused."""
    portal = Portal()

    async def nothing() -> None: ...

    async def inner() -> None:
        portal.call(nothing)

    with pytest.raises(ConfigurationError, match="wait for itself"):
        portal.call(inner)
    portal.close()


def test_spawned_work_that_fails() -> None:
    """What is run without waiting may fail without anybody being told, and needs a thread."""
    portal = Portal()
    over = threading.Event()

    async def fails() -> None:
        over.set()
        raise ValueError

    portal.spawn(fails)
    assert not over.is_set()

    async def nothing() -> None: ...

    portal.call(nothing)
    portal.spawn(fails)
    assert over.wait(WAIT)
    portal.close()


def test_an_abandoned_step() -> None:
    """A generator that is left in the middle of a step is closed when the step is over."""
    closed = threading.Event()

    async def slow() -> AsyncGenerator[int, None]:
        try:
            yield 1
            await asyncio.sleep(60)
        finally:
            closed.set()

    portal = Portal()
    steps = portal.iterate(slow())
    assert next(steps) == 1
    with ThreadPoolExecutor(1) as threads:
        pending = threads.submit(next, steps, None)
        time.sleep(0.05)
        portal.close()
        with pytest.raises(RuntimeError, match="closed during"):
            pending.result(WAIT)
    assert closed.wait(WAIT)


@pytest.mark.anyio
async def test_worker() -> None:
    """A worker makes calls in one thread, in order, hands on what they raise, and ends."""
    worker = Worker()
    first = await worker.run(threading.get_ident)
    assert await worker.run(threading.get_ident) == first != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 / 0)
    over = threading.Event()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(worker.run(lambda: over.wait(0.3)), 0.01)
    ended: list[int] = []
    worker.finish(lambda: ended.append(threading.get_ident()))
    await asyncio.to_thread(eventually, lambda: bool(ended))
    assert ended == [first]


@pytest.mark.anyio
async def test_one_call_in_a_thread() -> None:
    """One blocking call runs in a thread of its own, sees the caller's context, and ends it."""
    seen: ContextVar[str] = ContextVar("seen")
    seen.set("here")
    before = threading.active_count()
    told, thread = await in_thread(lambda: (seen.get(), threading.get_ident()))
    assert (told, thread != threading.get_ident()) == ("here", True)
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 / 0)
    await asyncio.to_thread(eventually, lambda: threading.active_count() <= before + 1)


def _even(_exchange: object) -> dict[str, float]:
    return {"capitulation": 0.5, "drift": 0.5}


GUARDS: dict[str, Callable[[], Guard]] = {
    "default": Guard,
    "policy": lambda: Guard(policy=Policy(operating_point="strict", mode="observe")),
    "upstream": lambda: Guard(upstream=DirectUpstream("http://127.0.0.1:9/v1")),
    "thread": lambda: Guard(FakeDetector(_even, inline=False)),
}


@pytest.mark.parametrize("make", GUARDS.values(), ids=GUARDS)
def test_pickle(make: Callable[[], Guard]) -> None:
    """A guard comes out of a pickle with its configuration, and judges the same."""
    guard = make()
    for again in (pickle.loads(pickle.dumps(guard)), pickle.loads(pickle.dumps(SyncGuard(guard)))):  # noqa: S301 - our own bytes
        assert getattr(again, "guard", again).policy == guard.policy
        assert again.check(MESSAGES, YIELDING) == guard.check(MESSAGES, YIELDING)
        assert again.gate(MESSAGES) == guard.gate(MESSAGES)


def test_an_observer_that_does_not_pickle() -> None:
    """What a guard was given has to be picklable itself; a lambda is not."""
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(Guard(observers=[lambda outcome: None]))


def test_processes() -> None:
    """A guard can be handed to other processes, whichever way they are started."""
    guard = Guard()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        verdict = pool.submit(guard.check, MESSAGES, YIELDING).result()
    assert verdict == guard.check(MESSAGES, YIELDING)


def test_a_server_that_is_not_there() -> None:
    """With the direct upstream, connections live and die in the guard's own loop."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with SyncGuard(Guard(upstream=DirectUpstream(f"http://127.0.0.1:{port}/v1"))) as guard:
        for _ in range(2):
            with pytest.raises(UpstreamUnreachableError):
                guard.complete(REQUEST)


def test_a_stream_that_is_held_at_exit_ends_in_silence() -> None:
    """A program that ends while it still holds a stream writes nothing to standard error."""
    program = """
import asyncio
from candor_guard.sync import Portal

async def inner():
    try:
        for i in range(9):
            yield i
    finally:
        await asyncio.sleep(0.05)

async def outer():
    source = inner()
    try:
        async for i in source:
            yield i
    finally:
        await source.aclose()

print(next(stream := Portal().iterate(outer())), flush=True)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("0\n", "", 0)
