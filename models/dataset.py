"""All labelled exchanges in one schema, with weights and group-safe splits. Standard library only.

Shared rows and the lines written for this project become `Sample`; labels that nobody judged are
None. Test sets are loaded by a function of their own, so that no fit can read them by mistake.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from candor_guard.conversation import Conversation, Exchange
from candor_guard.verdict import LABELS, NEED_EARLIER, SIGNALS

HEADS = (*SIGNALS, *LABELS)
SHARED = Path("../shared/data")
AUTHORED = Path("models/data/authored")

# Judged by reading counts most; a weak judge, a repetitive set and the two registers that invite
# a shortcut (spiralling, mystical users) count less.
WEIGHTS: Mapping[str, float] = {
    "authored": 1.0,
    "transcripts": 1.0,
    "transcripts_weak": 0.3,
    "prism": 1.0,
    "spiral": 0.4,
    "schizobench": 0.2,
    "ordinary": 0.6,
}
OWN = (
    "affirmations_facts",
    "affirmations_people",
    "affirmations_practice",
    "appraisals",
    "arguments",
    "beliefs",
    "claims_facts",
    "claims_life",
    "debates",
    "denials",
    "disputes",
    "erosion",
    "explanations",
    "feelings",
    "frames",
    "lateturns",
    "namings",
    "openings",
    "pairs",
    "partials",
    "positions",
    "premises",
    "presuppositions",
    "reasoning",
    "rechecks",
    "registers",
    "rethinks",
    "secondlooks",
    "secondlooks_choices",
    "secondlooks_maths",
    "secondlooks_mixed",
    "secondlooks_reading",
    "services",
    "stances",
    "verification",
)
TESTS: Mapping[str, str] = {"ays": "bench_ays", "prism_ood": "bench_prism_ood"}
# Test lines of our own, each by an author of no training line.
OWN_TESTS = HOLDOUT, UNSEEN, FRESH, STRANGERS, OUTSIDERS = (
    "holdout",
    "unseen",
    "fresh",
    "strangers",
    "outsiders",
)
OWN_SOURCE = "own"
_VALID_SHARE = 0.12
_GUESS, _FAIR, _FAIR_WEIGHT = 1, 2, 0.7

# What is left out together, so that no author or generator is on both sides.
LEFT_OUT: Mapping[str, frozenset[str]] = {
    "transcripts": frozenset(("sycobench", "sycon-fp", "sycon-debate")),
    "sycobench": frozenset(("sycobench",)),
    "sycon-fp": frozenset(("sycon-fp",)),
    "sycon-debate": frozenset(("sycon-debate",)),
    "authored": frozenset(("authored",)),
    "own": frozenset((OWN_SOURCE,)),
    "prism": frozenset(("prism-verify",)),
    "spiral": frozenset(("spiral-bench",)),
    "schizobench": frozenset(("schizobench",)),
    "ordinary": frozenset(("factcheck-gpt", "counsel-chat")),
}


class DataMissingError(Exception):
    """The data folder, or a file of it, is not there."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled exchange.

    Attributes:
        id: Unique over all files.
        file: Name of the file it comes from, without its ending.
        source: Where the text comes from, for leave-one-source-out.
        group: Never split between train and valid.
        split: ``train``, ``valid`` or ``test``.
        exchange: What a detector reads.
        labels: By head 0 to 1, or None where nobody judged it.
        weight: How much the row counts when fitting.
        variant: What the line was written to show, or "".
        kind: The labeller's stance or the set's rung; for tables by kind.
    """

    id: str
    file: str
    source: str
    group: str
    split: str
    exchange: Exchange
    labels: Mapping[str, float | None]
    weight: float
    variant: str = ""
    kind: str = ""

    @property
    def has_earlier(self) -> bool:
        """Whether there is an earlier assistant position."""
        return bool(self.exchange.conversation.earlier_reply)

    def target(self, head: str) -> float | None:
        """Return the label that a head may learn from or be scored on."""
        if head in NEED_EARLIER and not self.has_earlier:
            return None
        return self.labels.get(head)


def load(shared: Path = SHARED, authored: Path = AUTHORED) -> list[Sample]:
    """Read everything that may be trained on; the labellers' guesses are left out.

    Raises:
        DataMissingError: If a folder or a file is missing.
    """
    samples = [s for name in WEIGHTS for s in _read(shared / f"{name}.jsonl")]
    samples += [s for name in OWN for s in _read(authored / f"{name}.jsonl")]
    return samples


def load_test(name: str, shared: Path = SHARED, authored: Path = AUTHORED) -> list[Sample]:
    """Read a test set, for final figures only: one of `OWN_TESTS` or of `TESTS`."""
    own = name in OWN_TESTS
    path = authored / f"{name}.jsonl" if own else shared / f"{TESTS[name]}.jsonl"
    return [replace(sample, split="test") for sample in _read(path)]


def digests(shared: Path = SHARED, authored: Path = AUTHORED) -> dict[str, str]:
    """Return the sha256 of each training file, for the record."""
    paths = [shared / f"{name}.jsonl" for name in WEIGHTS]
    paths += [authored / f"{name}.jsonl" for name in OWN]
    return {p.name: hashlib.sha256(_present(p).read_bytes()).hexdigest() for p in paths}


def of_split(samples: Sequence[Sample], split: str) -> list[Sample]:
    """Return the samples of a split."""
    return [sample for sample in samples if sample.split == split]


def leave_out(
    samples: Sequence[Sample], sources: Collection[str]
) -> tuple[list[Sample], list[Sample]]:
    """Return (train rows of the other sources, every row of the left-out ones)."""
    train = [s for s in samples if s.source not in sources and s.split == "train"]
    return train, [s for s in samples if s.source in sources]


def stable_unit(key: str) -> float:
    """Return a number in [0, 1) that depends on the key only."""
    return zlib.crc32(key.encode()) / 2**32


def _present(path: Path) -> Path:
    if not path.is_file():
        raise DataMissingError(f"data file not found: {path}")
    return path


def _read(path: Path) -> Iterator[Sample]:
    with _present(path).open(encoding="utf-8") as lines:
        for line in lines:
            raw = json.loads(line)
            if raw.get("confidence") != _GUESS:
                yield _shared(raw, path.stem) if "labels" in raw else _own(raw, path.stem)


def _shared(raw: dict[str, Any], file: str) -> Sample:
    labels = {
        head: None if raw["labels"].get(head) is None else float(raw["labels"][head])
        for head in HEADS
    }
    fair = raw.get("confidence") == _FAIR
    return Sample(
        id=str(raw["id"]),
        file=file,
        source=str(raw["source"]),
        group=str(raw["group"]),
        split=str(raw["split"]),
        exchange=Exchange(Conversation.parse(raw["messages"]), str(raw["reply"])),
        labels=_settled(labels, str(raw.get("stance", ""))),
        weight=WEIGHTS.get(file, 1.0) * (_FAIR_WEIGHT if fair else 1.0),
        variant=str(raw.get("variant", "")),
        kind=str(raw.get("kind") or raw.get("stance") or ""),
    )


def _own(raw: dict[str, Any], file: str) -> Sample:
    stance = str(raw["stance"])
    soft = raw["cap"] == 1 and raw["drift"] == 0 and raw["endorse"] == 0
    labels: dict[str, float | None] = {
        "pressure": float(raw["push"]),
        "evidence": float(raw["evid"]),
        "concession": float(stance in "CP"),
        "endorsement": float(raw["endorse"]),
        "warmth": raw["warm"] / 3,
        "capitulation": float(raw["cap"]),
        # A soft cave leaves the belief standing without saying so; the shared rows have null too.
        "drift": None if soft else float(raw["drift"]),
    }
    group = own_group(file, str(raw["group"]))
    return Sample(
        id=f"{OWN_SOURCE}/{file}/{raw['id']}",
        file=file,
        source=OWN_SOURCE,
        group=group,
        split=own_split(group),
        exchange=Exchange(Conversation.parse(raw["messages"]), str(raw["reply"])),
        labels=_settled(labels, stance),
        weight=1.0,
        variant=str(raw["variant"]),
        kind=stance,
    )


def own_group(file: str, group: str) -> str:
    """Return the name of a group of our own lines that no other file has."""
    return f"{OWN_SOURCE}/{file}/{group}"


def own_split(group: str) -> str:
    """Say which split a group of our own lines belongs to, for readers, encoder and gate alike.

    Args:
        group: As `own_group` names it.
    """
    return "valid" if stable_unit(group) < _VALID_SHARE else "train"


def _settled(labels: dict[str, float | None], stance: str) -> dict[str, float | None]:
    """Count justified updates as concessions: the definition does (deserved or not), the sets don't."""
    if stance == "U":
        labels["concession"] = 1.0
    return labels
