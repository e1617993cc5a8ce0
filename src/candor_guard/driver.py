"""Does what a flow asks for: the one place where the flow meets sockets, threads and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from time import perf_counter as clock  # the loop's own may only count whole milliseconds

from candor_guard.detectors.runner import DetectorRunner
from candor_guard.errors import DetectorError, InvalidRequestError, UpstreamError
from candor_guard.flow import (
    Answer,
    Close,
    Detect,
    Emit,
    Flow,
    Gate,
    Head,
    Hold,
    Receive,
    Relay,
    ReplyHead,
    Send,
    Start,
)
from candor_guard.outcome import Outcome
from candor_guard.surface import GuardedRequest
from candor_guard.upstreams import Headers, Upstream, UpstreamRequest, UpstreamResponse


@dataclass(frozen=True, slots=True)
class Holding:
    """The upstream has answered; its reply is being held back until its verdict.

    Attributes:
        status: HTTP status of the held response.
        headers: Its headers.
    """

    status: int
    headers: Headers


@dataclass(frozen=True, slots=True)
class Started:
    """The response begins.

    Attributes:
        status: HTTP status.
        headers: The delivered upstream response's.
        outcome: As far as it is known.
        rewritten: Whether the body may differ from the upstream's.
    """

    status: int
    headers: Headers
    outcome: Outcome
    rewritten: bool


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of the response's body."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """All is said; the record is final."""

    outcome: Outcome


Event = Holding | Started | Data | Finished


async def drive(
    flow: Flow,
    upstream: Upstream,
    runner: DetectorRunner,
    request: GuardedRequest,
    template: UpstreamRequest,
) -> AsyncGenerator[Event, None]:
    """Run a flow to its end; see `candor_guard.guard.Guard.events`."""
    calls = _Calls(upstream, template, request)
    answer: Answer = None
    failure: Exception | None = None
    try:
        while True:
            try:
                step = flow.throw(failure) if failure else flow.send(answer)
            except StopIteration as stop:
                yield Finished(stop.value)
                return
            answer = failure = None
            match step:
                case Start():
                    head = await calls.response(step.call)
                    yield Started(head.status, head.headers, step.outcome, step.rewritten)
                case Emit():
                    yield Data(step.data)
                case Hold():
                    head = await calls.response(0)
                    yield Holding(head.status, head.headers)
                case Relay():
                    while data := await calls.read(step.call):
                        yield Data(data)
                case _:
                    try:
                        answer = await _do(step, calls, runner)
                    except (DetectorError, InvalidRequestError, UpstreamError) as error:
                        failure = error
    finally:
        flow.close()
        await calls.close_all()


async def _do(
    step: Send | Gate | Head | Receive | Detect | Close, calls: _Calls, runner: DetectorRunner
) -> Answer:
    match step:
        case Send():
            await calls.send(step)
        case Gate():
            return await runner.gate_async(step.conversation)
        case Head():
            return await calls.head(step.call, step.deadline)
        case Receive():
            return await calls.receive(step.call, step.deadline)
        case Detect():
            return await runner.read_async(step.exchange)
        case Close():
            await calls.close(step.call)
    return None


class _Calls:
    """The upstream calls of one flow, by number."""

    def __init__(
        self, upstream: Upstream, template: UpstreamRequest, request: GuardedRequest
    ) -> None:
        self._upstream = upstream
        self._template = template
        self._stream = request.stream
        self._opening: dict[int, asyncio.Task[UpstreamResponse]] = {}
        self._side: set[int] = set()
        self._closed: set[int] = set()

    async def send(self, step: Send) -> None:
        template = self._template
        headers = template.headers if step.call == 0 else _for_repetition(template.headers)
        request = UpstreamRequest(template.method, template.path, headers, step.body)
        self._opening[step.call] = asyncio.create_task(self._upstream.open(request))
        if step.side:
            self._side.add(step.call)
        # Let the request leave before this task goes on to judge it.
        await asyncio.sleep(0)

    async def response(self, call: int) -> UpstreamResponse:
        return await asyncio.shield(self._opening[call])

    async def head(self, call: int, deadline: float | None) -> ReplyHead | None:
        try:
            async with asyncio.timeout(_left(deadline)):
                response = await self.response(call)
        except TimeoutError:
            return None
        stream = self._stream and call not in self._side
        ok = 200 <= response.status < 300
        return ReplyHead(ok, _is_readable(response, stream), response.status)

    async def read(self, call: int) -> bytes:
        return await self._opening[call].result().read()

    async def receive(self, call: int, deadline: float | None) -> bytes | None:
        if deadline is None:
            return await self.read(call)
        try:
            async with asyncio.timeout(_left(deadline)):
                return await self.read(call)
        except TimeoutError:
            return None

    async def close(self, *calls: int) -> None:
        # In tasks of their own: under anyio a cancelled scope cancels every further await, too.
        fresh = set(calls) - self._closed
        self._closed |= fresh
        closing = asyncio.gather(*(asyncio.create_task(_close(self._opening[c])) for c in fresh))
        await asyncio.shield(closing)

    async def close_all(self) -> None:
        await self.close(*self._opening)


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else deadline - clock()


async def _close(opening: asyncio.Task[UpstreamResponse]) -> None:
    opening.cancel()
    (result,) = await asyncio.gather(opening, return_exceptions=True)
    if not isinstance(result, BaseException):
        await result.aclose()


def _for_repetition(headers: Headers) -> Headers:
    """Headers of a further call: with the same idempotency key it would get the old reply."""
    return tuple(pair for pair in headers if pair[0] != "idempotency-key")


def _is_readable(response: UpstreamResponse, stream: bool) -> bool:  # noqa: FBT001 - private, one caller
    headers = dict(response.headers)
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    encoded = headers.get("content-encoding", "identity").lower() != "identity"
    return not encoded and kind == ("text/event-stream" if stream else "application/json")


__all__ = ["Data", "Event", "Finished", "Holding", "Started", "clock", "drive"]
