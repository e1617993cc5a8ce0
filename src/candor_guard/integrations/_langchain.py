"""LangChain's models as hosts of the guard, and its messages in the detectors' terms and back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from contextvars import copy_context
from functools import partial
from typing import Any, Final, TypeVar

from candor_guard.conversation import Message, text_of
from candor_guard.errors import MissingExtraError
from candor_guard.integrations._host import (
    Asked,
    Change,
    Edited,
    Original,
    Piece,
    Said,
    Side,
    Spoken,
)
from candor_guard.integrations._hosted import HostedGuard
from candor_guard.outcome import Outcome
from candor_guard.sync import Worker

try:
    from langchain.agents.middleware import ModelRequest, ModelResponse
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import (
        AIMessage,
        AIMessageChunk,
        BaseMessage,
        ChatMessage,
        HumanMessage,
        SystemMessage,
        ToolMessage,
    )
    from langchain_core.messages.ai import UsageMetadata, add_usage, subtract_usage
    from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
    from langchain_core.runnables import Runnable, RunnableConfig
    from langchain_core.runnables.config import var_child_runnable_config
    from langgraph.constants import TAG_NOSTREAM
except ImportError as error:
    raise MissingExtraError("the LangChain integration", "langchain") from error

Model = Runnable[Any, AIMessage]
ResultT = TypeVar("ResultT")
MessageT = TypeVar("MessageT", bound=BaseMessage)
_Way = Callable[[Model, list[Any], RunnableConfig, dict[str, Any]], AsyncGenerator[AIMessage, None]]
_Handler = Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]

_ROLES: Final[tuple[tuple[type[BaseMessage], str], ...]] = (
    (AIMessage, "assistant"), (HumanMessage, "user"), (SystemMessage, "system"),
    (ToolMessage, "tool"),
)  # fmt: skip
_FINISH: Final = {
    "length": "length", "max_tokens": "length", "max_output_tokens": "length",
    "model_length": "length", "incomplete": "length", "content_filter": "content_filter",
    "safety": "content_filter", "refusal": "content_filter", "tool_calls": "tool_calls",
    "tool_use": "tool_calls", "function_call": "tool_calls",
}  # fmt: skip


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
        self.total: UsageMetadata | None = None

    async def call(self, change: Change) -> AsyncGenerator[AIMessage, None]:
        model, way, options = self._model, self._way, self._options
        if isinstance(change, Side):
            # What is bound to the model (tools, a format) is not for this question.
            model, way, options = getattr(model, "bound", model), _UNSTREAMED.get(way, way), {}
        # Nobody may listen in: a token that was not judged would leave by callback. The context is
        # this call's own (its task's); a binding takes callbacks from there whatever it is told.
        config = RunnableConfig(callbacks=[])
        inherited = var_child_runnable_config.get() or RunnableConfig()
        var_child_runnable_config.set({**inherited, "callbacks": []})
        called = way(model, _changed(self._messages, change), config, options)
        async with aclosing(called) as messages:
            async for message in messages:
                self.total = _plus(self.total, message)
                yield message

    def said(self, piece: AIMessage) -> Said:
        return _said(piece)


class AgentHost:
    """One model call of an agent."""

    def __init__(self, request: ModelRequest[Any], handler: _Handler, *, quiet: bool) -> None:
        self._request = request
        self._handler = handler
        self._quiet = quiet
        self.total: UsageMetadata | None = None

    async def call(self, change: Change) -> AsyncGenerator[ModelResponse[Any], None]:
        request = self._request
        if self._quiet or not isinstance(change, Original):
            request = request.override(model=_silent(request.model))
        messages = _changed(request.messages, change)
        if isinstance(change, Side):
            request = request.override(
                system_message=SystemMessage(change.system), messages=messages[1:], tools=[],
                tool_choice=None, response_format=None,
            )  # fmt: skip
        elif isinstance(change, Edited):
            request = request.override(messages=messages)
        response = await self._handler(request)
        self.total = _plus(self.total, _answer(response))
        yield response

    def said(self, piece: ModelResponse[Any]) -> Said:
        answer = _answer(piece)
        return Said(tools=True) if answer is None else _said(answer)


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
    yield await model.ainvoke(messages, config, **options)


async def invoked(
    model: Model, messages: list[Any], config: RunnableConfig, options: dict[str, Any]
) -> AsyncGenerator[AIMessage, None]:
    yield await in_thread(model.invoke, messages, config, **options)


async def astreamed(
    model: Model, messages: list[Any], config: RunnableConfig, options: dict[str, Any]
) -> AsyncGenerator[AIMessage, None]:
    chunks: Any = model.astream(messages, config, **options)
    async with aclosing(chunks):
        async for chunk in chunks:
            yield chunk


async def streamed(
    model: Model, messages: list[Any], config: RunnableConfig, options: dict[str, Any]
) -> AsyncGenerator[AIMessage, None]:
    chunks: Any = model.stream(messages, config, **options)
    worker, context = Worker(), copy_context()
    try:
        while (chunk := await worker.run(partial(context.run, next, chunks, None))) is not None:
            yield chunk
    finally:
        worker.finish(chunks.close)


async def in_thread(call: Callable[..., ResultT], *args: Any, **options: Any) -> ResultT:
    """Make a blocking call in a thread of its own: a pool's size would bound a batch's."""
    worker = Worker()
    try:
        return await worker.run(partial(copy_context().run, partial(call, *args, **options)))
    finally:
        worker.finish(lambda: None)


_UNSTREAMED: Final[dict[_Way, _Way]] = {streamed: invoked, astreamed: ainvoked}


# -- messages there and back ---------------------------------------------------------------------


def turns(messages: Sequence[BaseMessage]) -> list[Message]:
    return [Message(_role(m), *text_of(m.content)) for m in messages]


def _role(message: BaseMessage) -> str:
    if isinstance(message, ChatMessage):
        return message.role
    return next((role for kind, role in _ROLES if isinstance(message, kind)), message.type)


def _changed(messages: Sequence[Any], change: Change) -> list[Any]:
    match change:
        case Original():
            return list(messages)
        case Side():
            return [SystemMessage(change.system), HumanMessage(change.user)]
        case Edited():
            last = messages[-1]
            return [*messages[:-1], last.model_copy(update={"content": _content(last, change)})]


def _content(message: BaseMessage, change: Edited) -> str | list[Any]:
    if change.note is None or isinstance(message.content, str):
        return change.text
    return [*message.content, {"type": "text", "text": change.note}]


def _said(message: AIMessage) -> Said:
    chunks = message.tool_call_chunks if isinstance(message, AIMessageChunk) else ()
    return Said(
        text=str(message.text),
        tools=bool(message.tool_calls or message.invalid_tool_calls or chunks),
        refusal=_declines(message),
        finish=_finish(message.response_metadata),
        usage=_openai_usage(message.usage_metadata),
    )


def _declines(message: AIMessage) -> bool:
    parts = message.content if isinstance(message.content, list) else ()
    in_parts = any(isinstance(part, dict) and part.get("type") == "refusal" for part in parts)
    return in_parts or bool(message.additional_kwargs.get("refusal"))


def _finish(metadata: dict[str, Any]) -> str | None:
    """Say in OpenAI's words why a reply ended; the providers have words of their own."""
    reasons = (metadata.get(key) for key in ("finish_reason", "stop_reason", "status"))
    reason = next((str(reason).lower() for reason in reasons if reason), None)
    return None if reason is None else _FINISH.get(reason, "stop")


def _openai_usage(usage: UsageMetadata | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    told, made = usage.get("input_token_details", {}), usage.get("output_token_details", {})
    result: dict[str, Any] = {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
    }
    if "cache_read" in told:
        result["prompt_tokens_details"] = {"cached_tokens": told["cache_read"]}
    if "reasoning" in made:
        result["completion_tokens_details"] = {"reasoning_tokens": made["reasoning"]}
    return result


def with_record(
    response: ModelResponse[Any], outcome: Outcome, total: UsageMetadata | None
) -> ModelResponse[Any]:
    """Return the response with the record in its answer."""
    answer = _answer(response)
    result = [_marked(m, outcome, total) if m is answer else m for m in response.result]
    return ModelResponse(result, response.structured_response)


def _plus(total: UsageMetadata | None, message: AIMessage | None) -> UsageMetadata | None:
    usage = message.usage_metadata if message is not None else None
    return add_usage(total, usage) if total or usage else None


def _marked(message: MessageT, outcome: Outcome, total: UsageMetadata | None) -> MessageT:
    """Return the message with the record, and the usage of all calls that it took."""
    metadata = {**message.response_metadata, "candor": outcome.to_dict()}
    return message.model_copy(update={"response_metadata": metadata, "usage_metadata": total})


async def result(hosted: HostedGuard, asked: Asked, host: ModelHost) -> ChatResult:
    message, outcome = await hosted.whole(asked, host)
    return ChatResult(generations=[ChatGeneration(message=_marked(message, outcome, host.total))])


async def chunks(
    hosted: HostedGuard, asked: Asked, host: ModelHost
) -> AsyncGenerator[ChatGenerationChunk, None]:
    latest = AIMessageChunk(content="")
    told: UsageMetadata | None = None
    async with aclosing(hosted.reply(asked, host)) as items:
        async for item in items:
            match item:
                case Piece():
                    latest, told = _as_chunk(item.value), _plus(told, item.value)
                    yield ChatGenerationChunk(message=latest)
                case Spoken():
                    yield ChatGenerationChunk(message=_after(latest, item.text))
                case Outcome():
                    end = _after(latest, "")
                    end.response_metadata = {"candor": item.to_dict()}
                    # Chunks add up: what is left to tell is the usage of the other calls.
                    end.usage_metadata = subtract_usage(host.total, told) if host.total else None
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
    names = (getattr(model, field, None) for field in ("model_name", "model"))
    return next((name for name in names if isinstance(name, str)), type(model).__name__)
