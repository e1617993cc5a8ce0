"""Pydantic AI: a guarded model, and an output validator.

    agent = Agent(CandorModel("openai:gpt-5"))

    agent = Agent("openai:gpt-5", retries={"output": 1})
    agent.output_validator(honest_output(Guard()))

The model checks every answer in words, streams included, before the agent sees it; the record is
at ``response.metadata["candor"]``. The validator checks final text outputs and asks for another one
by `ModelRetry`: the flagged answer and the feedback stay in the message history.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

from typing_extensions import override

from candor_guard.conversation import Conversation
from candor_guard.errors import (
    ConfigurationError,
    DetectorError,
    MissingExtraError,
    ReplyRefusedError,
)
from candor_guard.guard import Guard
from candor_guard.integrations.hosting.guard import HostedGuard
from candor_guard.integrations.hosting.terms import Asked
from candor_guard.integrations.wishes import guard_of, kind_of
from candor_guard.outcome import refusal
from candor_guard.policy import Policy, better
from candor_guard.regeneration import find_instruction
from candor_guard.regeneration.strategies import plan
from candor_guard.verdict import Verdict

try:
    from pydantic_ai import ModelRetry, RunContext
    from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
    from pydantic_ai.models import KnownModelName, Model, ModelRequestParameters, StreamedResponse
    from pydantic_ai.models.wrapper import WrapperModel
    from pydantic_ai.settings import ModelSettings
except ImportError as error:
    raise MissingExtraError("the Pydantic AI integration", "pydantic-ai") from error

from candor_guard.integrations.pydantic_ai import hosts as pai
from candor_guard.integrations.pydantic_ai.messages import is_feedback, turns

_PLAIN = "reconsider-1"
_IDLE = (
    "honest_output() can do nothing in this run: it has no output retries (run_stream never has)."
    " Use CandorModel, or a run with retries"
)


class CandorModel(WrapperModel):
    """A model that answers as the wrapped one does, but for replies at fault.

    Replies that call tools, output tools included, pass as they are. Held streams are silent until
    they are released; others pass event by event as they come.

    Args:
        wrapped: A model, or its name.
        guard: Whose detector, policy, observers and budgets to use; its upstream is not called.
            Default: `Guard()`.
        policy: For a guard with the bundled detector, instead of `guard`.

    Raises:
        ConfigurationError: If `wrapped` is neither a model nor a name, or is guarded already; if
            both a guard and a policy are given.
    """

    def __init__(
        self,
        wrapped: Model | KnownModelName | str,
        guard: Guard | None = None,
        *,
        policy: Policy | None = None,
    ) -> None:
        if isinstance(wrapped, CandorModel):
            raise ConfigurationError("this model is guarded already")
        if not isinstance(wrapped, Model | str):
            raise ConfigurationError(
                f"CandorModel takes a Pydantic AI model or its name, not {kind_of(wrapped)}"
            )
        super().__init__(wrapped)
        self._hosted = HostedGuard(guard, policy)

    @override
    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Answer, guarded.

        Raises:
            ReplyRefusedError: If the policy refuses to deliver.
        """
        call = pai.Call(messages, model_settings, model_request_parameters)
        host = pai.RequestHost(self.wrapped, call)
        asked = call.asked(self.model_name, stream=False)
        response, outcome = await self._hosted.whole(asked, host)
        return host.recorded(response, outcome)

    @override
    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Answer as a stream, guarded; entered as soon as something is delivered.

        Raises:
            ReplyRefusedError: If the policy refuses to deliver.
        """
        call = pai.Call(messages, model_settings, model_request_parameters)
        host = pai.StreamHost(self.wrapped, call, run_context)
        asked = call.asked(self.model_name, stream=True)
        async with aclosing(self._hosted.reply(asked, host)) as items:
            # A model that fails to answer must fail here, where fallbacks look for it.
            first = await anext(items)
            yield pai.GuardedStream(self.wrapped, model_request_parameters, host, first, items)


def honest_output(
    guard: Guard | None = None, *, policy: Policy | None = None
) -> Callable[[RunContext[Any], Any], Awaitable[Any]]:
    """Return an output validator that asks for another answer when one is at fault.

    Text outputs are checked, whole ones only; others pass. It asks at most ``policy.max_attempts``
    times, and never more often than the agent's ``retries`` allow for outputs; then the best answer
    is returned or, with ``on_unresolved: refuse``, none. ``run_stream`` allows no retries: there it
    can only refuse, and warns once when it may not. It asks no probe and calls no observers: they
    belong to whole guarded requests (`CandorModel`).

    Args:
        guard: Whose detector and policy to use. Default: `Guard()`.
        policy: For a guard with the bundled detector, instead of `guard`.

    Raises:
        ConfigurationError: If both a guard and a policy are given, or one is of another class.
    """
    own = guard_of(guard, policy)
    told = False

    async def honest(context: RunContext[Any], output: Any) -> Any:
        nonlocal told
        if context.partial_output or not isinstance(output, str):
            return output
        if not told and _is_idle(own.policy, context):
            told = True
            warnings.warn(_IDLE, stacklevel=2)
        # In a thread: a detector may compute for longer than an event loop may wait.
        return await asyncio.to_thread(_settled, own, context, output)

    return honest


def _is_idle(policy: Policy, context: RunContext[Any]) -> bool:
    """Whether no answer can be replaced or refused here, although the policy wants it."""
    wants = policy.mode == "enforce" and policy.max_attempts > 0
    return wants and policy.on_unresolved != "refuse" and context.max_retries == 0


def _settled(guard: Guard, context: RunContext[Any], output: str) -> str:
    """Return the answer to deliver; raises `ModelRetry` to get another one."""
    messages, earlier = _before(context.messages)
    request = Asked(turns(messages), "").parsed()
    policy = guard.policy
    if policy.mode != "enforce" or request.skip is not None:
        return output
    asked = request.payload["messages"]
    try:
        if not guard.gate(asked).at_risk:
            return output
        replies = [*earlier, output]
        verdicts = guard.check_many({"messages": asked, "reply": reply} for reply in replies)
    except DetectorError:
        if policy.on_detector_error == "refuse":
            raise _refusal("detector_error", None) from None
        return output
    if not verdicts[-1].flagged:
        return output
    if context.retry < min(policy.max_attempts, context.max_retries):
        raise ModelRetry(_note(policy, request.conversation, verdicts[-1], context.retry))
    best = 0
    for index, verdict in enumerate(verdicts):
        best = index if better(verdicts[best], verdict) else best
    if policy.on_unresolved == "refuse":
        raise _refusal("unresolved", verdicts[best])
    return replies[best]


def _before(messages: list[ModelMessage]) -> tuple[list[ModelMessage], list[str]]:
    """Return the history up to the turn that is answered, and the answers that were rejected."""
    kept = list(messages)
    earlier: list[str] = []
    if kept and isinstance(kept[-1], ModelResponse):
        kept.pop()
    while len(kept) > 1 and is_feedback(kept[-1]) and isinstance(kept[-2], ModelResponse):
        rejected = kept[-2]
        earlier.insert(0, "".join(p.content for p in rejected.parts if isinstance(p, TextPart)))
        del kept[-2:]
    return kept, earlier


def _note(policy: Policy, conversation: Conversation, verdict: Verdict, number: int) -> str:
    """Return the wording of the policy for this attempt; the user's turn stays as it is."""
    if policy.instruction is not None:
        return find_instruction(policy.instruction).text
    label = max(sorted(verdict.labels), key=verdict.gap)
    edits = (plan(name, conversation, None) for name in policy.order(label))
    notes = [edit.note for edit in edits if edit is not None and edit.replacement is None]
    return notes[min(number, len(notes) - 1)] if notes else find_instruction(_PLAIN).text


def _refusal(code: str, verdict: Verdict | None) -> ReplyRefusedError:
    labels = sorted(verdict.labels) if verdict is not None else []
    candor: dict[str, object] = {"action": "block", "labels": labels}
    return refusal(code, candor)


__all__ = ["CandorModel", "honest_output"]
