"""The guard for programs without an event loop.

The engine is asynchronous and written once. Here it runs on a private event loop in a thread of
its own (`Portal`), so that a script, a notebook or a thread pool can call it and wait.
`SyncGuard` is what most people need of this module.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from contextvars import Context, copy_context
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from typing_extensions import override

from candor_guard.errors import ClosedError, ConfigurationError
from candor_guard.guard import Guard
from candor_guard.tabular import Progress
from candor_guard.verdict import Risk, Verdict

T = TypeVar("T")
_STOP_SECONDS = 1.0


class SyncGuard:
    """A `Guard` whose every method can simply be called.

    Safe to use from many threads at once, also from a thread that runs an event loop of its own
    (a notebook), which then waits. The private thread starts with the first `complete` or
    `stream`; it ends with `close`, at the end of a ``with`` block, or when nobody refers to the
    guard any more. Pickles as its `Guard` does.

    Args:
        guard: The guard; closed together with this one.

    Raises:
        ConfigurationError: If it is no `Guard`.
    """

    def __init__(self, guard: Guard) -> None:
        if not isinstance(guard, Guard):
            kind = type(guard).__name__
            raise ConfigurationError(
                f"SyncGuard takes a Guard, such as SyncGuard(Guard()), not {kind}"
            )
        self.guard = guard
        self._portal = Portal()

    def check(self, messages: object, reply: str) -> Verdict:
        """Judge a reply; see `Guard.check`."""
        return self.guard.check(messages, reply)

    def check_many(
        self, exchanges: Iterable[Mapping[str, Any]], *, progress: Progress | bool = False
    ) -> list[Verdict]:
        """Judge many exchanges; see `Guard.check_many`."""
        return self.guard.check_many(exchanges, progress=progress)

    def gate(self, messages: object) -> Risk:
        """Say whether a reply would be held and read; see `Guard.gate`."""
        return self.guard.gate(messages)

    def complete(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a Chat Completions request; see `Guard.complete`.

        Raises:
            InvalidRequestError: If the request cannot be read.
            ReplyRefusedError: If the policy refuses to deliver.
            UpstreamError: If the upstream fails or answers with an error status.
        """
        return self._portal.call(self.guard.complete, request)

    def stream(self, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Answer a Chat Completions request as a stream of chunks; see `Guard.stream`.

        Closing the iterator, or leaving its loop and dropping it, closes the upstream call.

        Raises:
            InvalidRequestError: If the request cannot be read.
            ReplyRefusedError: If the policy refuses to deliver.
            UpstreamError: If the upstream fails or answers with an error status.
        """
        return self._portal.iterate(self.guard.stream(request))

    def close(self) -> None:
        """Close the guard and end the thread. Calls in progress fail."""
        if self._portal.open:
            self._portal.call(self.guard.aclose)
        self._portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @override
    def __reduce__(self) -> tuple[type[SyncGuard], tuple[Guard]]:
        return type(self), (self.guard,)


class Portal:
    """An event loop in a daemon thread, and the way into it for every other thread.

    The thread starts with the first call, and anew in a process that was forked.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._current: _Running | None = None

    @property
    def open(self) -> bool:
        """Whether it can still be called."""
        return not self._closed

    @property
    def running(self) -> bool:
        """Whether there is a thread in this process."""
        return self._current is not None and self._current.pid == os.getpid()

    def call(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Run a coroutine function on the loop and wait for its result.

        The caller's context variables are visible to it. When the wait is interrupted (Ctrl-C),
        the coroutine is cancelled.

        Raises:
            ConfigurationError: When called from the loop's own thread, which would wait for
                itself; observers run there.
            ClosedError: If the portal is closed, before or meanwhile.
        """
        place = self._started()
        if place.is_here():
            raise ConfigurationError(
                "a synchronous call from the guard's own thread would wait for itself;"
                " observers must not make one"
            )
        work = place.tracked(function, *args)
        try:
            future = asyncio.run_coroutine_threadsafe(work, place.loop)
        except RuntimeError:  # the loop has ended a moment ago
            work.close()
            raise ClosedError("the guard is closed") from None
        try:
            return future.result()
        except CancelledError:
            raise ClosedError("the guard was closed during the call") from None
        except BaseException:
            future.cancel()
            raise

    def spawn(self, function: Callable[..., Coroutine[Any, Any, object]], *args: Any) -> None:
        """Run a coroutine function on the loop without waiting; does nothing without a loop."""
        place = self._current
        if self.running and place is not None:
            with contextlib.suppress(RuntimeError):  # the loop may have ended a moment ago
                place.loop.call_soon_threadsafe(place.spawn, function, *args)

    def iterate(self, source: AsyncGenerator[T, None]) -> Iterator[T]:
        """Yield what an asynchronous generator yields; closes it at the end, or when dropped."""
        steps = _Steps(source)
        streams = self._started().streams
        streams.add(steps)
        try:
            while (item := self.call(steps.next)) is not None:
                yield item[0]
        finally:
            # Not waited for: a generator may be collected in any thread, the loop's included.
            self.spawn(steps.aclose)
            streams.discard(steps)

    def close(self) -> None:
        """End the loop and its thread; whatever runs on it is cancelled."""
        with self._lock:
            self._closed = True
            place, self._current = self._current, None
        if place is not None:
            place.stop()

    def _started(self) -> _Running:
        with self._lock:
            if self._closed:
                raise ClosedError("the guard is closed")
            if self._current is None or self._current.pid != os.getpid():
                self._current = _Running.start()
                weakref.finalize(self, self._current.stop)
            return self._current


class _Steps(Generic[T]):
    """An asynchronous generator, one step at a time, also while a cancelled step winds down."""

    def __init__(self, source: AsyncGenerator[T, None]) -> None:
        self._source = source
        self._lock = asyncio.Lock()

    async def next(self) -> tuple[T] | None:
        async with self._lock:
            async for item in self._source:
                return (item,)
            return None

    async def aclose(self) -> None:
        async with self._lock:
            await self._source.aclose()


@dataclass(frozen=True, slots=True)
class _Running:
    """A loop that runs in a thread.

    Attributes:
        loop: The loop.
        ended: Ends the loop when set; only from within.
        tasks: What was asked for and is not over; the loop itself holds tasks weakly.
        streams: What is iterated and was neither ended nor left.
        thread: The thread.
        pid: The process in which the thread exists.
    """

    loop: asyncio.AbstractEventLoop
    ended: asyncio.Event
    tasks: set[asyncio.Task[Any]]
    streams: set[_Steps[Any]]
    thread: threading.Thread
    pid: int

    @classmethod
    def start(cls) -> _Running:
        ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        tasks, streams = set[asyncio.Task[Any]](), set[_Steps[Any]]()

        async def serve() -> None:
            ended = asyncio.Event()
            ready.set_result((asyncio.get_running_loop(), ended))
            await ended.wait()
            await _wind_down(tasks, streams)

        def run() -> None:
            with asyncio.Runner() as runner:
                runner.run(serve())

        thread = threading.Thread(target=run, name="candor-guard", daemon=True)
        thread.start()
        loop, ended = ready.result()
        return cls(loop, ended, tasks, streams, thread, os.getpid())

    def is_here(self) -> bool:
        return threading.get_ident() == self.thread.ident

    async def tracked(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - coroutines on a loop run in tasks
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return await function(*args)

    def spawn(self, function: Callable[..., Coroutine[Any, Any, object]], *args: Any) -> None:
        task = self.loop.create_task(function(*args))
        self.tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[object]) -> None:
        self.tasks.discard(task)
        if not task.cancelled():
            task.exception()  # looked at; nobody is there to be told

    def stop(self) -> None:
        if self.pid != os.getpid():  # the parent's loop; in a forked child there is no thread
            return
        with contextlib.suppress(RuntimeError):  # ended already
            self.loop.call_soon_threadsafe(self.ended.set)
        if not self.is_here():
            self.thread.join(2 * _STOP_SECONDS)


async def _wind_down(tasks: set[asyncio.Task[Any]], streams: set[_Steps[Any]]) -> None:
    """Cancel what was asked for, and give what closes connections the time to do so.

    Streams that nobody left are closed from the outside in: asyncio would close all generators of
    one at the same time, and each would complain that the next is closing already.
    """
    for task in tasks:
        task.cancel()
    left = [asyncio.create_task(steps.aclose()) for steps in list(streams)]
    if left:
        await asyncio.wait(left, timeout=_STOP_SECONDS)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=_STOP_SECONDS)


class Worker:
    """A daemon thread that makes blocking calls for an event loop, one after the other.

    The thread starts with the first call and ends with `finish`. A call whose wait is cancelled
    goes on to its end: nothing can stop a thread that is blocked.

    Args:
        context: What the calls see as context variables; default: those of whoever makes the worker.
    """

    def __init__(self, context: Context | None = None) -> None:
        self._context = copy_context() if context is None else context
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, call: Callable[[], T]) -> T:
        """Make a call and wait for its result; raises what it raises."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def job() -> None:
            try:
                tell, outcome = done.set_result, call()
            except StopIteration as error:  # no future takes one, as no generator may let one out
                told = RuntimeError("the call raised StopIteration")
                told.__cause__ = error
                _tell(loop, done, done.set_exception, told)
            except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
                _tell(loop, done, done.set_exception, error)
            else:
                _tell(loop, done, tell, outcome)

        self._submit(job)
        return await done

    def finish(self, call: Callable[[], object] | None = None) -> None:
        """End when the calls before are over, and a last one if there is any; not waited for."""
        if call is not None:
            self._submit(call)
        self._jobs.put(None)

    def _submit(self, job: Callable[[], object]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="candor-worker", daemon=True)
            self._thread.start()
        self._jobs.put(job)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._context.run(job)


async def in_thread(call: Callable[[], T]) -> T:
    """Make one blocking call in a daemon thread of its own, with the caller's context variables.

    A pool of threads would make many calls wait for each other.
    """
    worker = Worker()
    try:
        return await worker.run(call)
    finally:
        worker.finish()


def _tell(
    loop: asyncio.AbstractEventLoop,
    done: asyncio.Future[T],
    tell: Callable[[Any], None],
    outcome: object,
) -> None:
    def now() -> None:
        if not done.done():  # cancelled meanwhile
            tell(outcome)

    with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
        loop.call_soon_threadsafe(now)
