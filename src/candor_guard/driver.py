"""Does what a flow asks for: the one place where the flow meets sockets, threads and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from time import perf_counter as clock  # the loop's own may only count whole milliseconds
from typing import Any, Final, Literal

from candor_guard.detectors.runner import DetectorRunner
from candor_guard.errors import DetectorError, InvalidRequestError, UpstreamError
from candor_guard.flow import (
    MAX_SIDE_BYTES,
    Answer,
    Beside,
    Close,
    Detect,
    Emit,
    Fetch,
    Flow,
    Gate,
    Head,
    Hold,
    Receive,
    Relay,
    ReplyHead,
    Send,
    SideReply,
    Start,
)
from candor_guard.outcome import Outcome
from candor_guard.surface import GuardedRequest
from candor_guard.upstreams import Headers, Upstream, UpstreamRequest, UpstreamResponse, encoded


@dataclass(frozen=True, slots=True)
class Holding:
    """The upstream has answered; the client waits for a verdict, or for a correction.

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


@dataclass(slots=True)
class Load:
    """What an engine is busy with.

    Attributes:
        flows: How many are driven now. A hint only: event loops in several threads may miscount it.
    """

    flows: int = 0


async def drive(
    flow: Flow,
    upstream: Upstream,
    runner: DetectorRunner,
    request: GuardedRequest,
    template: UpstreamRequest,
    load: Load,
) -> AsyncGenerator[Event, None]:
    """Run a flow to its end; see `candor_guard.guard.Guard.events`."""
    calls = _Calls(upstream, template, request, load)
    answer: Answer | Exception = None
    try:
        while True:
            try:
                step = flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)
            except StopIteration as stop:
                yield Finished(stop.value)
                return
            answer = None
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
                    while isinstance(answer := await calls.rest(step), bytes):
                        yield Data(answer)
                case _:
                    try:
                        answer = await _do(step, calls, runner)
                    except (DetectorError, InvalidRequestError, UpstreamError) as error:
                        answer = error
    finally:
        flow.close()
        answer = None  # a failure's traceback holds this frame, and that the request's body
        await calls.close_all()


async def _do(
    step: Send | Gate | Head | Receive | Fetch | Detect | Close,
    calls: _Calls,
    runner: DetectorRunner,
) -> Answer:
    match step:
        case Send():
            await calls.send(step)
        case Gate():
            return await runner.gate_async(step.conversation)
        case Head():
            return await calls.head(step.call, step.deadline)
        case Receive():
            return await calls.receive(step)
        case Fetch():
            return await calls.fetch(step)
        case Detect():
            asked = step.exchange
            return await runner.read_async(asked, optional=step.optional, deadline=step.deadline)
        case Close():
            await calls.close(step.call)
    return None


class _Calls:
    """The upstream calls of one flow, by number; the flow counts as driven until all are closed."""

    def __init__(
        self, upstream: Upstream, template: UpstreamRequest, request: GuardedRequest, load: Load
    ) -> None:
        load.flows += 1
        self._load = load
        self._upstream = upstream
        self._template = template
        self._stream = request.stream
        self._opening: dict[int, asyncio.Task[UpstreamResponse]] = {}
        self._fetching: dict[int, asyncio.Task[SideReply]] = {}
        self._reading: dict[int, asyncio.Task[bytes]] = {}
        self._drained: set[int] = set()
        self._closed: set[int] = set()

    async def send(self, step: Send) -> None:
        template = self._template
        headers = template.headers if step.call == 0 else _for_repetition(template.headers)
        request = UpstreamRequest(template.method, template.path, headers, step.body)
        self._opening[step.call] = asyncio.create_task(self._upstream.open(request))
        if step.side:
            self._fetching[step.call] = asyncio.create_task(self._fetch(step.call))
        # Among others, the event loop has work enough while an upstream does its own: to wait then
        # hides nothing, and costs a twentieth of the processor time of a plain turn.
        if step.ahead and self._load.flows == 1:
            await _two_turns()

    async def response(self, call: int) -> UpstreamResponse:
        # No name for the task: the traceback of its failure would hold it, in a circle.
        if self._opening[call].done():
            return self._opening[call].result()
        return await asyncio.shield(self._opening[call])

    async def head(self, call: int, deadline: float | None) -> ReplyHead | None:
        if deadline is None:
            # Bare: a shield would make two more turns of the event loop out of every answer, and
            # who is cancelled here closes the call anyway.
            return _head(await self._opening[call], stream=self._stream)
        try:
            async with asyncio.timeout(_left(deadline)):
                return _head(await self.response(call), stream=self._stream)
        except TimeoutError:
            return None

    async def fetch(self, step: Fetch) -> SideReply | None:
        try:
            async with asyncio.timeout(_left(step.deadline)):
                return await asyncio.shield(self._fetching[step.call])
        except TimeoutError:
            return None

    async def read(self, call: int) -> bytes:
        reading = self._reading.pop(call, None)
        if reading is not None:
            return await reading
        data = await self._opening[call].result().read()
        if not data:
            self._drained.add(call)
        return data

    async def rest(self, step: Relay) -> bytes | UpstreamError | None:
        """Return the next piece, None at the end, or what it broke off with."""
        try:
            return await self.read(step.call) or None
        except UpstreamError as error:
            return None if step.complete else error

    async def receive(self, step: Receive) -> bytes | Literal[Beside.ENDED] | None:
        if step.beside is not None:
            return await self._receive_beside(step, self._fetching[step.beside])
        if step.deadline is None:
            return await self.read(step.call)
        if step.call in self._reading:
            return await self._receive_begun(step.call, step.deadline)
        try:
            async with asyncio.timeout(_left(step.deadline)):
                return await self.read(step.call)
        except TimeoutError:
            return None

    async def _receive_begun(self, call: int, deadline: float) -> bytes | None:
        """Wait for a read that a probe's end left open: cancelled, it could take its piece along."""
        reading = self._reading[call]
        await asyncio.wait((reading,), timeout=_left(deadline))
        if not reading.done():
            return None
        del self._reading[call]
        return reading.result()

    async def _receive_beside(
        self, step: Receive, side: asyncio.Task[SideReply]
    ) -> bytes | Literal[Beside.ENDED] | None:
        reading = self._reading.pop(step.call, None)
        if reading is None:
            reading = asyncio.create_task(self.read(step.call))
        try:
            await asyncio.wait(
                (reading, side),
                timeout=_left(step.deadline),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            if not reading.done():
                self._reading[step.call] = reading  # whatever it brings is the next piece
        if reading.done():
            return reading.result()
        return Beside.ENDED if side.done() else None

    async def _fetch(self, call: int) -> SideReply:
        response = await self.response(call)
        head, body = _head(response, stream=False), bytearray()
        while head.ok and head.readable and len(body) <= MAX_SIDE_BYTES:
            data = await response.read()
            if not data:
                break
            body += data
        return SideReply(head, bytes(body))

    async def close(self, *calls: int) -> None:
        fresh = set(calls) - self._closed
        self._closed |= fresh
        # In tasks of their own: under anyio a cancelled scope cancels every further await, too.
        if open_yet := fresh - self._drained:
            closing = asyncio.gather(*(asyncio.create_task(self._close(c)) for c in open_yet))
            await asyncio.shield(closing)
        for call in fresh & self._drained:  # nothing left that a cancellation could leave open
            await self._opening[call].result().aclose()

    async def _close(self, call: int) -> None:
        opening = self._opening[call]
        users = (self._fetching.pop(call, None), self._reading.pop(call, None))
        await end_tasks(opening, *(task for task in users if task is not None))
        if not opening.cancelled() and opening.exception() is None:
            await opening.result().aclose()

    async def close_all(self) -> None:
        self._load.flows -= 1
        await self.close(*self._opening)
        self._opening.clear()


async def _two_turns() -> None:
    """Let the event loop turn twice: for a request's head, and for its body.

    The HTTP client writes the body in a task of its own. To sleep twice would wake up the whole
    chain of callers once more, which takes longer than all of this.
    """
    loop = asyncio.get_running_loop()
    turned: asyncio.Future[None] = loop.create_future()
    loop.call_soon(_settle, turned)
    await turned  # goes on one turn after it is settled


def _settle(turned: asyncio.Future[None]) -> None:
    if not turned.done():
        turned.set_result(None)


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else deadline - clock()


async def end_tasks(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what is still running; what it raised, or has raised by now, is of no interest."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


# With the same key a further call would get the old reply; the others tell of a body, or a reply,
# that it does not have.
_FIRST_CALL_ONLY: Final = frozenset({
    "idempotency-key", "content-type", "content-encoding", "content-md5", "digest", "content-digest", "repr-digest",
    "if-none-match", "if-match", "if-modified-since", "range",
})  # fmt: skip


def _for_repetition(headers: Headers) -> Headers:
    """Headers of a further call, whose body is ours."""
    kept = [pair for pair in headers if pair[0] not in _FIRST_CALL_ONLY]
    return (*kept, ("content-type", "application/json"))


def _head(response: UpstreamResponse, *, stream: bool) -> ReplyHead:
    headers = dict(response.headers)
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    codings = [value for name, value in response.headers if name == "content-encoding"]
    readable = not encoded(codings) and kind == (
        "text/event-stream" if stream else "application/json"
    )
    return ReplyHead(200 <= response.status < 300, readable, response.status)


__all__ = ["Data", "Event", "Finished", "Holding", "Load", "Started", "clock", "drive", "end_tasks"]
