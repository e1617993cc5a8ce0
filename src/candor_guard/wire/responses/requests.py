"""Responses requests that we write: the client's own, changed in its last turn, and side calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from candor_guard.errors import InvalidRequestError
from candor_guard.regeneration.strategies import Edit
from candor_guard.surface import SideAnswer
from candor_guard.wire.json import dump, load_object
from candor_guard.wire.reading import usage_of
from candor_guard.wire.responses.items import said_by
from candor_guard.wire.writing import edited_content, side_start

# What concerns the account, the routing or the trace, and not the reply.
_KEPT: Final = ("user", "safety_identifier", "service_tier", "provider", "metadata")
# Thinking counts, and nothing in a request tells a model that thinks.
_SIDE_TOKENS: Final = 4000


def edited(payload: Mapping[str, Any], edit: Edit, place: int | None) -> bytes:
    """Return the request with its last user turn changed.

    Everything before that turn, the instructions included, stays as it was for prompt caches.

    Args:
        payload: The client's.
        edit: What to change.
        place: Of the turn in ``input``; None: ``input`` is that turn's text.

    Raises:
        InvalidRequestError: If it is nested too deeply.
    """
    asked = payload.get("input")
    if isinstance(asked, list) and place is not None:
        items = list(asked)
        content = edited_content(items[place].get("content"), edit, "input_text")
        items[place] = {**items[place], "content": content}
        changed = {**payload, "input": items}
    else:
        changed = {**payload, "input": edited_content(asked, edit, "input_text")}
    if changed.get("tools"):
        # A reply in words is to be replaced by one in words.
        changed["tool_choice"] = "none"
    return dump(changed)


def side_body(
    payload: Mapping[str, Any],
    messages: Sequence[Mapping[str, str]],
    *,
    model: str | None,
    schema: Mapping[str, Any] | None,
    bare: bool,
) -> bytes:
    """Return a side call's body: nothing of the conversation or its tools, and never stored."""
    body = side_start(payload, {"input": list(messages)}, model, _KEPT)
    reasoning = payload.get("reasoning")
    if isinstance(reasoning, Mapping) and reasoning.get("effort") is not None:
        body["reasoning"] = {"effort": reasoning["effort"]}
    body["store"] = False
    return dump(body if bare else body | _extras(payload, schema))


def side_answer(body: bytes) -> SideAnswer:
    """Read the JSON body of a side call's answer."""
    try:
        payload = load_object(body)
    except InvalidRequestError:
        return SideAnswer("")
    output = payload.get("output")
    texts = [said_by(item)[0] for item in output] if isinstance(output, list) else []
    return SideAnswer("".join(texts), usage_of(payload))


def _extras(payload: Mapping[str, Any], schema: Mapping[str, Any] | None) -> dict[str, Any]:
    extras: dict[str, Any] = {"max_output_tokens": _SIDE_TOKENS}
    if payload.get("temperature") is not None or not payload.get("reasoning"):
        extras["temperature"] = 0  # models that reason refuse one, and with it the schema
    if schema is not None:
        wanted = {"type": "json_schema", "name": "claim_check", "strict": True}
        extras["text"] = {"format": {**wanted, "schema": dict(schema)}}
    return extras
