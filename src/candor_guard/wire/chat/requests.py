"""Requests that we write: the client's own, changed in its last turn, and side calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from candor_guard.regeneration.strategies import Edit
from candor_guard.wire.chat.parts import only_choice
from candor_guard.wire.reading import text_of_content
from candor_guard.wire.writing import edited_content

# A finding takes a hundred or so, but many models think first, and thinking counts.
_SIDE_TOKENS: Final = 4000


def edited(payload: Mapping[str, Any], edit: Edit, place: int) -> dict[str, Any]:
    """Return the request with one of its messages, the last user turn, changed.

    The note goes there, and not into a system message: many chat templates refuse a system message
    that is not the first, and everything before the last turn stays as it was for prompt caches.
    """
    messages = list(payload["messages"])
    last = dict(messages[place])
    last["content"] = edited_content(last.get("content"), edit, "text")
    messages[place] = last
    changed = {**payload, "messages": messages}
    if changed.get("tools"):
        # A reply in words is to be replaced by one in words.
        changed["tool_choice"] = "none"
    if changed.get("functions"):
        changed["function_call"] = "none"
    return changed


def side_fields(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the trace that a side call belongs to; a stored one gets none of ours."""
    traced = payload.get("metadata") and not payload.get("store")
    return {"metadata": payload["metadata"]} if traced else {}


def answer_text(payload: Mapping[str, Any]) -> str:
    """Return the text of a side call's answer."""
    choice = only_choice(payload)
    message = choice.get("message") if choice else None
    content = message.get("content") if isinstance(message, Mapping) else None
    return text_of_content(content)[0]


def side_wishes(payload: Mapping[str, Any], schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a side call's sampling, its limit and its schema."""
    extras: dict[str, Any] = {}
    if payload.get("temperature") is not None or not payload.get("reasoning_effort"):
        extras["temperature"] = 0  # models that reason refuse one, and with it the schema
    # Models that want the newer name for their limit refuse the older one, and older servers the newer.
    newer = payload.get("max_completion_tokens") is not None or payload.get("reasoning_effort")
    extras["max_completion_tokens" if newer else "max_tokens"] = _SIDE_TOKENS
    if schema is not None:
        wanted = {"name": "claim_check", "strict": True, "schema": dict(schema)}
        extras["response_format"] = {"type": "json_schema", "json_schema": wanted}
    return extras
