"""The id that an exchange may have: it is repeated in the answer to it, be it checked or explained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def with_id(entry: Mapping[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to one exchange with the exchange's id, if it has one."""
    return answer | ({"id": entry["id"]} if "id" in entry else {})
