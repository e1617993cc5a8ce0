"""LangChain's models as hosts of the guard, and what is delivered in its own objects."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar, cast

from langchain.agents.middleware import ModelRequest, ModelResponse
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    SystemMessage,
)
from langchain_core.messages.ai import UsageMetadata, subtract_usage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.constants import TAG_NOSTREAM

from candor_guard.errors import ConfigurationError
from candor_guard.integrations.hosting.guard import HostedGuard
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
from candor_guard.integrations.langchain.heard import Results, Spent, plus
from candor_guard.integrations.langchain.messages import changed, said
from candor_guard.integrations.wishes import kind_of
from candor_guard.outcome import Outcome
from candor_guard.sync import Worker, in_thread

Model = Runnable[Any, AIMessage]
MessageT = TypeVar("MessageT", bound=BaseMessage)
_Way = Callable[[Model, list[Any], RunnableConfig, dict[str, Any]], AsyncGenerator[AIMessage, None]]
_Handler = Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]


# -- the hosts -----------------------------------------------------------------------------------


class ModelHost:
    """One call of a chat model; its pieces are messages, or chunks of one."""

    def __init__(
        self, model: Model, messages: Sequence[BaseMessage], way: _Way, options: dict[str, Any]
    ) -> None:
        self._model = model
        self._messages = messages
        self._way = way
        self._options = options
        self.spent = Spent()
        self.results = Results()

    async def call(self, change: Change) -> AsyncGenerator[AIMessage, None]:
        """Call the model as the engine wants; its own messages."""
        model, way, options = self._model, self._way, self._options
        if isinstance(change, Side):
            # What is bound to the model (tools, a format) is not for this question.
            model, way, options = getattr(model, "bound", model), _UNSTREAMED.get(way, way), {}
        # Nobody else may listen in: a token that was not judged would leave by callback. The context
        # is this call's own (its task's); a binding takes callbacks from there whatever it is told.
        config = RunnableConfig(callbacks=[self.results])
        inherited = var_child_runnable_config.get() or RunnableConfig()
        var_child_runnable_config.set({**inherited, "callbacks": [self.results]})
        called = way(model, changed(self._messages, change), config, options)
        told = False
        async with aclosing(called) as messages:
            async for message in messages:
                if not isinstance(message, AIMessage):
                    raise ConfigurationError(
                        f"guard() takes a LangChain chat model; this one answers with {kind_of(message)}"
                    )
                told = self.spent.add(message) or told
                yield message
        self.spent.end(told=told)

    def said(self, piece: AIMessage) -> Said:
        """Read a message; one of several cannot be judged for all of them."""
        heard = said(piece)
        return replace(heard, skip="n") if len(self.results.choices(piece)) > 1 else heard


class AgentHost:
    """One model call of an agent."""

    def __init__(self, request: ModelRequest[Any], handler: _Handler, *, quiet: bool) -> None:
        self._request = request
        self._handler = handler
        self._quiet = quiet
        self.spent = Spent()

    async def call(self, change: Change) -> AsyncGenerator[ModelResponse[Any], None]:
        """Call the model as the engine wants; the agent's own response."""
        request = self._request
        if self._quiet or not isinstance(change, Original):
            request = request.override(model=_silent(request.model))
        messages = changed(request.messages, change)
        if isinstance(change, Side):
            request = request.override(
                system_message=SystemMessage(change.system), messages=messages[1:], tools=[],
                tool_choice=None, response_format=None,
            )  # fmt: skip
        elif isinstance(change, Edited):
            request = request.override(messages=messages)
        response = await self._handler(request)
        self.spent.end(told=self.spent.add(_answer(response)))
        yield response

    def said(self, piece: ModelResponse[Any]) -> Said:
        """Read a response."""
        answer = _answer(piece)
        return Said(skip="tool_calls") if answer is None else said(answer)


def _silent(model: BaseChatModel) -> BaseChatModel:
    """Return the model without what shows its tokens to the agent's caller before their time."""
    tags = [*(model.tags or []), TAG_NOSTREAM]
    return model.model_copy(update={"tags": tags, "disable_streaming": True})


def _answer(response: ModelResponse[Any]) -> AIMessage | None:
    return next((m for m in response.result if isinstance(m, AIMessage)), None)


# -- ways to call a model ------------------------------------------------------------------------


async def ainvoked(
    model: Model, messages: list[Any], config: RunnableConfig, options: dict[str, Any]
) -> AsyncGenerator[AIMessage, None]:
    """Call ``ainvoke``."""
    yield await model.ainvoke(messages, config, **options)


async def invoked(
    model: Model, messages: list[Any], config: RunnableConfig, options: dict[str, Any]
) -> AsyncGenerator[AIMessage, None]:
    """Call ``invoke``, in a thread."""
    yield await in_thread(partial(model.invoke, messages, config, **options))


async def astreamed(
    model: Model, messages: list[Any], config: RunnableConfig, options: dict[str, Any]
) -> AsyncGenerator[AIMessage, None]:
    """Call ``astream``."""
    chunks: Any = model.astream(messages, config, **options)
    async with aclosing(chunks):
        async for chunk in chunks:
            yield chunk


async def streamed(
    model: Model, messages: list[Any], config: RunnableConfig, options: dict[str, Any]
) -> AsyncGenerator[AIMessage, None]:
    """Call ``stream``, in a thread."""
    chunks: Any = model.stream(messages, config, **options)
    worker = Worker()
    try:
        while (chunk := await worker.run(partial(next, chunks, None))) is not None:
            yield chunk
    finally:
        worker.finish(getattr(chunks, "close", None))


_UNSTREAMED: Final[dict[_Way, _Way]] = {streamed: invoked, astreamed: ainvoked}


# -- what is delivered ------------------------------------------------------------------------------


def with_record(
    response: ModelResponse[Any], outcome: Outcome, total: UsageMetadata | None
) -> ModelResponse[Any]:
    """Return the response with the record in its answer."""
    answer = _answer(response)
    result = [_marked(m, outcome, total) if m is answer else m for m in response.result]
    return ModelResponse(result, response.structured_response)


def _marked(message: MessageT, outcome: Outcome, total: UsageMetadata | None) -> MessageT:
    """Return the message with the record, and the usage of all calls that it took."""
    metadata = {**message.response_metadata, "candor": outcome.to_dict()}
    return message.model_copy(update={"response_metadata": metadata, "usage_metadata": total})


async def result(hosted: HostedGuard, asked: Asked, host: ModelHost) -> ChatResult:
    """Return the delivered reply, with the record; where it has other choices, these as they are."""
    message, outcome = await hosted.whole(asked, host)
    first, *others = host.results.choices(message)
    marked = _marked(first.message, outcome, host.spent.total)
    first = first.model_copy(update={"message": marked})
    return ChatResult(generations=[first, *others], llm_output=host.results.output(message))


async def chunks(
    hosted: HostedGuard, asked: Asked, host: ModelHost
) -> AsyncGenerator[ChatGenerationChunk, None]:
    """Yield the delivered reply in chunks, the record in the last one."""
    latest = AIMessageChunk(content="")
    told: UsageMetadata | None = None
    async with aclosing(hosted.reply(asked, host)) as items:
        async for item in items:
            match item:
                case Piece():
                    latest, told = _as_chunk(item.value), plus(told, item.value)
                    yield ChatGenerationChunk(message=latest)
                case Spoken():
                    yield ChatGenerationChunk(message=_after(latest, item.text))
                case Outcome():
                    end = _after(latest, "")
                    end.response_metadata = {"candor": item.to_dict()}
                    # Chunks add up: what is left to tell is the usage of the other calls.
                    total = host.spent.total
                    end.usage_metadata = subtract_usage(total, told) if total else None
                    end.chunk_position = "last"
                    yield ChatGenerationChunk(message=end)


def _as_chunk(message: AIMessage) -> AIMessageChunk:
    """Return a chunk; a model that cannot stream gives a whole message instead."""
    if not isinstance(message, AIMessageChunk):
        return AIMessageChunk(**message.model_dump(exclude={"type"}))
    if message.chunk_position == "last":  # the last is ours
        return message.model_copy(update={"chunk_position": None})
    return message


def _after(latest: AIMessageChunk, text: str) -> AIMessageChunk:
    """Return a further chunk, its content of the kind of the ones before."""
    if isinstance(latest.content, str):
        return AIMessageChunk(content=text, id=latest.id)
    return AIMessageChunk(content=[{"type": "text", "text": text}] if text else [], id=latest.id)


def name_of(model: Any) -> str:
    """Return a model's name, or that of its class."""
    names = (getattr(model, field, None) for field in ("model_name", "model"))
    return next((name for name in names if isinstance(name, str)), type(model).__name__)


def told_by(
    model: Any, method: str, stop: list[str] | None, options: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """Return what a model tells traces of a call, bound or not; None: it tells nothing."""
    tell = getattr(getattr(model, "bound", model), method, None)
    bound = getattr(model, "kwargs", {})
    return None if tell is None else cast("Mapping[str, Any]", tell(stop, **{**bound, **options}))
