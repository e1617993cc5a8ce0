"""What is read from Messages requests, and those that we write: changed ones and side calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeGuard

from candor_guard.conversation import Conversation, Message, text_of
from candor_guard.errors import InvalidRequestError
from candor_guard.regeneration.strategies import Edit
from candor_guard.surface import SideAnswer
from candor_guard.wire.json import dump, load_object
from candor_guard.wire.messages.parts import part_of, text_of_blocks
from candor_guard.wire.reading import usage_of
from candor_guard.wire.writing import edited_content, edited_parts, side_start

_REMINDER: Final = ("<system-reminder>", "</system-reminder>")
_ROLES: Final = frozenset({"user", "assistant", "system"})
# What concerns the account, the routing or the trace, and not the reply.
_KEPT: Final = ("metadata", "service_tier", "inference_geo", "workspace_id", "user_profile_id")
# The format demands a limit. Some models think before they answer without being asked to, and
# thinking counts.
_SIDE_TOKENS: Final = 4000


def conversation_of(payload: Mapping[str, Any]) -> Conversation:
    """Return the conversation of a request, its system prompt first.

    A user's message that brings tools' results is one message of a tool for each of them. What an
    app writes beside them, or as a reminder of its own anywhere, is not what the user says.

    Raises:
        InvalidRequestError: If it cannot be read.
    """
    messages: list[Message] = []
    if payload.get("system") is not None:
        messages.append(Message("system", *text_of(payload["system"], param="system")))
    for index, entry in enumerate(payload["messages"]):
        messages += _turns(entry, f"messages.{index}")
    return Conversation(tuple(messages))


def edited(payload: Mapping[str, Any], edit: Edit) -> bytes:
    """Return the request with its last user turn changed.

    The note goes there, and not into the system prompt: that stands before everything, so caches
    would be of no use any more, and thoughts are signed for what stands before them.

    Raises:
        InvalidRequestError: If it is nested too deeply.
    """
    messages = list(payload["messages"])
    place = _last_turn(messages)
    content = messages[place].get("content")
    messages[place] = {**messages[place], "content": _content(content, edit)}
    changed = {**payload, "messages": messages}
    if changed.get("tools"):
        # A reply in words is to be replaced by one in words.
        changed["tool_choice"] = {"type": "none"}
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
    said: dict[str, Any] = {
        "max_tokens": _SIDE_TOKENS,
        "messages": [dict(m) for m in messages if m["role"] != "system"],
    }
    if system := "\n\n".join(m["content"] for m in messages if m["role"] == "system"):
        said["system"] = system
    body = side_start(payload, said, model, _KEPT)
    if part_of(payload, "thinking").get("type") == "disabled":
        body["thinking"] = payload["thinking"]
    config: dict[str, Any] = {}
    if effort := part_of(payload, "output_config").get("effort"):
        config["effort"] = effort
    if not bare and schema is not None:
        config["format"] = {"type": "json_schema", "schema": dict(schema)}
    if config:
        body["output_config"] = config
    if not bare and payload.get("temperature") is not None:  # else the model may not know of it
        body["temperature"] = 0
    return dump(body)


def side_answer(body: bytes) -> SideAnswer:
    """Read the JSON body of a side call's answer."""
    try:
        payload = load_object(body)
    except InvalidRequestError:
        return SideAnswer("")
    return SideAnswer(text_of_blocks(payload.get("content"))[0], usage_of(payload))


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
    if results:
        return [Message("tool", *text_of(part.get("content"), param=where)) for part in results]
    return [Message(role, *text_of([part for part in content if not _is_reminder(part)]))]


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
    """Return the changed content: the app's reminders stay.

    A cache mark on text that is replaced goes on to its successor.
    """
    if edit.replacement is None or not isinstance(content, list):
        return edited_content(content, edit, "text")
    reminders = [part for part in content if _is_reminder(part)]
    said = [part for part in content if not _is_reminder(part)]
    written = edited_parts(said, edit, "text")
    marks = [part["cache_control"] for part in said if _is_text(part) and "cache_control" in part]
    if marks:
        written[-2] = {**written[-2], "cache_control": marks[-1]}
    return [*reminders, *written]


def _is_text(part: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(part, Mapping) and part.get("type") == "text"
