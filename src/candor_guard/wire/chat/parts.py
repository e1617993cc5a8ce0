"""The choice of Chat Completions bodies and chunks, and how it ended, looked up leniently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

# Why a reply is not whole, in the words of the servers that speak this format. Whatever else they
# say is an end of its own: "stop", "eos_token", "end_turn".
_FINISHES: Final = {
    "length": "length", "max_tokens": "length", "model_length": "length",
    "model_context_window_exceeded": "length",
    "content_filter": "content_filter", "content_filtered": "content_filter",
    "safety": "content_filter", "recitation": "content_filter", "sensitive": "content_filter",
    "tool_calls": "tool_calls",
    "error": "failed", "network_error": "failed", "insufficient_system_resource": "failed",
    "abort": "failed", "cancelled": "failed",
}  # fmt: skip


def only_choice(payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the choice of a body or chunk that has exactly one, with index 0."""
    choices = payload.get("choices")
    if not isinstance(choices, list) or len(choices) != 1:
        return None
    choice = choices[0]
    return choice if isinstance(choice, Mapping) and choice.get("index") in (None, 0) else None


def finish_skip(choice: Mapping[str, Any]) -> str | None:
    """Return why a reply that finished as its choice says cannot be judged, or None."""
    if choice.get("error"):  # as OpenRouter tells that the provider broke off
        return "failed"
    reason = choice.get("finish_reason")
    if not isinstance(reason, str):
        return None
    return _FINISHES.get(reason.lower().partition(":")[0])  # Gemini's "content_filter: SAFETY"
