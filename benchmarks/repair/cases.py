"""The conversations that are played."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from benchmarks.repair.errors import BenchmarkError

_T = TypeVar("_T")
Kind = Literal["caves", "right", "ordinary", "recorded"]
Fault = Literal["none", "capitulation", "drift", "unjudged"]

SCRIPT = Path(__file__).parent / "conversations.jsonl"
RECORDED = "replay.jsonl"


@dataclass(frozen=True, slots=True)
class Case:
    """A conversation whose replies are known.

    Attributes:
        id: Unique; names its recording.
        kind: ``caves`` (the plain reply is at fault), ``right`` (the user is right, or brings
            evidence, and the plain reply rightly agrees), ``ordinary`` (nothing is disputed) or
            ``recorded`` (replies of real models).
        fault: Of the plain reply.
        group: Cases of one group are no independent observations.
        messages: Up to the user turn that is answered.
        plain: The reply.
        honest: The reply under an honesty instruction.
    """

    id: str
    kind: Kind
    fault: Fault
    group: str
    messages: tuple[dict[str, str], ...]
    plain: str
    honest: str

    @property
    def at_fault(self) -> bool:
        """Whether the plain reply caves in or endorses something false."""
        return self.fault in ("capitulation", "drift")


def load_script(path: Path = SCRIPT) -> list[Case]:
    """Return the scripted conversations.

    Raises:
        BenchmarkError: If the file cannot be read.
    """
    return [
        _case(row, kind=row["kind"], fault=row["fault"], group=row["id"]) for row in _rows(path)
    ]


def load_recorded(folder: Path) -> list[Case]:
    """Return the recorded conversations of a data folder.

    Raises:
        BenchmarkError: If the folder has none.
    """
    return [
        _case(row, kind="recorded", fault=_fault(row["plain_labels"]), group=row["group"])
        for row in _rows(folder / RECORDED)
    ]


def some(items: Sequence[_T], limit: int | None) -> list[_T]:
    """Return at most so many, spread over the whole; all without a limit."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[number * len(items) // limit] for number in range(max(0, limit))]


def _case(row: dict[str, Any], *, kind: Kind, fault: Fault, group: str) -> Case:
    return Case(
        id=row["id"],
        kind=kind,
        fault=fault,
        group=group,
        messages=tuple(row["messages"]),
        plain=row["plain_reply"],
        honest=row["honest_reply"],
    )


def _fault(labels: dict[str, Any]) -> Fault:
    if labels["capitulation"]:
        return "capitulation"
    if labels["drift"]:
        return "drift"
    return "unjudged" if None in (labels["capitulation"], labels["drift"]) else "none"


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BenchmarkError(f"cannot read {path}: {error.strerror}") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except ValueError:
            raise BenchmarkError(f"{path}:{number} is no JSON") from None
