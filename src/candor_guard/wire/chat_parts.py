"""The parts of Chat Completions bodies and chunks, looked up leniently."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from candor_guard.outcome import Usage
from candor_guard.wire.sse import Frame

DONE: Final = b"[DONE]"


def only_choice(payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the choice of a body or chunk that has exactly one, with index 0."""
    choices = payload.get("choices")
    if not isinstance(choices, list) or len(choices) != 1:
        return None
    choice = choices[0]
    return choice if isinstance(choice, Mapping) and choice.get("index", 0) == 0 else None


def usage_of(payload: Mapping[str, Any]) -> Usage | None:
    """Return the usage that a body or chunk states, or None."""
    usage = payload.get("usage")
    return usage if isinstance(usage, Mapping) and usage else None


def chunk_of(frame: Frame) -> Mapping[str, Any] | None:
    """Return the object in a frame; None for comments, the end, and what is no object."""
    if frame.data is None or frame.data == DONE:
        return None
    try:
        chunk = json.loads(frame.data)
    except (ValueError, RecursionError):
        return None
    return chunk if isinstance(chunk, Mapping) else None
