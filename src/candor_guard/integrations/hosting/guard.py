"""Lets a framework's own model be the upstream of a `Guard`, without a socket of ours.

The engine speaks Chat Completions. Each of its calls becomes a call of the framework's model, and
each piece that the model gives becomes a frame that tells the engine its text and bears a number.
By that number what the engine delivers is turned back into the framework's own object, so that
ids, tool calls, usage and whatever else a piece carries arrive as the model gave them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic

from typing_extensions import override

from candor_guard.driver import Data, Event, Finished, end_tasks
from candor_guard.errors import (
    DetectorError,
    UpstreamError,
    UpstreamInterruptedError,
    UpstreamUnreachableError,
)
from candor_guard.guard import Guard
from candor_guard.integrations.hosting.surface import SKIP
from candor_guard.integrations.hosting.terms import (
    Asked,
    Change,
    Edited,
    Host,
    Original,
    Piece,
    PieceT,
    Said,
    Side,
    Spoken,
)
from candor_guard.integrations.wishes import guard_of
from candor_guard.outcome import Outcome, need_delivery
from candor_guard.policy import Policy
from candor_guard.surface import GuardedRequest
from candor_guard.sync import Portal
from candor_guard.upstreams import Headers, UpstreamRequest
from candor_guard.wire.chat import DONE
from candor_guard.wire.json import dump, load_object
from candor_guard.wire.sse import Frame, FrameReader

_JSON: Final[Headers] = (("content-type", "application/json"),)
_EVENTS: Final[Headers] = (("content-type", "text/event-stream"),)


class HostedGuard:
    """A guard whose upstream is, for each request, the host of that request.

    Args:
        guard: Whose detector, policy, observers and budgets to use; its own upstream is not
            called. Default: `Guard()`.
        policy: For a guard with the bundled detector, instead of `guard`.

    Raises:
        ConfigurationError: If one is of another class, or both are given.
    """

    def __init__(self, guard: Guard | None = None, policy: Policy | None = None) -> None:
        self.guard = guard_of(guard, policy)
        self.portal = Portal()  # for callers without an event loop; starts no thread before

    @override
    def __reduce__(self) -> tuple[type[HostedGuard], tuple[Guard]]:
        return type(self), (self.guard,)

    def holds(self, asked: Asked) -> bool:
        """Whether the reply to this request will be held back until it is read."""
        request = asked.parsed()
        if self.guard.policy.mode != "enforce" or request.skip is not None:
            return False
        try:
            return self.guard.gate(request.payload["messages"]).at_risk
        except DetectorError:
            return False

    async def reply(
        self, asked: Asked, host: Host[PieceT]
    ) -> AsyncGenerator[Piece[PieceT] | Spoken | Outcome, None]:
        """Guard one request: the pieces that are delivered, then the record.

        Raises:
            ReplyRefusedError: If the policy refuses to deliver.
            InvalidRequestError: If there are no messages.
            Exception: Whatever the model raised instead of a reply, unchanged.
        """
        request = asked.parsed()
        run = _Run(host, request)
        template = UpstreamRequest("POST", "/chat/completions", _JSON)
        events = self.guard.with_upstream(run).events(request, template, annotate="none")
        try:
            async with aclosing(events), aclosing(run.delivered(events)) as items:
                async for item in items:
                    yield item
            return
        except UpstreamError:
            if run.failure is None:
                raise
        # Out here, so that the model's own exception keeps its own cause and context.
        raise run.failure

    async def whole(self, asked: Asked, host: Host[PieceT]) -> tuple[PieceT, Outcome]:
        """Guard one request that is not streamed: the delivered reply and the record.

        Raises:
            ReplyRefusedError: If the policy refuses to deliver.
            InvalidRequestError: If there are no messages.
            Exception: Whatever the model raised instead of a reply, unchanged.
        """
        async with aclosing(self.reply(asked, host)) as items:
            piece, outcome = [item async for item in items]
        assert isinstance(piece, Piece)  # noqa: S101 - tells the type checker what it cannot know
        assert isinstance(outcome, Outcome)  # noqa: S101 - the same
        return piece.value, outcome


class _Run(Generic[PieceT]):
    """One guarded request, as the upstream of its calls; keeps what was not delivered yet."""

    def __init__(self, host: Host[PieceT], request: GuardedRequest) -> None:
        self.host = host
        self.failure: Exception | None = None
        self._request = request
        self._calls = 0
        self._pieces: dict[str, PieceT] = {}

    async def open(self, request: UpstreamRequest) -> _Reply[PieceT] | _Refusal:
        body = request.body
        assert isinstance(body, bytes)  # noqa: S101 - the engine sends whole bodies
        call, self._calls = self._calls, self._calls + 1
        payload = load_object(body)
        change = Original() if body == self._request.body else _change(self._request, payload)
        if change is None:
            return _Refusal()
        reply = _Reply(self, call, change, stream=payload.get("stream") is True)
        await reply.begin()
        return reply

    async def aclose(self) -> None:
        """Nothing to close: the model is its owner's."""

    def keep(self, piece: PieceT, name: str) -> None:
        """Keep a piece until the engine delivers the frame of that name, if it ever does."""
        self._pieces[name] = piece

    async def delivered(
        self, events: AsyncGenerator[Event, None]
    ) -> AsyncGenerator[Piece[PieceT] | Spoken | Outcome, None]:
        body, frames = bytearray(), FrameReader()
        async for event in events:
            match event:
                case Data() if self._request.stream:
                    for frame in frames.feed(event.data):
                        for item in self._items(frame):
                            yield item
                case Data():
                    body += event.data
                case Finished():
                    need_delivery(event.outcome)
                    if body:
                        yield Piece(self._pieces.pop(load_object(bytes(body))["id"]))
                    yield event.outcome
                case _:
                    pass

    def _items(self, frame: Frame) -> Iterator[Piece[PieceT] | Spoken]:
        if frame.data is None or frame.data == DONE:
            return
        chunk = load_object(frame.data)
        text = chunk["choices"][0]["delta"].get("content") or ""
        piece = self._pieces.get(chunk["id"])
        if piece is not None and self.host.said(piece).text == text:
            yield Piece(self._pieces.pop(chunk["id"]))
        elif text:
            # A frame that the engine made after the model of another: what it says is new.
            yield Spoken(text)


class _Reply(Generic[PieceT]):
    """What a model gives, as the bytes of a response.

    The model is run in one task from beginning to end: frameworks hold scopes and context
    variables open from piece to piece, and those must be closed where they were opened.
    """

    def __init__(self, run: _Run[PieceT], call: int, change: Change, *, stream: bool) -> None:
        self.status = 200
        self.headers = _EVENTS if stream else _JSON
        self._run = run
        self._call = call
        self._stream = stream
        # One piece at a time: a slow reader slows the model down, as on a socket.
        self._ready: asyncio.Queue[PieceT | _End] = asyncio.Queue(1)
        self._task = asyncio.create_task(self._play(run.host.call(change)))
        self._first: bytes | None = None
        self._count = 0
        self._finished = False
        self._over = False

    async def begin(self) -> None:
        """Wait for the first piece: until then the model can still fail instead of answering."""
        try:
            self._first = await self._next()
        except BaseException:
            await self.aclose()
            raise

    async def read(self) -> bytes:
        if self._first is not None:
            data, self._first = self._first, None
            return data
        return b"" if self._over else await self._next()

    async def aclose(self) -> None:
        await end_tasks(self._task)

    async def _play(self, pieces: AsyncGenerator[PieceT, None]) -> None:
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    await self._ready.put(piece)
        except Exception as error:  # noqa: BLE001 - any model, any error; handed on unchanged
            await self._ready.put(_End(error))
        else:
            await self._ready.put(_End(None))

    async def _next(self) -> bytes:
        return await (self._frame() if self._stream else self._whole())

    async def _frame(self) -> bytes:
        piece = await self._ready.get()
        if isinstance(piece, _End):
            self._over = True
            self._check(piece)
            # Not every model says why it ended, but the engine looks for a place before the end.
            last = b"" if self._finished else _event(_chunk("", Said(finish="stop")))
            return last + b"data: [DONE]\n\n"
        name, self._count = f"{self._call}.{self._count}", self._count + 1
        self._run.keep(piece, name)
        said = self._run.host.said(piece)
        self._finished = self._finished or said.finish is not None
        return _event(_chunk(name, said))

    async def _whole(self) -> bytes:
        self._over = True
        heard: list[Said] = []
        while not isinstance(piece := await self._ready.get(), _End):
            self._run.keep(piece, str(self._call))
            heard.append(self._run.host.said(piece))
        self._check(piece)
        if not heard:
            raise UpstreamInterruptedError("the model ended without a reply")
        return dump(_completion(str(self._call), heard))

    def _check(self, end: _End) -> None:
        if end.error is None:
            return
        if self._call == 0:
            self._run.failure = end.error
        kind = type(end.error).__name__
        failure = UpstreamInterruptedError if self._count else UpstreamUnreachableError
        raise failure(f"the model raised {kind}") from end.error


class _Refusal:
    """The answer to what a framework's model object cannot do, such as be another model."""

    def __init__(self) -> None:
        self.status = 404
        self.headers = _JSON

    async def read(self) -> bytes:
        return b""

    async def aclose(self) -> None:
        """Nothing to close."""


@dataclass(frozen=True, slots=True)
class _End:
    """The model has said all, or failed."""

    error: Exception | None = field(repr=False)


# -- Chat Completions, as much of it as the engine reads -----------------------------------------


def _change(request: GuardedRequest, payload: Mapping[str, Any]) -> Edited | Side | None:
    """Tell how a further call differs; None when it is nothing that a model object can do."""
    if payload.get("model") != request.payload["model"]:
        return None
    before, now = request.payload["messages"], payload["messages"]
    place = request.conversation.last_user_index
    if place is not None and len(before) == len(now):
        rest = [i for i in range(len(now)) if i != place]
        if all(before[i] == now[i] for i in rest):
            return _edited(before[place]["content"], now[place]["content"])
    match now:
        case [{"role": "system", "content": str(system)}, {"role": "user", "content": str(user)}]:
            return Side(system, user)
        case _:
            return None


def _edited(old: str, new: str) -> Edited:
    return Edited(new, new[len(old) :].strip() if new.startswith(old) else None)


def _chunk(name: str, said: Said) -> dict[str, Any]:
    choice = {"index": 0, "delta": _message(said), "finish_reason": said.finish}
    return {"id": name, "object": "chat.completion.chunk", "choices": [choice], **_beside(said)}


def _event(chunk: Mapping[str, Any]) -> bytes:
    return b"data: %b\n\n" % dump(chunk)


def _completion(name: str, heard: Sequence[Said]) -> dict[str, Any]:
    skip = next((said.skip for said in heard if said.skip), None)
    whole = replace(heard[-1], text="".join(said.text for said in heard), skip=skip)
    choice = {"index": 0, "message": _message(whole), "finish_reason": whole.finish or "stop"}
    return {"id": name, "object": "chat.completion", "choices": [choice], **_beside(whole)}


def _message(said: Said) -> dict[str, Any]:
    return {"role": "assistant", "content": said.text}


def _beside(said: Said) -> dict[str, Any]:
    told = {"usage": said.usage, SKIP: said.skip}
    return {key: value for key, value in told.items() if value is not None}
