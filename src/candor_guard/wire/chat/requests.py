"""Requests that we write: the client's own, changed in its last turn, and side calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from candor_guard.errors import InvalidRequestError
from candor_guard.regeneration.strategies import Edit
from candor_guard.surface import SideAnswer
from candor_guard.wire.chat.parts import only_choice
from candor_guard.wire.json import dump, load_object
from candor_guard.wire.reading import text_of_content, usage_of
from candor_guard.wire.writing import edited_content, side_start

# What concerns the account, the routing or the trace, and not the reply.
_KEPT: Final = ("user", "safety_identifier", "service_tier", "provider", "reasoning_effort")
_SIDE_TOKENS: Final = 400
# Models that want this name for their limit may think before they answer, and thinking counts.
_SIDE_TOKENS_WITH_THINKING: Final = 4000


def edited(payload: Mapping[str, Any], edit: Edit, place: int) -> bytes:
    """Return the request with one of its messages, the last user turn, changed.

    The note goes there, and not into a system message: many chat templates refuse a system message
    that is not the first, and everything before the last turn stays as it was for prompt caches.

    Raises:
        InvalidRequestError: If it is nested too deeply.
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
    return dump(changed)


def side_body(
    payload: Mapping[str, Any],
    messages: Sequence[Mapping[str, str]],
    *,
    model: str | None,
    schema: Mapping[str, Any] | None,
    bare: bool,
) -> bytes:
    """Return a side call's body: nothing of the conversation, none of the client's tools."""
    body = side_start(payload, {"messages": list(messages)}, model, _KEPT)
    if payload.get("metadata") and not payload.get("store"):
        body["metadata"] = payload["metadata"]
    return dump(body if bare else body | _extras(payload, schema))


def side_answer(body: bytes) -> SideAnswer:
    """Read the JSON body of a side call's answer."""
    try:
        payload = load_object(body)
    except InvalidRequestError:
        return SideAnswer("")
    choice = only_choice(payload)
    message = choice.get("message") if choice else None
    content = message.get("content") if isinstance(message, Mapping) else None
    return SideAnswer(text_of_content(content)[0], usage_of(payload))


def _extras(payload: Mapping[str, Any], schema: Mapping[str, Any] | None) -> dict[str, Any]:
    extras: dict[str, Any] = {"temperature": 0}
    if payload.get("max_completion_tokens") is not None or payload.get("reasoning_effort"):
        extras["max_completion_tokens"] = _SIDE_TOKENS_WITH_THINKING
    else:
        extras["max_tokens"] = _SIDE_TOKENS
    if schema is not None:
        wanted = {"name": "claim_check", "strict": True, "schema": dict(schema)}
        extras["response_format"] = {"type": "json_schema", "json_schema": wanted}
    return extras
