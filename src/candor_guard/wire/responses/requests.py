"""Responses requests that we write: the client's own, changed in its last turn, and side calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from candor_guard.regeneration.strategies import Edit
from candor_guard.wire.responses.items import is_repeatable, said_by, tools_of
from candor_guard.wire.writing import edited_content

# Thinking counts, and nothing in a request tells a model that thinks.
_SIDE_TOKENS: Final = 4000


def edited(payload: Mapping[str, Any], edit: Edit, place: int | None) -> dict[str, Any]:
    """Return the request with its last user turn changed.

    Everything before that turn, the instructions included, stays as it was for prompt caches.

    Args:
        payload: The client's.
        edit: What to change.
        place: Of the turn in ``input``; None: ``input`` is that turn's text.
    """
    asked = payload.get("input")
    if isinstance(asked, list) and place is not None:
        items = list(asked)
        content = edited_content(items[place].get("content"), edit, "input_text")
        items[place] = {**items[place], "content": content}
        changed = {**payload, "input": items}
    else:
        changed = {**payload, "input": edited_content(asked, edit, "input_text")}
    return changed | _tool_choice(payload)


def _tool_choice(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return which tools another reply may use: a reply in words is replaced by one in words.

    What the provider looks up or makes for a reply is part of it, and the better one needs its own.
    """
    choice, tools = payload.get("tool_choice"), tools_of(payload)
    if not tools:
        return {}
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        allowed = choice.get("tools")
        tools = allowed if isinstance(allowed, list) else []
    usable = [tool for tool in tools if is_repeatable(tool)]
    if not usable or choice == "none":
        return {"tool_choice": "none"}
    if len(usable) == len(tools):
        return {}  # the client's own choice stands
    kinds = [{"type": tool["type"]} for tool in usable]
    return {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": kinds}}


def side_fields(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return how hard a side call's model is to think, and that the call is never stored."""
    reasoning = payload.get("reasoning")
    effort = reasoning.get("effort") if isinstance(reasoning, Mapping) else None
    kept = {} if effort is None else {"reasoning": {"effort": effort}}
    return {**kept, "store": False}


def answer_text(payload: Mapping[str, Any]) -> str:
    """Return the text of a side call's answer."""
    output = payload.get("output")
    return "".join(said_by(item)[0] for item in output) if isinstance(output, list) else ""


def side_wishes(payload: Mapping[str, Any], schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a side call's sampling, its limit and its schema."""
    extras: dict[str, Any] = {"max_output_tokens": _SIDE_TOKENS}
    if payload.get("temperature") is not None or not payload.get("reasoning"):
        extras["temperature"] = 0  # models that reason refuse one, and with it the schema
    if schema is not None:
        wanted = {"type": "json_schema", "name": "claim_check", "strict": True}
        extras["text"] = {"format": {**wanted, "schema": dict(schema)}}
    return extras
