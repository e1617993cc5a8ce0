"""The blocks, events and counts of the Messages format, looked up leniently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from candor_guard.outcome import Usage
from candor_guard.wire.reading import kind_of

# What stands between two blocks of text, for whoever reads them as one.
BETWEEN: Final = "\n\n"
# Thoughts beside a reply's text, some of them signed. They are not what is said to the user.
_BESIDE: Final = frozenset({"thinking", "redacted_thinking"})
# Client's, server's and MCP's, and what servers' tools brought.
_OF_TOOLS: Final = ("tool_use", "tool_result")
_STOPS: Final = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "refusal",
    "pause_turn": "pause_turn",
    "compaction": "pause_turn",
}


def text_of_blocks(content: object) -> tuple[str, str | None]:
    """Return the text of a reply's content, and why the reply cannot be judged, or None."""
    if content is None or isinstance(content, str):
        return content or "", None
    if not isinstance(content, list):
        return "", "unreadable"
    read = [text_of_block(block) for block in content]
    whole = BETWEEN.join(text for text, _ in read if text)
    return whole, next((skip for _, skip in read if skip), None)


def text_of_block(block: object) -> tuple[str, str | None]:
    """Return the text of one block, and why a reply with it cannot be judged, or None."""
    kind = block.get("type") if isinstance(block, Mapping) else None
    if not isinstance(block, Mapping) or not isinstance(kind, str):
        return "", "unreadable"
    if kind == "text":
        text, skip = _text(block.get("text"))
        return text, skip or ("citations" if block.get("citations") else None)
    if kind in _BESIDE:
        return "", None
    return "", "tool_calls" if kind.endswith(_OF_TOOLS) else "media"


def text_of_delta(delta: object) -> tuple[str, str | None]:
    """Return the text of a ``content_block_delta``, and why its reply cannot be judged, or None."""
    if not isinstance(delta, Mapping):
        return "", "unreadable"
    kind = delta.get("type")
    if kind == "text_delta":
        return _text(delta.get("text"))
    if kind == "input_json_delta":
        return "", "tool_calls"
    return "", "citations" if kind == "citations_delta" else None


def stop_skip(reason: object) -> str | None:
    """Return why a reply that stopped for this reason cannot be judged, or None."""
    return _STOPS.get(reason) if isinstance(reason, str) else None


def part_of(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object in an event; an empty one where there is none."""
    part = event.get(name)
    return part if isinstance(part, Mapping) else {}


def is_text_start(event: Mapping[str, Any]) -> bool:
    """Whether an event opens a block of text."""
    opens = kind_of(event) == "content_block_start"
    return opens and part_of(event, "content_block").get("type") == "text"


def is_finish(event: Mapping[str, Any]) -> bool:
    """Whether an event says why the reply stopped."""
    stopped = kind_of(event) == "message_delta"
    return stopped and bool(part_of(event, "delta").get("stop_reason"))


def merged(earlier: Usage | None, later: Usage | None) -> Usage | None:
    """Return what is known of a stream's usage: later counts are totals and replace earlier ones."""
    if earlier is None or later is None:
        return later if earlier is None else earlier
    return {**earlier, **{key: value for key, value in later.items() if value is not None}}


def _text(text: object) -> tuple[str, str | None]:
    if text is None or isinstance(text, str):
        return text or "", None
    return "", "unreadable"
