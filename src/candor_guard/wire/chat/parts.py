"""The choice of Chat Completions bodies and chunks, looked up leniently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def only_choice(payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the choice of a body or chunk that has exactly one, with index 0."""
    choices = payload.get("choices")
    if not isinstance(choices, list) or len(choices) != 1:
        return None
    choice = choices[0]
    return choice if isinstance(choice, Mapping) and choice.get("index") in (None, 0) else None
