"""One guarded call of LiteLLM: its function as the upstream, its objects as what is delivered.

The engine works on bytes. Each object that LiteLLM gives becomes a frame that tells the engine its
choices and usage, and bears a number. By that number what the engine delivers is turned back into
the object itself, so that ids, costs, thinking and whatever a provider adds arrive as they were.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
)
from contextlib import aclosing
from typing import Any, Final

from candor_guard.driver import Data, Event, Finished, Holding, Started
from candor_guard.errors import UpstreamInterruptedError, UpstreamUnreachableError
from candor_guard.flow import Annotate
from candor_guard.guard import Guard
from candor_guard.integrations.litellm.asked import Asked
from candor_guard.integrations.litellm.lent import step_of
from candor_guard.outcome import Outcome, need_delivery
from candor_guard.upstreams import Headers, UpstreamRequest
from candor_guard.wire.chat import DONE
from candor_guard.wire.json import dump, load_object
from candor_guard.wire.sse import FrameReader

Ask = Callable[[Mapping[str, Any]], Awaitable[Any]]

_NUMBER: Final = "candor_number"
# Delivered objects that are kept: the engine may make a further frame after the last one.
_REMEMBERED: Final = 8
_JSON: Final[Headers] = (("content-type", "application/json"),)
_EVENTS: Final[Headers] = (("content-type", "text/event-stream"),)


class Run:
    """One guarded call, and the upstream of all the calls that it takes.

    Args:
        guard: Whose detector, policy, observers and budgets are used.
        asked: The call.
        ask: Makes a call of LiteLLM; returns a reply, or an asynchronous iterator of chunks.
        annotate: When replies get their ``candor`` object.
        request_id: For the record.

    Attributes:
        outcome: The record, once all is said.
        source: What the first call gave.
        failure: Why the first call broke off in the middle, or None.
    """

    def __init__(
        self,
        guard: Guard,
        asked: Asked,
        ask: Ask,
        annotate: Annotate,
        request_id: str | None = None,
    ) -> None:
        self.outcome: Outcome | None = None
        self.source: Any = None
        self._asked = asked
        self._ask = ask
        self._request = asked.parsed()
        self._calls = 0
        self.failure: Exception | None = None
        self._objects: dict[int, tuple[Any, bool]] = {}
        self._numbers = 0
        self._oldest = 0
        self._last = -1
        self._first: Event | None = None
        self._whole = True
        self._body = bytearray()
        self._frames = FrameReader()
        template = UpstreamRequest("POST", "/chat/completions", _JSON)
        self._events = guard.with_upstream(self).events(
            self._request, template, annotate=annotate, request_id=request_id
        )

    @property
    def stream(self) -> bool:
        """Whether a stream was asked for."""
        return self._request.stream

    # -- for whoever called LiteLLM ---------------------------------------------------------------

    async def begin(self) -> None:
        """Wait until LiteLLM has answered; raises what it raises instead."""
        self._first = await anext(self._events, None)
        if isinstance(self._first, Finished):
            self._finish(self._first)

    async def whole(self) -> Any:
        """Return the delivered reply.

        Raises:
            ReplyRefusedError: If the policy refuses to deliver.
        """
        await self.begin()
        async with aclosing(self.objects()) as objects:
            delivered = [item async for item in objects]
        return delivered[-1]

    async def objects(self) -> AsyncGenerator[Any, None]:
        """Yield LiteLLM's objects as they are delivered: chunks, or the one reply.

        Raises:
            ReplyRefusedError: If the policy refuses to deliver.
            Exception: What LiteLLM raised in the middle of a stream, unchanged.
        """
        try:
            async with aclosing(self._delivered()) as objects:
                async for item in objects:
                    yield item
            return
        except UpstreamInterruptedError:
            if self.failure is None:
                raise
        # Out here, so that LiteLLM's exception keeps its own cause and context.
        raise self.failure

    async def end(self) -> None:
        """Close every call at once."""
        await self._events.aclose()

    def undelivered(self) -> list[Any] | None:
        """Return what came from the first call and was not delivered, in order.

        None when something of another call was: then no rest of the first one fits any more.
        """
        if self._last >= 0 and not self._objects[self._last][1]:
            return None
        return [item for n, (item, first) in self._objects.items() if first and n > self._last]

    async def _delivered(self) -> AsyncGenerator[Any, None]:
        async with aclosing(self._events):
            event = self._first
            while event is not None:
                for item in self._items(event):
                    yield item
                event = await anext(self._events, None)

    def _items(self, event: Event) -> Iterator[Any]:
        match event:
            case Started():
                self._whole = dict(event.headers)["content-type"] == _JSON[0][1]
            case Data() if self._whole:
                self._body += event.data
            case Data():
                for frame in self._frames.feed(event.data):
                    if frame.data is not None and frame.data != DONE:
                        yield self._restored(load_object(frame.data))
            case Finished():
                self._finish(event)
                if self._body:
                    yield self._restored(load_object(bytes(self._body)))
            case Holding():
                pass

    def _finish(self, event: Finished) -> None:
        self.outcome = event.outcome
        need_delivery(event.outcome)

    def _restored(self, payload: Mapping[str, Any]) -> Any:
        """Return the object that was written as this payload, with what the engine changed."""
        number = self._last = payload[_NUMBER]
        item, _ = self._objects[number]
        while self._oldest < number - _REMEMBERED:
            self._objects.pop(self._oldest, None)
            self._oldest += 1
        written = _written(item, number)
        if written == payload:
            return item
        changed = item.model_copy()
        if payload["choices"] != written["choices"]:  # a frame made after the model of this one
            changed = type(item)(**{**item.model_dump(), "choices": payload["choices"]})
        if "usage" in written and payload["usage"] != written["usage"]:
            changed.usage = type(item.usage)(**payload["usage"])
        if "candor" in payload:
            changed.candor = payload["candor"]
        changed._hidden_params = dict(item._hidden_params)  # noqa: SLF001 - its public name is new
        return changed

    # -- for the engine ---------------------------------------------------------------------------

    async def open(self, request: UpstreamRequest) -> _Reply | _Stream | _Refusal:
        """Call LiteLLM; what it raises in the first call goes to its caller as it is."""
        call, self._calls = self._calls, self._calls + 1
        body = request.body
        if not isinstance(body, bytes):
            raise TypeError("guarded requests are read whole before they go on")
        first = body == self._request.body and call == 0
        arguments = dict(self._asked.given) if first else self._asked.arguments(body)
        try:
            answer = await self._ask(arguments)
        except Exception as error:
            if first:
                raise
            return _refusal(error)
        if first:
            self.source = answer
        if hasattr(answer, "__anext__"):
            return _Stream(self, answer, first=first)
        return _Reply(dump(self.keep(answer, first=first)))

    async def aclose(self) -> None:
        """Nothing to close: LiteLLM keeps its connections itself."""

    def keep(self, item: Any, *, first: bool) -> dict[str, Any]:
        """Keep an object until it is delivered; returns what the engine reads of it."""
        number, self._numbers = self._numbers, self._numbers + 1
        self._objects[number] = item, first
        return _written(item, number)


class _Reply:
    """A reply that is not streamed."""

    def __init__(self, body: bytes) -> None:
        self.status = 200
        self.headers = _JSON
        self._body = body

    async def read(self) -> bytes:
        body, self._body = self._body, b""
        return body

    async def aclose(self) -> None:
        self._body = b""


class _Refusal(_Reply):
    """A further call that LiteLLM, or its provider, answered with an error."""

    def __init__(self, status: int) -> None:
        super().__init__(b"")
        self.status = status


class _Stream:
    """A stream of LiteLLM's chunks as server-sent events."""

    def __init__(self, run: Run, chunks: AsyncIterator[Any], *, first: bool) -> None:
        self.status = 200
        self.headers = _EVENTS
        self._run = run
        self._chunks = chunks
        self._is_first = first
        # In a task of its own: a cancelled read must lose nothing, and not end the iterator.
        self._next: asyncio.Task[Any] | None = None
        self._over = False

    async def read(self) -> bytes:
        if self._over:
            return b""
        step = self._next = self._next or asyncio.ensure_future(step_of(self._chunks))
        await asyncio.wait((step,))
        self._next = None
        try:
            chunk = step.result()
        except Exception as error:
            if self._is_first:
                self._run.failure = error
            kind = type(error).__name__
            raise UpstreamInterruptedError(f"LiteLLM raised {kind} in the middle") from error
        if chunk is None:
            self._over = True
            return b"data: [DONE]\n\n"
        return b"data: %b\n\n" % dump(self._run.keep(chunk, first=self._is_first))

    async def aclose(self) -> None:
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            await close()


def _written(item: Any, number: int) -> dict[str, Any]:
    data: dict[str, Any] = item.model_dump(
        mode="json", include={"choices", "usage"}, exclude_none=True, warnings=False, fallback=str
    )
    for choice in data.get("choices", ()):
        choice.setdefault("finish_reason", None)
        choice.get("message", {}).setdefault("content", None)
    return {**data, _NUMBER: number}


def _refusal(error: Exception) -> _Refusal:
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and 400 <= status < 600:
        return _Refusal(status)
    raise UpstreamUnreachableError(f"LiteLLM raised {type(error).__name__}") from error
