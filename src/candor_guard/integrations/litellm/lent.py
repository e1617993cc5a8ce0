"""A stream that the guard may read, but that must survive the guard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

# From the guard's wish to close the stream until it is closed: when the guard itself has failed,
# that is how it tidies up, and the stream is still needed.
_REGRET_SECONDS: Final = 0.05


class Lent:
    """The first chunk of a stream and the rest of it.

    Attributes:
        over: Set when nothing more of it is wanted.
    """

    def __init__(self, first: Any, source: AsyncIterator[Any]) -> None:
        self.over = first is None
        self._first = first
        self._source = source
        self._next: asyncio.Task[Any] | None = None
        self._closing: asyncio.Task[None] | None = None

    def __aiter__(self) -> Lent:
        return self

    async def __anext__(self) -> Any:
        if self.over:
            raise StopAsyncIteration
        if self._first is not None:
            first, self._first = self._first, None
            return first
        # A cancelled wait must not end the stream, nor lose its next chunk.
        step = self._next = self._next or asyncio.ensure_future(step_of(self._source))
        item = await asyncio.shield(step)
        self._next = None
        if item is None:
            self.over = True
            raise StopAsyncIteration
        return item

    async def aclose(self) -> None:
        """Close the stream in a moment, unless `keep` is called by then."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close_soon())

    def keep(self) -> None:
        """Take back `aclose`."""
        if self._closing is not None:
            self._closing.cancel()

    async def end(self) -> None:
        """Close the stream now."""
        self.over = True
        for task in (self._closing, self._next):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()

    async def _close_soon(self) -> None:
        await asyncio.sleep(_REGRET_SECONDS)
        self._closing = None
        await self.end()


async def step_of(source: AsyncIterator[Any]) -> Any:
    """Return the next item, or None at the end; a coroutine, so that a task can be made of it."""
    return await anext(source, None)
