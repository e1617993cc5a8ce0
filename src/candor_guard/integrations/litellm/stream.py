"""Guarded streams that pass for LiteLLM's own, and blocking ones driven from an event loop."""

from __future__ import annotations

import contextvars
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from functools import partial
from typing import Any

from litellm import CustomStreamWrapper
from typing_extensions import override

from candor_guard.integrations.litellm.run import Run
from candor_guard.sync import Portal, Worker


class GuardedStream(CustomStreamWrapper):  # type: ignore[misc]  # LiteLLM is not followed by mypy
    """What all guarded streams share: everything of LiteLLM's stream but its iteration.

    Attributes:
        candor: The record of the reply, once the stream has ended; None before.
    """

    def __init__(self, run: Run) -> None:
        # Not LiteLLM's: state and logging belong to the stream underneath, found by __getattr__.
        self._run = run

    @property
    def candor(self) -> dict[str, Any] | None:
        """The record as a dictionary."""
        outcome = self._run.outcome
        return None if outcome is None else outcome.to_dict()

    def __getattr__(self, name: str) -> Any:
        if name == "_run":
            raise AttributeError(name)
        return getattr(_source(self._run.source), name)

    def __del__(self) -> None:
        """Leave to the stream underneath what LiteLLM does here."""


class AsyncGuardedStream(GuardedStream):
    """A guarded stream of ``acompletion``."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._objects: AsyncGenerator[Any, None] = run.objects()

    @override
    async def __anext__(self) -> Any:
        return await anext(self._objects)

    @override
    async def aclose(self) -> None:
        """Close every call at once."""
        await self._objects.aclose()
        await self._run.end()


class SyncGuardedStream(GuardedStream):
    """A guarded stream of ``completion``."""

    def __init__(self, run: Run, portal: Portal) -> None:
        super().__init__(run)
        self._portal = portal
        self._objects: Iterator[Any] = portal.iterate(run.objects())

    @override
    def __next__(self) -> Any:
        return next(self._objects)

    @override
    def close(self) -> None:
        """Close every call."""
        close: Callable[[], None] = getattr(self._objects, "close", lambda: None)
        close()
        self._portal.spawn(self._run.end)


class FromThread:
    """A blocking iterator as an asynchronous one, read in a thread of its own.

    Attributes:
        source: The iterator.
    """

    def __init__(self, source: Iterator[Any], worker: Worker) -> None:
        self.source = source
        self._worker = worker

    async def __anext__(self) -> Any:
        item = await self._worker.run(lambda: next(self.source, None))
        if item is None:
            raise StopAsyncIteration
        return item

    def __aiter__(self) -> FromThread:
        return self

    async def aclose(self) -> None:
        """Close the iterator when the step in progress is over, and end the thread."""
        self._worker.finish(getattr(self.source, "close", None))


def in_threads(function: Callable[..., Any]) -> Callable[[Mapping[str, Any]], Any]:
    """Return an asynchronous form of a blocking ``completion``."""
    context = contextvars.copy_context()

    async def ask(arguments: Mapping[str, Any]) -> Any:
        worker = Worker(context.copy())
        try:
            answer = await worker.run(partial(function, **arguments))
        except BaseException:
            worker.finish()
            raise
        if hasattr(answer, "__next__"):
            return FromThread(answer, worker)
        worker.finish()
        return answer

    return ask


def _source(source: Any) -> Any:
    return source.source if isinstance(source, FromThread) else source
