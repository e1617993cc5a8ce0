"""The parts of Chat Completions bodies and chunks, looked up leniently."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from candor_guard.outcome import Usage
from candor_guard.wire.sse import Frame

DONE: Final = b"[DONE]"
# Thoughts and citations beside a reply's text. They are not what is said to the user.
_BESIDE: Final = frozenset({"thinking", "redacted_thinking", "reasoning", "reference"})
_TEXT: Final = frozenset({"text", "output_text"})
# No call takes more tokens, and no sum of what stays below overflows.
_MOST: Final = 10**15
_LEVELS: Final = 8


def only_choice(payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the choice of a body or chunk that has exactly one, with index 0."""
    choices = payload.get("choices")
    if not isinstance(choices, list) or len(choices) != 1:
        return None
    choice = choices[0]
    return choice if isinstance(choice, Mapping) and choice.get("index") in (None, 0) else None


def text_of_content(content: object) -> tuple[str, str | None]:
    """Return the text of a reply's content, and why the reply cannot be judged, or None.

    Some servers send a list of parts, in a stream too: its text parts are read as one string.
    """
    if content is None or isinstance(content, str):
        return content or "", None
    if not isinstance(content, list):
        return "", "unreadable"
    pieces: list[str] = []
    skip: str | None = None
    for part in content:
        piece, reason = _part(part)
        pieces.append(piece)
        skip = skip or reason
    return "".join(pieces), skip


def _part(part: object) -> tuple[str, str | None]:
    if isinstance(part, str):
        return part, None
    kind = part.get("type") if isinstance(part, Mapping) else None
    if not isinstance(part, Mapping) or not isinstance(kind, str):
        return "", "unreadable"
    if kind in _TEXT:
        text = part.get("text")
        return (text or "", None) if text is None or isinstance(text, str) else ("", "unreadable")
    if kind == "refusal":
        return "", "refusal" if part.get("refusal") else None
    return "", None if kind in _BESIDE else "media"


def usage_of(payload: Mapping[str, Any]) -> Usage | None:
    """Return the usage that a body or chunk states, or None; also where it holds no counts.

    What it holds is added up and written again, so a number that cannot be is no count.
    """
    usage = payload.get("usage")
    return usage if isinstance(usage, Mapping) and usage and _adds_up(usage, _LEVELS) else None


def _adds_up(value: object, levels: int) -> bool:
    if isinstance(value, (int, float)):
        return -_MOST <= value <= _MOST
    if isinstance(value, Mapping):
        return levels > 0 and all(_adds_up(each, levels - 1) for each in value.values())
    if isinstance(value, list):
        return levels > 0 and all(_adds_up(each, levels - 1) for each in value)
    return True


def chunk_of(frame: Frame) -> Mapping[str, Any] | None:
    """Return the object in a frame; None for comments, the end, and what is no object."""
    if frame.data is None or frame.data == DONE:
        return None
    try:
        chunk = json.loads(frame.data)
    except (ValueError, RecursionError):
        return None
    return chunk if isinstance(chunk, Mapping) else None
