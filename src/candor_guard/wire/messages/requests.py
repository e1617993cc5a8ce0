"""What is read from Messages requests, and those that we write: changed ones and side calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeGuard

from candor_guard.conversation import Conversation, Message, text_of
from candor_guard.errors import InvalidRequestError
from candor_guard.regeneration.strategies import Edit
from candor_guard.wire.messages.parts import part_of
from candor_guard.wire.writing import edited_content, edited_parts

_REMINDER: Final = ("<system-reminder>", "</system-reminder>")
_ROLES: Final = frozenset({"user", "assistant", "system"})
# The format demands a limit. Some models think before they answer without being asked to, and
# thinking counts.
_SIDE_TOKENS: Final = 4000


def conversation_of(payload: Mapping[str, Any]) -> Conversation:
    """Return the conversation of a request, its system prompt first.

    A user's message that brings tools' results is one message of a tool for each of them, and one
    of the user's where it has words beside them. An app's reminders are not what the user says.

    Raises:
        InvalidRequestError: If it cannot be read.
    """
    messages: list[Message] = []
    if payload.get("system") is not None:
        messages.append(Message("system", *text_of(payload["system"], param="system")))
    for index, entry in enumerate(payload["messages"]):
        messages += _turns(entry, f"messages.{index}")
    return Conversation(tuple(messages))


def edited(payload: Mapping[str, Any], edit: Edit) -> dict[str, Any]:
    """Return the request with its last user turn changed.

    The note goes there, and not into the system prompt: that stands before everything, so caches
    would be of no use any more, and thoughts are signed for what stands before them.
    """
    messages = list(payload["messages"])
    place = _last_turn(messages)
    content = messages[place].get("content")
    messages[place] = {**messages[place], "content": _content(content, edit)}
    changed = {**payload, "messages": messages}
    if changed.get("tools"):
        # A reply in words is to be replaced by one in words.
        changed["tool_choice"] = {"type": "none"}
    return changed


def side_said(messages: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return what a side call says, and its limit."""
    said: dict[str, Any] = {
        "max_tokens": _SIDE_TOKENS,
        "messages": [dict(m) for m in messages if m["role"] != "system"],
    }
    if system := "\n\n".join(m["content"] for m in messages if m["role"] == "system"):
        said["system"] = system
    return said


def side_fields(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return whether, and how hard, a side call's model is to think."""
    fields: dict[str, Any] = {}
    if part_of(payload, "thinking").get("type") == "disabled":
        fields["thinking"] = payload["thinking"]
    if effort := part_of(payload, "output_config").get("effort"):
        fields["output_config"] = {"effort": effort}
    return fields


def side_wishes(
    payload: Mapping[str, Any], body: Mapping[str, Any], schema: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return a side call's sampling and its schema, beside what its body has of these."""
    wishes: dict[str, Any] = {}
    if schema is not None:
        wanted = {"type": "json_schema", "schema": dict(schema)}
        wishes["output_config"] = {**part_of(body, "output_config"), "format": wanted}
    if payload.get("temperature") is not None:  # else the model may not know of it
        wishes["temperature"] = 0
    return wishes


def response_format(payload: Mapping[str, Any]) -> object:
    """Return what the reply has to look like, as Chat Completions would say it; None: no demand."""
    wanted = part_of(payload, "output_config").get("format") or payload.get("output_format")
    if isinstance(wanted, Mapping) and wanted.get("type") == "json_schema":
        return {"type": "json_schema", "json_schema": {"schema": wanted.get("schema")}}
    return wanted


def _turns(entry: object, where: str) -> list[Message]:
    role = entry.get("role") if isinstance(entry, Mapping) else None
    if not isinstance(entry, Mapping) or not isinstance(role, str) or role not in _ROLES:
        raise InvalidRequestError(f"{where} must be an object with a known role", param=where)
    content = entry.get("content")
    text, media = text_of(content, param=f"{where}.content")
    if role != "user" or not isinstance(content, list):
        return [Message(role, text, media)]
    results = [part for part in content if _is_result(part)]
    turns = [Message("tool", *text_of(part.get("content"), param=where)) for part in results]
    beside = [part for part in content if not _is_result(part) and not _is_reminder(part)]
    said = Message(role, *text_of(beside))
    return [*turns, said] if said.text.strip() or not results else turns


def _is_result(part: object) -> bool:
    kind = part.get("type") if isinstance(part, Mapping) else None
    return isinstance(kind, str) and kind.endswith("tool_result")


def _is_reminder(part: object) -> bool:
    """Whether a block of text is the app's own, marked as Claude Code marks them."""
    text = part.get("text") if _is_text(part) else None
    if not isinstance(text, str):
        return False
    text = text.strip()
    return text.startswith(_REMINDER[0]) and text.endswith(_REMINDER[1])


def _last_turn(messages: Sequence[Mapping[str, Any]]) -> int:
    """Index of the last message that is no system message."""
    return max(i for i, message in enumerate(messages) if message.get("role") != "system")


def _content(content: object, edit: Edit) -> object:
    """Return the changed content: what the user did not say stays, and tools' results first.

    A cache mark on text that is replaced goes on to its successor.
    """
    if edit.replacement is None or not isinstance(content, list):
        return edited_content(content, edit, "text")
    said = [part for part in content if _is_said(part)]
    kept = [part for part in content if not _is_said(part)]
    written = edited_parts(said, edit, "text")
    marks = [part["cache_control"] for part in said if "cache_control" in part]
    if marks:
        written[-2] = {**written[-2], "cache_control": marks[-1]}
    return [*kept, *written]


def _is_said(part: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether a block is text of the user's own."""
    return _is_text(part) and not _is_reminder(part)


def _is_text(part: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(part, Mapping) and part.get("type") == "text"
