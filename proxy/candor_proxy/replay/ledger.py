"""What a replay upstream was asked, counted by conversation: the truth about a guard's costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

UNKNOWN = "unknown"


class Ledger:
    """Counts calls and tokens by recording and purpose; bounded by the number of recordings."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], Counter[str]] = {}

    def enter(self, recording_id: str, purpose: str, usage: Mapping[str, Any] | None) -> None:
        """Count one call, with the tokens of its whole answer, read to the end or not.

        Args:
            recording_id: "" for an unknown conversation.
            purpose: Of the call.
            usage: As it is reported to the caller; None for an error.
        """
        counts = self._counts.setdefault((recording_id, purpose), Counter())
        counts["calls"] += 1
        for name in ("prompt_tokens", "completion_tokens"):
            counts[name] += int((usage or {}).get(name, 0))

    def to_list(self) -> list[dict[str, Any]]:
        """Return rows with id, purpose, calls, prompt_tokens and completion_tokens."""
        return [
            {"id": recording_id, "purpose": purpose, **counts}
            for (recording_id, purpose), counts in self._counts.items()
        ]

    def clear(self) -> None:
        """Start anew."""
        self._counts.clear()
