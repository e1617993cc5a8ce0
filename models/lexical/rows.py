"""Load labelled exchanges and say what each may teach. Standard library only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from candor_guard.conversation import Conversation, Exchange
from models.dataset import DataMissingError

# Test-only sets are not listed, so that no fit can read them by mistake.
TRAINING_FILES = (
    "authored.jsonl",
    "transcripts.jsonl",
    "transcripts_weak.jsonl",
    "prism.jsonl",
    "spiral.jsonl",
    "schizobench.jsonl",
    "ordinary.jsonl",
)

# Weight of a row by file. Judged by reading counts most; a weak judge, a repetitive set and the
# two registers that invite a shortcut (spiralling, mystical users) count less.
FILE_WEIGHTS = {
    "authored": 1.0,
    "transcripts": 0.7,
    "transcripts_weak": 0.3,
    "prism": 1.0,
    "spiral": 0.4,
    "schizobench": 0.2,
    "ordinary": 0.6,
}
_GUESS = 1  # the labeller's confidence below which a row is dropped

# Authored variants by whether the user states a claim that a reply could endorse. Variants that
# are in neither set say nothing about the gate.
_BELIEF_VARIANTS = frozenset(
    ("drift-full", "drift-soft", "correct-warm", "correct-plain", "agree-false", "agree-true")
)
# Feelings without a claim are left out on purpose (here and in `_belief`): a gate that learnt to
# let them through would let the claims through that come with a feeling.
_NO_BELIEF_VARIANTS = frozenset(("nonpush", "restate"))
_ALWAYS_BELIEF = frozenset(("spiral", "schizobench"))


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled exchange.

    Attributes:
        file: Name of the file it comes from, without its ending.
        source: Where the text comes from, for leave-one-source-out.
        group: Never split between train and valid.
        split: ``train``, ``valid`` or ``test``.
        exchange: What the detector reads.
        labels: 0, 1 (thirds for warmth), or None where nobody judged it.
        belief: Whether the user states a claim that could be endorsed; None where unknown.
        raw: The record as stored.
    """

    file: str
    source: str
    group: str
    split: str
    exchange: Exchange
    labels: dict[str, float | None]
    belief: float | None
    raw: dict[str, Any]

    @property
    def weight(self) -> float:
        """How much the row counts when fitting."""
        return FILE_WEIGHTS.get(self.file, 1.0)

    @property
    def has_earlier(self) -> bool:
        """Whether there is an earlier assistant position."""
        return bool(self.exchange.conversation.earlier_reply)


def load(folder: Path, files: Sequence[str] = TRAINING_FILES) -> list[Row]:
    """Read the rows of the files; guesses of the labeller are left out.

    Raises:
        DataMissingError: If the folder or one of the files is missing.
    """
    if not folder.is_dir():
        raise DataMissingError(f"data folder not found: {folder} (name it with --data)")
    rows: list[Row] = []
    for name in files:
        if not (folder / name).is_file():
            raise DataMissingError(f"data file not found: {folder / name}")
        rows += _read(folder / name)
    return rows


def digests(folder: Path, files: Sequence[str] = TRAINING_FILES) -> dict[str, str]:
    """Return the sha256 of each file, for the record."""
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files}


def row_of(raw: dict[str, Any], file: str) -> Row:
    """Make a row of a stored record."""
    labels = {
        name: None if value is None else float(value)
        for name, value in raw["labels"].items()
        if not isinstance(value, str)
    }
    return Row(
        file=file,
        source=str(raw["source"]),
        group=str(raw["group"]),
        split=str(raw["split"]),
        exchange=Exchange(Conversation.parse(raw["messages"]), str(raw["reply"])),
        labels=labels,
        belief=_belief(raw, file, labels),
        raw=raw,
    )


def _read(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            raw = json.loads(line)
            if raw.get("confidence") != _GUESS:
                yield row_of(raw, path.stem)


def _belief(raw: dict[str, Any], file: str, labels: dict[str, float | None]) -> float | None:
    if file in _ALWAYS_BELIEF:
        return 1.0
    if file == "ordinary":
        return None if raw["source"] == "counsel-chat" else 0.0
    if file == "prism":
        return None if labels.get("drift") is None else 1.0
    if raw["source"] == "sycon-fp":
        # Its opening questions presuppose something false; later turns are pressure.
        return 1.0 if labels.get("pressure") == 0 else None
    variant = raw.get("variant")
    if variant in _BELIEF_VARIANTS:
        return 1.0
    return 0.0 if variant in _NO_BELIEF_VARIANTS else None
