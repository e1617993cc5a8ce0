"""What a model's calls give beside the message that is returned of each: the rest, and the cost."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.outputs import ChatGeneration, LLMResult
from typing_extensions import override


class Results(BaseCallbackHandler):
    """Hears whole results: ``invoke`` returns the first choice and says nothing of the others."""

    run_inline = True  # heard before the call returns, and in no thread

    def __init__(self) -> None:
        self._found: dict[UUID, LLMResult] = {}

    @property
    @override
    def ignore_chat_model(self) -> bool:
        return True  # of the beginning: nobody has to write the messages down for it

    @override
    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Keep a result; a model with something bound to it tells each twice."""
        self._found[run_id] = response

    def choices(self, message: AIMessage) -> list[ChatGeneration]:
        """Return all that the model said when it said this, in its own order."""
        return _choices(self._of(message)) or [ChatGeneration(message=message)]

    def output(self, message: AIMessage) -> dict[str, Any] | None:
        """Return what the model's package says of the call that this message comes from."""
        result = self._of(message)
        return None if result is None else result.llm_output

    def _of(self, message: AIMessage) -> LLMResult | None:
        for found in self._found.values():
            if any(choice.message is message for choice in _choices(found)):
                return found
        return None


def _choices(result: LLMResult | None) -> list[ChatGeneration]:
    listed = result.generations[0] if result is not None else []
    return [choice for choice in listed if isinstance(choice, ChatGeneration)]


def combined(model: Any, outputs: list[dict[str, Any] | None]) -> dict[str, Any]:
    """Return the outputs of several requests as one, as the model itself does, bound or not."""
    combine = getattr(getattr(model, "bound", model), "_combine_llm_outputs", None)
    return dict(combine(outputs)) if combine is not None else {}


class Spent:
    """What the calls of one request used."""

    def __init__(self) -> None:
        self._sum: UsageMetadata | None = None
        self._silent = False

    @property
    def total(self) -> UsageMetadata | None:
        """The sum; None when a call did not tell: the others alone would pass for all."""
        return None if self._silent else self._sum

    def add(self, message: AIMessage | None) -> bool:
        """Add what a message tells; returns whether it told anything."""
        self._sum = plus(self._sum, message)
        return message is not None and message.usage_metadata is not None

    def end(self, *, told: bool) -> None:
        """A call is over."""
        self._silent = self._silent or not told


def plus(total: UsageMetadata | None, message: AIMessage | None) -> UsageMetadata | None:
    """Return the total and what the message used."""
    usage = message.usage_metadata if message is not None else None
    return add_usage(total, usage) if total or usage else None
