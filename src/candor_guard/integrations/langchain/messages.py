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
from candor_guard.wire.responses.items import is_beside_words

_ROLES: Final[tuple[tuple[type[BaseMessage], str], ...]] = (
    (AIMessage, "assistant"), (HumanMessage, "user"), (SystemMessage, "system"),
    (ToolMessage, "tool"),
)  # fmt: skip
# OpenAI's and Cohere's, Anthropic's, Ollama's, Bedrock's, and that of OpenAI's Responses.
_REASONS: Final = ("finish_reason", "stop_reason", "done_reason", "stopReason", "status")
_FINISH: Final = {
    "length": "length", "max_tokens": "length", "max_output_tokens": "length",
    "model_length": "length", "model_context_window_exceeded": "length", "incomplete": "length",
    "content_filter": "content_filter", "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter", "safety": "content_filter",
    "recitation": "content_filter", "blocklist": "content_filter",
    "prohibited_content": "content_filter", "spii": "content_filter",
    "tool_calls": "tool_calls", "tool_call": "tool_calls", "tool_use": "tool_calls",
    "function_call": "tool_calls",
}  # fmt: skip
_MEDIA: Final = frozenset({"image", "image_url", "audio", "video", "file", "media"})
# Calls of the client's, the server's and MCP's, and what servers' tools brought; in LangChain's own
# words for every provider's, too.
_OF_TOOLS: Final = ("_call", "tool_use", "tool_result")
_SERVED: Final = frozenset({"server_tool_call", "server_tool_call_chunk", "server_tool_result"})
# Why a reply ended that OpenAI has no word for, in the record's words.
_UNJUDGED: Final = {"refusal": "refusal", "pause_turn": "pause_turn", "compaction": "pause_turn"}


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
    reason = _reason(message.response_metadata)
    return Said(
        text=str(message.text),
        skip=_skip(message) or _UNJUDGED.get(reason),
        # As over HTTP, a word that nobody knows is no reason not to judge.
        finish=_FINISH.get(reason, "stop") if reason else None,
        usage=_openai_usage(message.usage_metadata),
    )


def _skip(message: AIMessage) -> str | None:
    chunks = message.tool_call_chunks if isinstance(message, AIMessageChunk) else ()
    if message.tool_calls or message.invalid_tool_calls or chunks:
        return "tool_calls"
    if _declines(message):
        return "refusal"
    if _says_some(message.response_metadata.get("logprobs")):
        return "logprobs"
    parts = message.content if isinstance(message.content, list) else ()
    openai = message.response_metadata.get("model_provider") == "openai"
    skips = (_part_skip(part, openai=openai) for part in parts if isinstance(part, dict))
    return next((skip for skip in skips if skip), None)


def _part_skip(part: dict[str, Any], *, openai: bool) -> str | None:
    """Say why a reply with this part cannot be judged, as `candor_guard.wire` says of its blocks."""
    kind = str(part.get("type"))
    if kind == "text":
        if part.get("citations") or (part.get("annotations") and not openai):
            return "citations"
        return "logprobs" if part.get("logprobs") else None
    if kind in _MEDIA:
        return "media"
    if openai and (is_beside_words(kind) or kind in _SERVED):
        return None  # as over HTTP: a regeneration may search again
    return "tool_calls" if kind in _SERVED or kind.endswith(_OF_TOOLS) else None


def _says_some(logprobs: object) -> bool:
    # Some servers send empty lists where nobody asked.
    return any(logprobs.values()) if isinstance(logprobs, dict) else bool(logprobs)


def _declines(message: AIMessage) -> bool:
    parts = message.content if isinstance(message.content, list) else ()
    in_parts = any(isinstance(part, dict) and part.get("type") == "refusal" for part in parts)
    return in_parts or bool(message.additional_kwargs.get("refusal"))


def _reason(metadata: dict[str, Any]) -> str:
    """Return the provider's own word for why a reply ended; "" while it goes on."""
    reasons = (metadata.get(key) for key in _REASONS)
    return next((str(reason).lower() for reason in reasons if reason), "")


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
