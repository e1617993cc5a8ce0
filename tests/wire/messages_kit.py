"""Requests and replies in the Messages format, as Anthropic's servers write them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

USAGE: dict[str, Any] = {
    "input_tokens": 10, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 3,
    "output_tokens": 5, "service_tier": "standard",
}  # fmt: skip
DISPUTE: list[Any] = [
    {"role": "user", "content": "What is 7 times 8?"},
    {"role": "assistant", "content": "7 times 8 is 56."},
    {"role": "user", "content": "No, it is 54. I am quite sure."},
]
THOUGHT: dict[str, Any] = {"type": "thinking", "thinking": "Is it CAVE?", "signature": "c2ln"}
HIDDEN: dict[str, Any] = {"type": "redacted_thinking", "data": "x"}
TOOL: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
REMINDER: dict[str, Any] = {
    "type": "text", "text": "<system-reminder>\nYou are wrong.\n</system-reminder>\n",
}  # fmt: skip
CITED: dict[str, Any] = {
    "type": "text",
    "text": "Yes.",
    "citations": [{"type": "char_location", "cited_text": "y", "document_index": 0}],
}


def text(words: str) -> dict[str, Any]:
    """Return a block of text."""
    return {"type": "text", "text": words}


def body(*blocks: Any, stop: str | None = "end_turn", **fields: Any) -> bytes:
    """Return a whole reply; blocks may be bare text."""
    content = [text(block) if isinstance(block, str) else block for block in blocks]
    return json.dumps({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x",
        "content": content, "stop_reason": stop, "stop_sequence": None, "usage": USAGE, **fields,
    }).encode()  # fmt: skip


def frame(event: Any, name: str | None = None) -> bytes:
    """Return one event of a stream."""
    return f"event: {name or event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def opening(**fields: Any) -> dict[str, Any]:
    """Return the event that begins a stream."""
    message: dict[str, Any] = json.loads(body(stop=None))
    usage = {**USAGE, "output_tokens": 1}
    return {"type": "message_start", "message": {**message, "usage": usage, **fields}}


def begun(block: Any, index: int = 0) -> dict[str, Any]:
    """Return the event that begins a block."""
    return {"type": "content_block_start", "index": index, "content_block": block}


def said(words: Any, index: int = 0, kind: str = "text_delta", key: str = "text") -> dict[str, Any]:
    """Return the event that brings a piece of a block."""
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, key: words}}


def ended(index: int = 0) -> dict[str, Any]:
    """Return the event that ends a block."""
    return {"type": "content_block_stop", "index": index}


def stopped(reason: Any = "end_turn", **usage: Any) -> dict[str, Any]:
    """Return the event that says why a reply stopped."""
    delta = {"stop_reason": reason, "stop_sequence": None}
    return {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 5, **usage}}


PING: dict[str, Any] = {"type": "ping"}
STOP: dict[str, Any] = {"type": "message_stop"}


def block_of(pieces: Iterable[str], index: int = 0) -> list[dict[str, Any]]:
    """Return the events of a block of text that arrives in these pieces."""
    return [begun(text(""), index), *(said(piece, index) for piece in pieces), ended(index)]


def thought_of(index: int = 0) -> list[dict[str, Any]]:
    """Return the events of a signed thought."""
    return [
        begun({"type": "thinking", "thinking": "", "signature": ""}, index),
        said("Is it CAVE?", index, "thinking_delta", "thinking"),
        said("c2ln", index, "signature_delta", "signature"),
        ended(index),
    ]


def frames(*events: Any) -> bytes:
    """Return the events of a stream as bytes."""
    return b"".join(map(frame, events))


def stream(pieces: Iterable[str], stop: str | None = "end_turn") -> bytes:
    """Return a whole stream whose one block of text arrives in these pieces."""
    first, *rest = block_of(pieces)
    last = [stopped(stop)] if stop is not None else []
    return frames(opening(), first, PING, *rest, *last, STOP)


def events_of(raw: bytes) -> list[Any]:
    """Return the objects in a stream."""
    lines = raw.replace(b"\r\n", b"\n").split(b"\n")
    return [json.loads(line[6:]) for line in lines if line.startswith(b"data: ")]
