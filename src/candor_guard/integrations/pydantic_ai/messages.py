"""Pydantic AI's messages in the detectors' terms and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic_ai.messages import (
    FilePart,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    NativeToolCallPart,
    NativeToolReturnPart,
    SystemPromptPart,
    TextContent,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.usage import RequestUsage

from candor_guard.conversation import Message
from candor_guard.errors import InvalidRequestError
from candor_guard.integrations.hosting.terms import Edited
from candor_guard.integrations.wishes import kind_of

_FINISH: Final = {"tool_call": "tool_calls"}
_OPENAI: Final = frozenset({"openai", "azure"})
_REPEATABLE: Final = frozenset({"web_search", "file_search", "code_execution"})
_FEEDBACK: Final = frozenset({"retry-prompt", "retry-feedback"})


def turns(messages: Sequence[ModelMessage]) -> list[Message]:
    """Return the conversation as the detectors read it; the instructions first.

    Raises:
        InvalidRequestError: If there is something else among the messages.
    """
    found: list[Message] = []
    instructions: str | None = None
    for index, message in enumerate(messages):
        if not isinstance(message, ModelRequest | ModelResponse):
            raise InvalidRequestError(
                f"messages.{index} must be a ModelRequest or ModelResponse, not {kind_of(message)}",
                param=f"messages.{index}",
            )
        if isinstance(message, ModelResponse):
            texts = [part.content for part in message.parts if isinstance(part, TextPart)]
            found.append(Message("assistant", "\n\n".join(texts)))
        else:
            found += (turn for part in message.parts if (turn := _turn(part)) is not None)
            instructions = message.instructions or instructions
    return found if instructions is None else [Message("system", instructions), *found]


def is_feedback(message: ModelMessage) -> bool:
    """Whether it only asks, on the framework's part, for another answer."""
    return isinstance(message, ModelRequest) and all(
        p.part_kind in _FEEDBACK for p in message.parts
    )


def _turn(part: Any) -> Message | None:
    match part:
        case SystemPromptPart():
            return Message("system", part.content)
        case UserPromptPart():
            return Message("user", *_content(part))
        case ToolReturnPart():
            return Message("tool", part.model_response_str())
        case _ if part.part_kind in _FEEDBACK:
            # Feedback of a program: not the user's words, so nobody's pressure.
            return Message("tool", "")
        case _:
            return Message("user", "", media=True) if part.part_kind == "speech" else None


def _content(part: UserPromptPart) -> tuple[str, bool]:
    if isinstance(part.content, str):
        return part.content, False
    texts: list[str] = []
    media = False
    for item in part.content:
        match item:
            case str():
                texts.append(item)
            case TextContent():
                texts.append(item.content)
            case _:
                media = media or item.kind != "cache-point"
    return "\n".join(texts), media


def edited(messages: Sequence[ModelMessage], change: Edited) -> list[ModelMessage]:
    """Return the messages with another text in the last user turn."""
    asks = [any(isinstance(part, UserPromptPart) for part in m.parts) for m in messages]
    place = max(i for i, found in enumerate(asks) if found)
    last: Any = messages[place]
    parts = list(last.parts)
    index = max(i for i, part in enumerate(parts) if isinstance(part, UserPromptPart))
    old = parts[index]
    keep = change.note is not None and not isinstance(old.content, str)
    content = [*old.content, change.note] if keep else change.text
    parts[index] = replace(old, content=content)
    changed: Any = replace(last, parts=parts)
    return [*messages[:place], changed, *messages[place + 1 :]]


def skip(response: ModelResponse) -> str | None:
    """Return why a response cannot be judged, in the record's words; None when it can."""
    if response.state == "suspended":
        return "pause_turn"
    if (response.provider_details or {}).get("logprobs"):
        return "logprobs"
    provider = response.provider_name
    skips = (part_skip(part, provider) for part in response.parts)
    return next((found for found in skips if found), None)


def part_skip(part: Any, provider: str | None) -> str | None:
    """Return why a response of this provider with this part cannot be judged, or None."""
    details = getattr(part, "provider_details", None) or {}
    match part:
        case ToolCallPart():
            return "tool_calls"
        case NativeToolCallPart() | NativeToolReturnPart():
            # As over HTTP: a regeneration may search again, where no words depend on what was found.
            again = provider in _OPENAI and part.tool_name in _REPEATABLE
            return None if again else "tool_calls"
        case FilePart():
            return "media"
        case TextPart() if details.get("logprobs"):
            return "logprobs"
        case TextPart() if provider not in _OPENAI:
            cited = getattr(part, "citations", None) or details.get("citations")
            return "citations" if cited else None
        case _:
            return None


def finish(response: ModelResponse) -> str | None:
    """Say in OpenAI's words why a response ended."""
    if response.state == "interrupted":
        return "length"  # the rest of it will never come
    reason = response.finish_reason
    return None if reason is None else _FINISH.get(reason, reason)


def openai_usage(usage: RequestUsage) -> dict[str, Any] | None:
    """Return a usage in OpenAI's words; None when it says nothing."""
    if not usage.has_values():
        return None
    result: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    if usage.cache_read_tokens:
        result["prompt_tokens_details"] = {"cached_tokens": usage.cache_read_tokens}
    if usage.output_reasoning_tokens:
        reasoning = {"reasoning_tokens": usage.output_reasoning_tokens}
        result["completion_tokens_details"] = reasoning
    return result
