"""LangChain's messages in the detectors' terms and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.ai import UsageMetadata

from candor_guard.conversation import Message, text_of
from candor_guard.integrations.hosting.terms import Change, Edited, Original, Said, Side

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


def turns(messages: Sequence[BaseMessage]) -> list[Message]:
    """Return messages as the detectors read them."""
    return [Message(_role(m), *text_of(m.content)) for m in messages]


def _role(message: BaseMessage) -> str:
    if isinstance(message, ChatMessage):
        return message.role
    return next((role for kind, role in _ROLES if isinstance(message, kind)), message.type)


def changed(messages: Sequence[Any], change: Change) -> list[Any]:
    """Return the messages of a call that the engine wants."""
    match change:
        case Original():
            return list(messages)
        case Side():
            return [SystemMessage(change.system), HumanMessage(change.user)]
        case Edited():
            place = max(i for i, m in enumerate(messages) if _role(m) == "user")
            last = messages[place]
            new = last.model_copy(update={"content": _content(last, change)})
            return [*messages[:place], new, *messages[place + 1 :]]


def _content(message: BaseMessage, change: Edited) -> str | list[Any]:
    if change.note is None or isinstance(message.content, str):
        return change.text
    return [*message.content, {"type": "text", "text": change.note}]


def said(message: AIMessage) -> Said:
    """Return what the engine has to know of a message or a chunk."""
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
