"""What the gates catch and hold: ``python -m models.gate.figures --data FOLDER [--model FOLDER]``.

Both gates of a model folder beside its linear gate alone. Every distinct request counts once: a gate reads
no replies. The test lines are rows that neither was fitted on; of the valid ones version 5's encoder has
seen most requests, since the gate's split was another than the readers' then. Test lines are scored, never used to choose; the
plain first questions were looked at when the margin of first messages was chosen.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from candor_guard.conversation import Conversation
from candor_guard.detectors.encoder import EncoderDetector
from candor_guard.detectors.encoder.detector import SHIPPED as SHIPPED_MODEL
from models.dataset import AUTHORED, OWN_TESTS, SHARED, TESTS, DataMissingError
from models.gate.report import RESAMPLES, share
from models.gate.rows import Turn, followups, one_per_request, own_turns, plain, shared_turns
from models.lexical.rows import load

BOTH, LINEAR = "both gates", "linear gate alone"
CAUGHT, HELD = "caught", "held"
# What the harmless valid rows of `ordinary` are, by their source.
SOURCES: Mapping[str, str] = {
    "factcheck-gpt": "everyday single questions",
    "counsel-chat": "personal first messages",
}
_ORDINARY = "ordinary.jsonl"
_KINDS: Mapping[str, Callable[[Turn], bool]] = {
    "pressure": lambda turn: turn.pressure == 1,
    "belief": lambda turn: turn.belief == 1,
    "at fault": lambda turn: turn.at_fault,
}

Gate = Callable[[Conversation], bool]
# A line of the table: the set, what of it, whether that is to be caught, and the requests.
Part = tuple[str, str, str, Sequence[Turn]]


def parts(shared: Path, authored: Path) -> list[Part]:
    """Return the lines of the table, those without a request left out.

    Raises:
        DataMissingError: If a folder or a file is missing.
    """
    turns = own_turns(authored) + shared_turns(shared)
    found = _risky("valid", [turn for turn in turns if turn.split == "valid"])
    for split in ("valid", "test"):
        name, lines = f"follow-ups, {split}", [t for t in followups(authored) if t.split == split]
        found.append((name, "at risk", CAUGHT, [t for t in lines if t.risk == 1]))
        found.append((name, "ordinary", HELD, [t for t in lines if t.risk == 0]))
    found += _ordinary(shared)
    found.append(("own", "plain first questions", HELD, plain(authored)))
    for name in OWN_TESTS:
        found += _risky(name, own_turns(authored, (f"{name}.jsonl",)))
    for name, file in TESTS.items():
        found += _risky(name, shared_turns(shared, (f"{file}.jsonl",)))
    distinct = [(name, kind, aim, one_per_request(rows)) for name, kind, aim, rows in found]
    return [part for part in distinct if part[-1]]


def _risky(name: str, turns: Sequence[Turn]) -> list[Part]:
    return [
        (name, kind, CAUGHT, [turn for turn in turns if fits(turn)])
        for kind, fits in _KINDS.items()
    ]


def _ordinary(shared: Path) -> list[Part]:
    sources = {row.group: row.source for row in load(shared, (_ORDINARY,))}
    turns = [turn for turn in shared_turns(shared, (_ORDINARY,)) if turn.split == "valid"]
    return [
        ("ordinary, valid", what, HELD, [t for t in turns if sources[t.group] == source])
        for source, what in SOURCES.items()
    ]


def report(
    listed: Sequence[Part], gates: Mapping[str, Gate], resamples: int
) -> list[dict[str, Any]]:
    """Return the figures, one record a line of the table.

    Args:
        listed: The lines.
        gates: Says of a conversation whether the reply to it is held, by the gate's name.
        resamples: Of the groups, for the intervals.
    """
    records = []
    for name, kind, aim, turns in listed:
        groups = [f"{turn.file}/{turn.group}" for turn in turns]
        record: dict[str, Any] = {"set": name, "requests": kind, "aim": aim}
        for gate_name, gate in gates.items():
            held = [gate(turn.conversation) for turn in turns]
            record[gate_name] = {"held": sum(held), **share(held, groups, resamples)}
        records.append(record)
    return records


def lines_of(records: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """Return the table: a line a record, a column a gate."""
    table = [
        "| set | requests | | " + " | ".join(names) + " |",
        "|---" * (len(names) + 3) + "|",
    ]
    for record in records:
        cells = " | ".join(_cell(record[name]) for name in names)
        table.append(f"| {record['set']} | {record['requests']} | {record['aim']} | {cells} |")
    return table


def _cell(found: Mapping[str, float]) -> str:
    interval = f"{found['low']:.3f}-{found['high']:.3f}"
    return f"{found['held']} of {found['turns']}, {found['value']:.3f} ({interval})"


def gates_of(folder: Path) -> dict[str, Gate]:
    """Return a model folder's gates by name, each asked about a conversation at most once."""
    detectors = {BOTH: EncoderDetector(folder), LINEAR: EncoderDetector(folder, encoder=False)}
    return {name: _remembering(detector) for name, detector in detectors.items()}


def _remembering(detector: EncoderDetector) -> Gate:
    known: dict[Conversation, bool] = {}

    def holds(conversation: Conversation) -> bool:
        # A request that is at fault presses or claims, too, and the encoder is not cheap.
        if conversation not in known:
            known[conversation] = detector.gate(conversation).at_risk
        return known[conversation]

    return holds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    line = argparse.ArgumentParser(prog="python -m models.gate.figures", description=__doc__)
    line.add_argument("--data", type=Path, default=SHARED, help="folder of the shared data")
    line.add_argument("--authored", type=Path, default=AUTHORED, help="folder of our own lines")
    line.add_argument("--model", type=Path, default=SHIPPED_MODEL, help="model folder")
    line.add_argument("--json", type=Path, help="write the figures here as JSON")
    options = line.parse_args(arguments)
    try:
        listed = parts(options.data, options.authored)
    except DataMissingError as error:
        print(error, file=sys.stderr)
        return 2
    records = report(listed, gates_of(options.model), RESAMPLES)
    print("\n".join(lines_of(records, (BOTH, LINEAR))))
    if options.json:
        options.json.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
