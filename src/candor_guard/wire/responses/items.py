"""Items of the Responses format: a request's as turns, and what a reply's say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from candor_guard.conversation import Message, text_of
from candor_guard.errors import InvalidRequestError
from candor_guard.wire.reading import text_of_content

_ROLES: Final = frozenset({"user", "assistant", "system", "developer"})
# Beside the turns: thoughts, and what tools or settings there are.
_NO_TURN: Final = frozenset({
    "reasoning", "additional_tools", "configuration_update", "mcp_list_tools",
})  # fmt: skip
# Turns that only the upstream knows.
_UNSEEN: Final = frozenset({"item_reference", "compaction"})
_HISTORY_ELSEWHERE: Final = ("previous_response_id", "conversation", "prompt")
_LOGPROBS: Final = "message.output_text.logprobs"
# What the provider does for a reply, and leaves nothing to do for the client and nothing changed
# elsewhere: it may be done once more. Not so a picture: another one is dear, and not the same.
_BY_THE_PROVIDER: Final = ("web_search", "file_search", "code_interpreter")
_DONE_BY_THE_PROVIDER: Final = frozenset(f"{name}_call" for name in _BY_THE_PROVIDER)
# Beside a reply's messages: thoughts, a shorter history for the next request, what tools there are.
_BESIDE_A_REPLY: Final = _DONE_BY_THE_PROVIDER | {"reasoning", "compaction", "mcp_list_tools"}
_OF_TOOLS: Final = frozenset({"program", "program_output", "additional_tools"})


@dataclass(frozen=True, slots=True)
class Turn:
    """A message as the detectors see it.

    Attributes:
        message: Role and text.
        place: Of its item in ``input``; None where it comes from elsewhere.
    """

    message: Message
    place: int | None = None


def turns_of(payload: Mapping[str, Any]) -> list[Turn]:
    """Return the turns of a request: its instructions first, then what its ``input`` says.

    Raises:
        InvalidRequestError: With ``param`` at the part that cannot be read.
    """
    turns: list[Turn] = []
    instructions, asked = payload.get("instructions"), payload.get("input")
    if instructions is not None:
        if not isinstance(instructions, str):
            raise InvalidRequestError("instructions must be text", param="instructions")
        turns.append(Turn(Message("system", instructions)))
    if isinstance(asked, str):
        return [*turns, Turn(Message("user", asked))]
    if asked is not None and not isinstance(asked, list):
        raise InvalidRequestError("input must be text or a list of items", param="input")
    for place, item in enumerate(asked or ()):
        message = _message(item, f"input.{place}")
        if message is not None:
            turns.append(Turn(message, place))
    return turns


def request_skip(payload: Mapping[str, Any]) -> str | None:
    """Return why no reply to this request is judged, whatever its turns say; or None."""
    if payload.get("background"):
        return "background"
    if any(payload.get(field) for field in _HISTORY_ELSEWHERE) or _is_partial(payload):
        return "no_history"
    include = payload.get("include")
    listed = isinstance(include, list) and _LOGPROBS in include
    return "logprobs" if listed or payload.get("top_logprobs") else None


def said_by(item: object) -> tuple[str, str | None]:
    """Return the text of an item of a reply, and why the reply cannot be judged, or None."""
    kind = _kind(item)
    if not isinstance(item, Mapping) or kind is None:
        return "", "unreadable"
    if kind == "message":
        return text_of_content(item.get("content"))
    if kind in _BESIDE_A_REPLY:
        return "", None
    return "", "tool_calls" if is_of_tools(kind) else "unreadable"


def is_beside_words(kind: str) -> bool:
    """Whether a kind of item may stand beside a reply's messages without a say in them."""
    return kind in _BESIDE_A_REPLY


def tools_of(payload: Mapping[str, Any]) -> list[Any]:
    """Return the tools that a request offers, those that items of its input add included."""
    adding = (item for item in _items(payload) if _kind(item) == "additional_tools")
    found: list[Any] = []
    for holder in (payload, *adding):
        tools = holder.get("tools")
        found += tools if isinstance(tools, list) else [tools] if tools else []
    return found


def is_repeatable(tool: object) -> bool:
    """Whether a tool is one that may be used again for another reply to the same request."""
    kind = tool.get("type") if isinstance(tool, Mapping) else None
    return isinstance(kind, str) and kind.startswith(_BY_THE_PROVIDER)


def is_of_tools(kind: str) -> bool:
    """Whether a kind of item has to do with calls of tools."""
    return kind in _OF_TOOLS or kind.endswith(("_call", "_output")) or kind.startswith("mcp_")


def text_format(payload: Mapping[str, Any]) -> object:
    """Return the ``format`` that the request demands of the reply's text, or None.

    An item of the input may change it.
    """
    wanted = _format(payload)
    for item in _items(payload):
        if _kind(item) == "configuration_update":
            wanted = _format(item) or wanted
    return wanted


def _format(holder: Mapping[str, Any]) -> object:
    text = holder.get("text")
    return text.get("format") if isinstance(text, Mapping) else None


def _is_partial(payload: Mapping[str, Any]) -> bool:
    return any(_kind(item) in _UNSEEN for item in _items(payload))


def _items(payload: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    asked = payload.get("input")
    if isinstance(asked, list):
        yield from (item for item in asked if isinstance(item, Mapping))


def _kind(item: object) -> str | None:
    """Return an item's type; messages and references need not state theirs."""
    if not isinstance(item, Mapping):
        return None
    kind = item.get("type")
    if kind is None:
        kind = "message" if "role" in item else "item_reference" if "id" in item else None
    return kind if isinstance(kind, str) else None


def _message(item: object, where: str) -> Message | None:
    """Return what an item says, in whose name; None for one that is no turn."""
    kind = _kind(item)
    if not isinstance(item, Mapping) or kind is None:
        raise InvalidRequestError(f"{where} must be an item", param=where)
    if kind == "message":
        return _spoken(item, where)
    if kind in _NO_TURN or kind in _UNSEEN:
        return None
    if kind.endswith("_output"):
        output = item.get("output")
        return Message("tool", text_of(output)[0] if isinstance(output, (str, list)) else "")
    if kind == "mcp_approval_response":
        return Message("tool", "")
    if is_of_tools(kind):
        return Message("assistant", "")
    raise InvalidRequestError(f"{where}.type is {kind!r}, which is not known", param=where)


def _spoken(item: Mapping[str, Any], where: str) -> Message:
    role, content = item.get("role"), item.get("content")
    if not isinstance(role, str) or role not in _ROLES:
        raise InvalidRequestError(f"{where}.role is {role!r}", param=f"{where}.role")
    if isinstance(content, str):  # nearly all, and there may be hundreds
        return Message(role, content)
    return Message(role, *text_of(content, param=f"{where}.content"))
