"""LangChain: a guarded chat model, and a middleware for agents.

    model = guard(init_chat_model("openai:gpt-5"))
    agent = create_agent("openai:gpt-5", tools, middleware=[CandorMiddleware()])

Both check the model's answers in words and replace one that is at fault; answers that call tools
pass as they are. The record is at ``message.response_metadata["candor"]``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, cast

from pydantic import Field
from typing_extensions import override

from candor_guard.errors import ConfigurationError, MissingExtraError
from candor_guard.guard import Guard
from candor_guard.integrations.hosting.guard import HostedGuard
from candor_guard.integrations.hosting.terms import Asked
from candor_guard.integrations.wishes import kind_of
from candor_guard.policy import Policy
from candor_guard.sync import in_thread

try:
    from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.language_models import BaseChatModel
    from langchain_core.language_models.base import LangSmithParams
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import ChatGenerationChunk, ChatResult
    from langchain_core.runnables import Runnable
except ImportError as error:
    raise MissingExtraError("the LangChain integration", "langchain") from error

from candor_guard.integrations.langchain import hosts as lc
from candor_guard.integrations.langchain.formats import demanded
from candor_guard.integrations.langchain.heard import combined
from candor_guard.integrations.langchain.messages import turns

Model = lc.Model
_Handler = Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]


def guard(
    model: Model, guard: Guard | None = None, *, policy: Policy | None = None
) -> CandorChatModel:
    """Return a chat model that answers as `model` does, but for replies at fault.

    It invokes, streams, batches and binds tools like any other chat model. Held streams are silent
    until they are released and then complete; others pass chunk by chunk as they come.

    Args:
        model: A chat model, or one with something bound to it.
        guard: Whose detector, policy, observers and budgets to use; its upstream is not called.
            Default: `Guard()`.
        policy: For a guard with the bundled detector, instead of `guard`.

    Raises:
        ConfigurationError: If `model` is no LangChain model, or is guarded already; if both a
            guard and a policy are given.
    """
    if isinstance(model, CandorChatModel):
        raise ConfigurationError("this model is guarded already")
    if not isinstance(model, Runnable):
        raise ConfigurationError(f"guard() takes a LangChain chat model, not {kind_of(model)}")
    return _wrapped(model, HostedGuard(guard, policy))


class CandorChatModel(BaseChatModel):
    """What `guard` returns."""

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
    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        # Traces reckon costs by the provider and the name of the model that is really called.
        told = lc.told_by(self.inner, "_get_ls_params", stop, kwargs)
        mine = super()._get_ls_params(stop, **kwargs)
        return mine if told is None else cast("LangSmithParams", told)

    @override
    def _get_invocation_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        told = lc.told_by(self.inner, "_get_invocation_params", stop, kwargs)
        return super()._get_invocation_params(stop, **kwargs) if told is None else dict(told)

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
    def _combine_llm_outputs(self, outputs: list[dict[str, Any] | None], /) -> dict[str, Any]:
        return combined(self.inner, outputs)

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        host = lc.ModelHost(self.inner, messages, lc.invoked, _options(stop, kwargs))
        return self.hosted.portal.call(lc.result, self.hosted, self._asked(messages, kwargs), host)

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        host = lc.ModelHost(self.inner, messages, lc.ainvoked, _options(stop, kwargs))
        return await lc.result(self.hosted, self._asked(messages, kwargs), host)

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        host = lc.ModelHost(self.inner, messages, lc.streamed, _options(stop, kwargs))
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
        host = lc.ModelHost(self.inner, messages, lc.astreamed, _options(stop, kwargs))
        asked = self._asked(messages, kwargs, stream=True)
        async with aclosing(lc.chunks(self.hosted, asked, host)) as chunks:
            async for chunk in chunks:
                if run_manager:
                    await run_manager.on_llm_new_token(str(chunk.text), chunk=chunk)
                yield chunk

    def _asked(
        self, messages: Sequence[BaseMessage], kwargs: dict[str, Any], *, stream: bool = False
    ) -> Asked:
        form = demanded(self.inner, kwargs)
        return Asked(turns(messages), self.model_name, stream, form)


class CandorMiddleware(AgentMiddleware[Any, Any, Any]):
    """Checks an agent's final answers; put it last, so that it sees what other middleware made.

    While the reply to a turn at risk is read, its tokens are kept out of ``stream_mode="messages"``
    (the checked message then comes whole); callers that need its tokens as they are released put
    `guard` around the agent's model instead.

    Args:
        guard: Whose detector, policy, observers and budgets to use; its upstream is not called.
            Default: `Guard()`.
        policy: For a guard with the bundled detector, instead of `guard`.

    Raises:
        ConfigurationError: If both a guard and a policy are given, or one is of another class.
    """

    def __init__(self, guard: Guard | None = None, *, policy: Policy | None = None) -> None:
        super().__init__()
        self._hosted = HostedGuard(guard, policy)

    @override
    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Guard one model call.

        Raises:
            ReplyRefusedError: If the policy refuses to deliver.
        """
        return self._hosted.portal.call(self._guarded, request, _in_threads(handler))

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
        form = demanded(request.model, request.model_settings)
        heard = turns([*first, *request.messages])
        asked = Asked(heard, lc.name_of(request.model), response_format=form)
        quiet = await asyncio.to_thread(self._hosted.holds, asked)
        host = lc.AgentHost(request, handler, quiet=quiet)
        response, outcome = await self._hosted.whole(asked, host)
        return lc.with_record(response, outcome, host.spent.total)


def _options(stop: list[str] | None, kwargs: dict[str, Any]) -> dict[str, Any]:
    # Not every runnable that passes for a model knows the word.
    return kwargs if stop is None else {"stop": stop, **kwargs}


def _in_threads(handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]) -> _Handler:
    async def called(request: ModelRequest[Any]) -> ModelResponse[Any]:
        return await in_thread(partial(handler, request))

    return called


def _wrapped(model: Model, hosted: HostedGuard) -> CandorChatModel:
    # No cache in front of the guard: the wrapped model's own is asked before each of its calls.
    profile = getattr(model, "profile", None)
    return CandorChatModel(inner=model, hosted=hosted, cache=False, profile=profile)


__all__ = ["CandorChatModel", "CandorMiddleware", "guard"]
