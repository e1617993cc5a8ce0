"""What `candor-guard check` and ``POST /candor/v1/check`` both say of an exchange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from candor_guard.verdict import Verdict


def answer_to(entry: Mapping[str, Any], verdict: Verdict) -> dict[str, Any]:
    """Return the JSON answer to one checked exchange: its verdict, and its id if it has one."""
    return verdict.to_dict() | ({"id": entry["id"]} if "id" in entry else {})
