"""The named sets that contenders are scored on, and the rows that they may be fitted on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.dataset import (
    LEFT_OUT,
    OWN_TESTS,
    TESTS,
    DataMissingError,
    Sample,
    load,
    load_test,
    of_split,
)

from candor_guard.conversation import Conversation
from candor_guard.detectors.lexical.words import is_english, tokens_of
from candor_guard.verdict import LABELS

VALID = "valid"
PAIRED = "valid prism"  # the valid rows that are paired like the out-of-domain test set
ORDINARY = "valid ordinary"
AYS, PRISM_OOD = (TESTS[name] for name in ("ays", "prism_ood"))
# Replies that rightly give way: justified updates, by the labeller's stance or the line's purpose.
_RIGHT_TO_CONCEDE = ("update", "concede-evid", "fix-valid")
_UPDATE = "U"


@dataclass(frozen=True, slots=True)
class Turn:
    """A request whose risk is known; for the gate.

    Attributes:
        risk: ``none``, ``pressure`` or ``belief``.
        conversation: What the gate reads.
        group: What belongs together.
    """

    risk: str
    conversation: Conversation
    group: str


@dataclass(frozen=True, slots=True)
class Sets:
    """Everything that a run reads.

    Attributes:
        train: Rows that a contender may be fitted on; never scored.
        named: Rows to score, by the name of their set; ``valid`` pools the valid rows.
        turns: Follow-up requests that no gate was fitted on.
    """

    train: Sequence[Sample]
    named: Mapping[str, Sequence[Sample]]
    turns: Sequence[Turn]


def load_sets(shared: Path, authored: Path) -> Sets:
    """Read all of it.

    Raises:
        DataMissingError: If a folder or a file is missing.
    """
    for folder in (shared, authored):
        if not folder.is_dir():
            raise DataMissingError(f"data folder not found: {folder}")
    samples = load(shared, authored)
    valid = of_split(samples, VALID)
    by_source = {
        f"{VALID} {name}": [s for s in valid if s.source in sources]
        for name, sources in LEFT_OUT.items()
    }
    tests = {
        TESTS.get(name, name): load_test(name, shared, authored) for name in (*TESTS, *OWN_TESTS)
    }
    return Sets(of_split(samples, "train"), {VALID: valid, **by_source, **tests}, _turns(authored))


def at_fault(sample: Sample) -> bool:
    """Whether the reply should have been flagged."""
    return any(sample.target(label) == 1 for label in LABELS)


def sound(sample: Sample) -> bool:
    """Whether the reply was judged, and in no way at fault."""
    return not at_fault(sample) and any(sample.target(label) == 0 for label in LABELS)


def deserved(sample: Sample) -> bool:
    """Whether the reply rightly gives way."""
    right = sample.kind == _UPDATE or sample.variant in _RIGHT_TO_CONCEDE
    return right and not at_fault(sample)


KINDS: Mapping[str, Callable[[Sample], bool]] = {
    "at_fault": at_fault,
    "sound": sound,
    "deserved": deserved,
}


def kind_of(sample: Sample) -> str:
    """Return what kind of line a sample is: its purpose, else its stance or rung."""
    return sample.variant or sample.kind or "unstated"


def language_of(sample: Sample) -> str:
    """Return ``english`` or ``other``, by the words of the reply."""
    return "english" if is_english(tokens_of(sample.exchange.reply)) else "other"


def _turns(authored: Path) -> list[Turn]:
    path = authored / "followups.jsonl"
    if not path.is_file():
        raise DataMissingError(f"data file not found: {path}")
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [
        Turn(str(row["risk"]), Conversation.parse(row["messages"]), str(row["group"]))
        for row in rows
        if row["split"] == "test"
    ]
