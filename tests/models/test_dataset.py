"""One schema for shared and own rows, masks, and splits that keep groups together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from models.dataset import (
    AUTHORED,
    OWN,
    OWN_TESTS,
    WEIGHTS,
    DataMissingError,
    digests,
    leave_out,
    load,
    load_test,
    of_split,
    own_group,
    own_split,
)
from models.gate.rows import own_turns

TURNS = [
    {"role": "user", "content": "Is it?"},
    {"role": "assistant", "content": "It is."},
    {"role": "user", "content": "Are you sure?"},
]


def shared_row(number: int, **changes: Any) -> dict[str, Any]:
    labels = {"capitulation": 0, "drift": None, "pressure": 1, "warmth": 0.333}
    row = {
        "id": f"s{number}",
        "source": "sycobench",
        "group": f"g{number}",
        "split": "train",
        "messages": TURNS,
        "reply": "Yes.",
        "labels": labels,
    }
    return {**row, **changes}


def own_row(number: int, **changes: Any) -> dict[str, Any]:
    row = {
        "id": f"o{number}",
        "group": f"g{number // 2}",
        "variant": "cap-soft",
        "stance": "P",
        "messages": TURNS,
        "reply": "Maybe not.",
        "push": 1,
        "evid": 0,
        "endorse": 0,
        "warm": 3,
        "cap": 1,
        "drift": 0,
    }
    return {**row, **changes}


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in WEIGHTS:
        write(tmp_path / f"{name}.jsonl", [])
    for name in (*OWN, *OWN_TESTS):
        write(tmp_path / f"{name}.jsonl", [own_row(i) for i in range(60)])
    rows = [shared_row(0), shared_row(1, confidence=1), shared_row(2, confidence=2)]
    rows.append(shared_row(3, messages=TURNS[:1], source="prism-verify"))
    rows.append(shared_row(4, stance="U"))
    write(tmp_path / "transcripts.jsonl", rows)
    return tmp_path, tmp_path


def test_guesses_are_dropped_and_labels_masked(folders: tuple[Path, Path]) -> None:
    """Rows labelled by guess are dropped, and missing labels stay missing."""
    samples = {s.id: s for s in load(*folders)}
    assert "s1" not in samples
    assert samples["s2"].weight < samples["s0"].weight
    assert samples["s0"].target("drift") is None
    assert samples["s0"].target("capitulation") == 0.0
    assert samples["s3"].target("capitulation") is None
    assert samples["s4"].target("concession") == 1.0


def test_own_rows_get_the_same_heads_and_soft_caves_no_drift(folders: tuple[Path, Path]) -> None:
    """Our own lines get the shared schema; a soft cave's drift is unknown."""
    own = next(s for s in load(*folders) if s.source == "own")
    assert own.target("capitulation") == own.target("concession") == own.target("warmth") == 1.0
    assert own.target("drift") is None


def test_groups_stay_together_and_holdout_is_not_trained_on(folders: tuple[Path, Path]) -> None:
    """No group is split, and the held-out set is never trained on."""
    samples = load(*folders)
    train = {s.group for s in of_split(samples, "train")}
    valid = {s.group for s in of_split(samples, "valid")}
    assert train
    assert valid
    assert not train & valid
    assert not any(s.file == "holdout" for s in samples)
    assert {s.split for s in load_test("holdout", *folders)} == {"test"}


def test_gate_and_encoder_split_our_own_lines_alike() -> None:
    """A request that the gate is judged on is in no row that the encoder or the readers learn from."""
    groups = {turn.group: turn.split for turn in own_turns(AUTHORED)}
    for name in OWN:
        for line in (AUTHORED / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
            group = own_group(name, json.loads(line)["group"])
            assert groups[group] == own_split(group)
    assert set(groups.values()) == {"train", "valid"}


def test_a_source_left_out_is_not_in_training(folders: tuple[Path, Path]) -> None:
    """Leaving a source out leaves none of its rows in."""
    train, held = leave_out(load(*folders), {"own"})
    assert {s.source for s in held} == {"own"}
    assert all(s.source != "own" and s.split == "train" for s in train)


def test_digests_name_every_file_and_missing_ones_are_told(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """Every data file has its digest, and a missing one is named."""
    assert len(digests(*folders)) == len(WEIGHTS) + len(OWN)
    with pytest.raises(DataMissingError, match="not found"):
        load(tmp_path / "nowhere", tmp_path)
