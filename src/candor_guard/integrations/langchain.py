"""LangChain: a guarded chat model, and a middleware for agents.

    model = guarded(init_chat_model("openai:gpt-5"))
    agent = create_agent("openai:gpt-5", tools, middleware=[CandorMiddleware()])

Both check the model's answers in words and replace one that is at fault; answers that call tools
pass as they are. The record is at ``message.response_metadata["candor"]``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from pydantic import Field
from typing_extensions import override

from candor_guard.errors import ConfigurationError, MissingExtraError
from candor_guard.guard import Guard
from candor_guard.integrations._host import Asked
from candor_guard.integrations._hosted import HostedGuard

try:
    from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import ChatGenerationChunk, ChatResult
    from langchain_core.runnables import Runnable
except ImportError as error:
    raise MissingExtraError("the LangChain integration", "langchain") from error

from candor_guard.integrations import _langchain as lc

Model = lc.Model
_Handler = Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]


def guarded(model: Model, guard: Guard | None = None) -> CandorChatModel:
    """Return a chat model that answers as `model` does, but for replies at fault.

    It invokes, streams, batches and binds tools like any other chat model. Held streams are silent
    until they are released and then complete; others pass chunk by chunk as they come.

    Args:
        model: A chat model, or one with something bound to it.
        guard: Whose detector, policy, observers and budgets to use; default: `Guard()`.

    Raises:
        ConfigurationError: If `model` is no LangChain model or `guard` no `Guard`.
    """
    if isinstance(model, CandorChatModel):
        raise ConfigurationError("this model is guarded already")
    if not isinstance(model, Runnable):
        kind = type(model).__name__
        raise ConfigurationError(f"model must be a LangChain chat model, not {kind}")
    return _wrapped(model, HostedGuard(guard))


class CandorChatModel(BaseChatModel):
    """What `guarded` returns."""

    inner: Any = Field(repr=False, exclude=True)
    hosted: HostedGuard = Field(repr=False, exclude=True)

    @property
    def model_name(self) -> str:
        """The wrapped model's name."""
        return lc.name_of(self.inner)

    @property
    @override
    def _llm_type(self) -> str:
        return "candor-guard"

    @property
    @override
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name}

    @override
    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> CandorChatModel:
        """Return a guarded model whose replies may call these tools."""
        return _wrapped(self.inner.bind_tools(tools, **kwargs), self.hosted)

    @override
    def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
        """Return the wrapped model's structured output, unguarded: it is data, not an answer."""
        return self.inner.with_structured_output(schema, **kwargs)

    @override
    def get_num_tokens(self, text: str) -> int:
        """Count as the wrapped model does."""
        return int(self.inner.get_num_tokens(text))

    @override
    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Any = None) -> int:
        """Count as the wrapped model does."""
        return int(self.inner.get_num_tokens_from_messages(messages, tools))

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        host = lc.ModelHost(self.inner, messages, lc.invoked, {"stop": stop, **kwargs})
        return self.hosted.portal.call(lc.result, self.hosted, self._asked(messages, kwargs), host)

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        host = lc.ModelHost(self.inner, messages, lc.ainvoked, {"stop": stop, **kwargs})
        return await lc.result(self.hosted, self._asked(messages, kwargs), host)

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        host = lc.ModelHost(self.inner, messages, lc.streamed, {"stop": stop, **kwargs})
        chunks = lc.chunks(self.hosted, self._asked(messages, kwargs, stream=True), host)
        for chunk in self.hosted.portal.iterate(chunks):
            if run_manager:
                run_manager.on_llm_new_token(str(chunk.text), chunk=chunk)
            yield chunk

    @override
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        host = lc.ModelHost(self.inner, messages, lc.astreamed, {"stop": stop, **kwargs})
        asked = self._asked(messages, kwargs, stream=True)
        async with aclosing(lc.chunks(self.hosted, asked, host)) as chunks:
            async for chunk in chunks:
                if run_manager:
                    await run_manager.on_llm_new_token(str(chunk.text), chunk=chunk)
                yield chunk

    def _asked(
        self, messages: Sequence[BaseMessage], kwargs: dict[str, Any], *, stream: bool = False
    ) -> Asked:
        bound = {**getattr(self.inner, "kwargs", {}), **kwargs}
        form = bound.get("response_format")
        form = form if isinstance(form, dict) else None
        return Asked(lc.turns(messages), self.model_name, stream, form)


class CandorMiddleware(AgentMiddleware[Any, Any, Any]):
    """Checks an agent's final answers; put it last, so that it sees what other middleware made.

    While the reply to a turn at risk is read, its tokens are kept out of ``stream_mode="messages"``
    (the checked message then comes whole); callers that need its tokens as they are released put
    `guarded` around the agent's model instead.

    Args:
        guard: Whose detector, policy, observers and budgets to use; default: `Guard()`.

    Raises:
        ConfigurationError: If it is no `Guard`.
    """

    def __init__(self, guard: Guard | None = None) -> None:
        super().__init__()
        self._hosted = HostedGuard(guard)

    @override
    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Guard one model call.

        Raises:
            ReplyRefusedError: If the policy refuses to deliver.
        """
        return self._hosted.portal.call(self._guarded, request, partial(lc.in_thread, handler))

    @override
    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: _Handler
    ) -> ModelResponse[Any]:
        """Guard one model call.

        Raises:
            ReplyRefusedError: If the policy refuses to deliver.
        """
        return await self._guarded(request, handler)

    async def _guarded(self, request: ModelRequest[Any], handler: _Handler) -> ModelResponse[Any]:
        first = [] if request.system_message is None else [request.system_message]
        asked = Asked(lc.turns([*first, *request.messages]), lc.name_of(request.model))
        quiet = await asyncio.to_thread(self._hosted.holds, asked)
        host = lc.AgentHost(request, handler, quiet=quiet)
        response, outcome = await self._hosted.whole(asked, host)
        return lc.with_record(response, outcome, host.total)


def _wrapped(model: Model, hosted: HostedGuard) -> CandorChatModel:
    # No cache in front of the guard: the wrapped model's own is asked before each of its calls.
    profile = getattr(model, "profile", None)
    return CandorChatModel(inner=model, hosted=hosted, cache=False, profile=profile)
