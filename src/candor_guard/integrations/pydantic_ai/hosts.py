"""Pydantic AI's models as hosts of the guard, and its messages in the detectors' terms."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any, Generic, TypeVar

from pydantic_ai import RunContext
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestAttempt,
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    SystemPromptPart,
    TextPart,
    TextPartDelta,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage
from typing_extensions import override

from candor_guard.integrations.hosting.terms import (
    Asked,
    Change,
    Edited,
    Original,
    Piece,
    Said,
    Side,
    Spoken,
)
from candor_guard.integrations.pydantic_ai.messages import (
    edited,
    finish,
    openai_usage,
    part_skip,
    skip,
    turns,
)
from candor_guard.outcome import Outcome

AnswerT = TypeVar("AnswerT", ModelResponse, StreamedResponse)
StreamPiece = tuple[StreamedResponse, ModelResponseStreamEvent | None]
Delivered = Piece[StreamPiece] | Spoken | Outcome


@dataclass(frozen=True, slots=True)
class Call:
    """What a wrapped model is called with."""

    messages: list[ModelMessage]
    settings: ModelSettings | None
    parameters: ModelRequestParameters

    def changed(self, change: Change) -> Call:
        """Return the call that the engine wants."""
        match change:
            case Original():
                return self
            case Edited():
                return replace(self, messages=edited(self.messages, change))
            case Side():
                asking = ModelRequest(
                    [SystemPromptPart(change.system), UserPromptPart(change.user)]
                )
                return Call([asking], None, ModelRequestParameters())

    def asked(self, model: str, *, stream: bool) -> Asked:
        """Return the request as the detectors read it."""
        form, schema = self.parameters.output_object, None
        if form is not None and self.parameters.output_mode in ("native", "prompted"):
            schema = {"type": "json_schema", "json_schema": {"schema": form.json_schema}}
        return Asked(turns(self.messages), model, stream, schema)


@dataclass(slots=True)
class _Try(Generic[AnswerT]):
    """One call that was made."""

    began: datetime
    start: float
    answer: AnswerT | None = None
    error: str | None = None
    seconds: float = 0.0


class _Tries(Generic[AnswerT]):
    """The calls of one request."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._made: list[_Try[AnswerT]] = []

    def begin(self) -> _Try[AnswerT]:
        made: _Try[AnswerT] = _Try(datetime.now(UTC), perf_counter())
        self._made.append(made)
        return made

    def others(self, delivered: AnswerT | None) -> list[ModelRequestAttempt] | None:
        """Return the calls whose answer was not delivered, for the run's usage."""
        return [self._attempt(t) for t in self._made if t.answer is not delivered] or None

    def _attempt(self, made: _Try[AnswerT]) -> ModelRequestAttempt:
        return ModelRequestAttempt(
            model_name=self._model.model_name,
            provider_name=self._model.system,
            outcome="rejected" if made.error is None else "error",
            error=made.error,
            timestamp=made.began,
            duration=timedelta(seconds=made.seconds),
            usage=None if made.answer is None else made.answer.usage,
        )


class RequestHost:
    """One request that wants a whole response."""

    def __init__(self, model: Model, call: Call) -> None:
        self._model = model
        self._call = call
        self._tries: _Tries[ModelResponse] = _Tries(model)

    async def call(self, change: Change) -> AsyncGenerator[ModelResponse, None]:
        """Call the model as the engine wants; its own response."""
        call, made = self._call.changed(change), self._tries.begin()
        try:
            made.answer = await self._model.request(call.messages, call.settings, call.parameters)
        except Exception as error:
            made.error = f"{type(error).__name__}: {error}"
            raise
        finally:
            made.seconds = perf_counter() - made.start
        yield made.answer

    def said(self, piece: ModelResponse) -> Said:
        """Read a response."""
        return Said(
            text="".join(part.content for part in piece.parts if isinstance(part, TextPart)),
            skip=skip(piece),
            finish=finish(piece),
            usage=openai_usage(piece.usage),
        )

    def recorded(self, response: ModelResponse, outcome: Outcome) -> ModelResponse:
        """Return the response with the record, and what the other calls used."""
        failed = [*(response.failed_attempts or ()), *(self._tries.others(response) or ())]
        metadata = {**(response.metadata or {}), "candor": outcome.to_dict()}
        return replace(response, metadata=metadata, failed_attempts=failed or None)


class StreamHost:
    """One request that wants a stream; its pieces are events, and None at the end of each call."""

    def __init__(self, model: Model, call: Call, context: RunContext[Any] | None) -> None:
        self._model = model
        self._call = call
        self._context = context
        self._tries: _Tries[StreamedResponse] = _Tries(model)
        self._open: list[StreamedResponse] = []
        self._cancelled = False

    async def call(self, change: Change) -> AsyncGenerator[StreamPiece, None]:
        """Call the model as the engine wants; its own events."""
        call, made = self._call.changed(change), self._tries.begin()
        if self._cancelled:
            return
        opening = self._model.request_stream(
            call.messages, call.settings, call.parameters, self._context
        )
        try:
            async with opening as stream:
                made.answer = stream
                self._open.append(stream)
                async for event in self._heard(stream):
                    yield stream, event
                yield stream, None
        except Exception as error:
            made.error = f"{type(error).__name__}: {error}"
            raise
        finally:
            made.seconds = perf_counter() - made.start

    async def _heard(
        self, stream: StreamedResponse
    ) -> AsyncGenerator[PartStartEvent | PartDeltaEvent, None]:
        try:
            async for event in stream:
                # The others are made from these, once more, by the stream that is delivered.
                if isinstance(event, PartStartEvent | PartDeltaEvent):
                    yield event
        except Exception:
            if not self._cancelled:  # else its connection was closed under it, and this is the end
                raise

    def said(self, piece: StreamPiece) -> Said:
        """Read an event."""
        stream, event = piece
        match event:
            case None:
                response = stream.get()
                usage = openai_usage(response.usage)
                return Said(skip=skip(response), finish=finish(response), usage=usage)
            case PartStartEvent(part=part):
                text = part.content if isinstance(part, TextPart) else ""
                return Said(text, skip=part_skip(part, stream.provider_name))
            case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
                return Said(text)
            case _:
                return Said()

    async def cancel(self) -> None:
        """Make no further call, and end those in progress."""
        self._cancelled = True
        for stream in self._open:
            await stream.cancel()

    def others(self, delivered: StreamedResponse | None) -> list[ModelRequestAttempt] | None:
        """Return the calls whose stream was not delivered, for the run's usage."""
        return self._tries.others(delivered)


class GuardedStream(StreamedResponse):
    """The stream that is delivered.

    Args:
        model: The wrapped model.
        parameters: Of the request.
        host: Of the request.
        first: What the guard delivers first.
        rest: And then.
    """

    def __init__(
        self,
        model: Model,
        parameters: ModelRequestParameters,
        host: StreamHost,
        first: Delivered,
        rest: AsyncGenerator[Delivered, None],
    ) -> None:
        super().__init__(parameters)
        self._model = model
        self._host = host
        self._first = first
        self._rest = rest
        self._source: StreamedResponse | None = None
        self._began = datetime.now(UTC)

    @override
    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        for event in self._events(self._first):
            yield event
        async for item in self._rest:
            for event in self._events(item):
                yield event

    def _events(self, item: Delivered) -> list[ModelResponseStreamEvent]:
        event: ModelResponseStreamEvent | None = None
        match item:
            case Piece():
                self._source, event = item.value
                self.state = self._source.state
            case Spoken():
                index = len(self._parts_manager.get_parts())
                event = PartStartEvent(index=index, part=TextPart(item.text))
            case Outcome():
                self.metadata = {"candor": item.to_dict()}
                self.failed_attempts = self._host.others(self._source)
        if event is None:
            return []
        self._parts_manager.apply_event(event)
        return [event]

    @override
    def get(self) -> ModelResponse:
        """Return what was delivered so far; the rest of it is the model's own response."""
        told = super().get()
        if self._source is None:
            return told
        whole = self._source.get()
        return replace(
            whole,
            parts=told.parts,
            state=told.state,
            metadata={**(whole.metadata or {}), **(told.metadata or {})} or None,
            failed_attempts=[*(whole.failed_attempts or ()), *(told.failed_attempts or ())] or None,
        )

    @override
    async def close_stream(self) -> None:
        """End the calls in progress."""
        await self._host.cancel()

    @property
    @override
    def usage(self) -> RequestUsage:
        """Usage of the delivered reply; that of other calls is in ``failed_attempts``."""
        return RequestUsage() if self._source is None else self._source.usage

    @property
    @override
    def model_name(self) -> str:
        """The model's name."""
        return self._model.model_name if self._source is None else self._source.model_name

    @property
    @override
    def provider_name(self) -> str | None:
        """The provider's name."""
        return self._model.system if self._source is None else self._source.provider_name

    @property
    @override
    def provider_url(self) -> str | None:
        """The provider's address."""
        return self._model.base_url if self._source is None else self._source.provider_url

    @property
    @override
    def timestamp(self) -> datetime:
        """When the reply began."""
        return self._began if self._source is None else self._source.timestamp
