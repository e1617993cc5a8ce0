"""The requests that the gate learns from and is measured on. Standard library only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from candor_guard.conversation import Conversation, Message
from models.dataset import OWN, DataMissingError, own_group, own_split, stable_unit
from models.lexical.rows import FILE_WEIGHTS, TRAINING_FILES, Row, load

AUTHORED = Path("models/data/authored")
FOLLOWUPS = "followups.jsonl"
PLAIN = "plain.jsonl"
LINES = tuple(f"{name}.jsonl" for name in OWN)

# What a request of a variant tells the gate's belief head; the others say nothing about it.
_BELIEF = frozenset(
    ("drift-full", "drift-soft", "correct-warm", "correct-plain", "agree-false", "agree-true")
)
_HARMLESS = frozenset(("nonpush", "restate"))
# Feelings without a claim. They count half, lest claims that come with a feeling get through.
_FEELINGS, _FEELINGS_WEIGHT = "feelings", 0.5
_TASTE = "benign-agree"  # a taste insisted on: pressure by the letter, but nothing is at stake
_GRAFTS = 500
_FOLLOWUP_WEIGHT = 3.0  # the only ordinary multi-turn traffic there is


@dataclass(frozen=True, slots=True)
class Turn:
    """One request.

    Attributes:
        file: Name of the file it comes from, without its ending; ``grafts`` for made-up histories.
        group: Never split between folds.
        split: ``train``, ``valid`` or ``test``.
        conversation: What the gate reads.
        pressure: Whether the last turn presses an earlier answer; None where unknown.
        belief: Whether it states or presupposes a claim; None where unknown.
        weight: How much it counts when fitting.
        variant: What the line was written to show, or "".
        at_fault: Whether a stored reply to it capitulates or drifts.
    """

    file: str
    group: str
    split: str
    conversation: Conversation
    pressure: float | None
    belief: float | None
    weight: float
    variant: str = ""
    at_fault: bool = False

    @property
    def risk(self) -> float | None:
        """1 where the reply must be read, 0 where it need not be, None where unknown."""
        known = [value for value in (self.pressure, self.belief) if value is not None]
        if 1.0 in known:
            return 1.0
        judged = self.belief is not None and (self.pressure is not None or not self.has_earlier)
        return 0.0 if judged else None

    @property
    def has_earlier(self) -> bool:
        """Whether there is an earlier assistant position."""
        return bool(self.conversation.earlier_reply)


def shared_turns(folder: Path, files: Sequence[str] = TRAINING_FILES) -> list[Turn]:
    """Read the requests of the shared data, each distinct one once."""
    return distinct(_of_row(row) for row in load(folder, files))


def own_turns(folder: Path = AUTHORED, files: Sequence[str] = LINES) -> list[Turn]:
    """Read the requests of this project's own lines, each distinct one once."""
    return distinct(
        _of_line(raw, Path(name).stem) for name in files for raw in _lines(folder, name)
    )


def followups(folder: Path = AUTHORED) -> list[Turn]:
    """Read the ordinary and risky follow-up turns."""
    return [_of_followup(raw) for raw in _lines(folder, FOLLOWUPS)]


def plain(folder: Path = AUTHORED) -> list[Turn]:
    """Read the plain first questions, at which nothing is at stake."""
    return [_of_followup(raw) for raw in _lines(folder, PLAIN)]


def grafts(turns: Iterable[Turn]) -> list[Turn]:
    """Set first turns that are known to be harmless behind another one's question and answer."""
    first = [t for t in turns if t.split == "train" and t.file == "ordinary" and t.belief == 0.0]
    first = sorted(first, key=lambda t: stable_unit(t.group))[:_GRAFTS]
    return [_graft(t, other) for t, other in pairwise(first)]


def distinct(turns: Iterable[Turn]) -> list[Turn]:
    """Keep one of the turns with the same request; it is at fault when one of them is."""
    kept: dict[tuple[object, ...], Turn] = {}
    for turn in turns:
        key = (turn.group, turn.conversation, turn.pressure, turn.belief)
        seen = kept.get(key)
        if seen is None or turn.at_fault:
            kept[key] = turn
    return list(kept.values())


def one_per_request(turns: Iterable[Turn]) -> list[Turn]:
    """Keep the first of the turns with the same conversation, whatever is told of it."""
    kept: dict[Conversation, Turn] = {}
    for turn in turns:
        kept.setdefault(turn.conversation, turn)
    return list(kept.values())


def digests(shared: Path, own: Path = AUTHORED) -> dict[str, str]:
    """Return the sha256 of each file that was read for the fit."""
    paths = [shared / name for name in TRAINING_FILES] + [
        own / name for name in (*LINES, FOLLOWUPS)
    ]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


# --- One record each ------------------------------------------------------------------------


def _of_row(row: Row) -> Turn:
    variant = str(row.raw.get("variant", ""))
    return Turn(
        file=row.file,
        group=row.group,
        split=row.split,
        conversation=row.exchange.conversation,
        pressure=_pressure(
            row.labels.get("pressure"), row.belief, variant, has_earlier=row.has_earlier
        ),
        belief=0.0 if variant == _FEELINGS else row.belief,
        weight=_FEELINGS_WEIGHT if variant == _FEELINGS else FILE_WEIGHTS.get(row.file, 1.0),
        variant=variant,
        at_fault=any(row.labels.get(label) == 1 for label in ("capitulation", "drift")),
    )


def _of_line(raw: dict[str, Any], file: str) -> Turn:
    conversation = Conversation.parse(raw["messages"])
    variant = str(raw["variant"])
    group = own_group(file, str(raw["group"]))
    has_earlier = bool(conversation.earlier_reply)
    belief = 1.0 if variant in _BELIEF else 0.0 if variant in _HARMLESS else None
    return Turn(
        file=file,
        group=group,
        split=own_split(group),
        conversation=conversation,
        pressure=_pressure(raw["push"], belief, variant, has_earlier=has_earlier),
        belief=0.0 if variant == _FEELINGS else belief,
        weight=_FEELINGS_WEIGHT if variant == _FEELINGS else 1.0,
        variant=variant,
        at_fault=raw["cap"] == 1 or raw["drift"] == 1,
    )


def _of_followup(raw: dict[str, Any]) -> Turn:
    risk = raw["risk"]
    return Turn(
        file=Path(FOLLOWUPS).stem,
        group=str(raw["group"]),
        split=str(raw["split"]),
        conversation=Conversation.parse(raw["messages"]),
        pressure=None if risk == "belief" else float(risk == "pressure"),
        belief=None if risk == "pressure" else float(risk == "belief"),
        weight=_FOLLOWUP_WEIGHT,
        variant=risk,
    )


def _pressure(
    label: float | None, belief: float | None, variant: str, *, has_earlier: bool
) -> float | None:
    """Return the label where it means that something is at stake."""
    if label is None or not has_earlier or variant == _TASTE:
        return None
    # A claim stated in passing is no pressure, yet must not teach the head to let claims through.
    return None if not label and belief != 0.0 else float(label)


def _graft(turn: Turn, other: Turn) -> Turn:
    question = other.conversation.messages[-1].text
    answer = Message("assistant", f"Here is an answer. {question[:300]}")
    history = (*other.conversation.messages, answer, *turn.conversation.messages)
    return replace(
        turn,
        file="grafts",
        conversation=Conversation(history),
        pressure=0.0,
        weight=turn.weight / 2,
    )


def _lines(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    path = folder / name
    if not path.is_file():
        raise DataMissingError(f"data file not found: {path}")
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
