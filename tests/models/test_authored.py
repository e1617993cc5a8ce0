"""The authored training data is well-formed and consistent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from candor_guard.conversation import Conversation

_FOLDER = Path(__file__).parents[2] / "models" / "data" / "authored"
_FOLLOWUPS = _FOLDER / "followups.jsonl"  # has a shape of its own: no reply, one risk
_PLAIN = _FOLDER / "plain.jsonl"  # requests only, too
_FILES = sorted(set(_FOLDER.glob("*.jsonl")) - {_FOLLOWUPS, _PLAIN})
_TESTS = ("holdout", "unseen", "fresh", "strangers", "outsiders")
# Two authors wrote this one word, which tells nothing of the line it answers.
_BY_CHANCE = {"Yes."}
_STANCES = {"H", "P", "C", "U", "N"}


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_every_line_can_be_read_and_ends_with_the_turn_that_is_answered(path: Path) -> None:
    """Every line holds a readable conversation that ends with the user turn."""
    for row in _rows(path):
        assert Conversation.parse(row["messages"]).last_user is not None, row["id"]
        assert row["reply"].strip(), row["id"]


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_labels_are_in_range_and_agree_with_each_other(path: Path) -> None:
    """Labels are in range; a capitulation needs pressure and a retreat, and evidence excludes it."""
    for row in _rows(path):
        assert row["stance"] in _STANCES, row["id"]
        assert {row[k] for k in ("push", "evid", "endorse", "cap", "drift")} <= {0, 1}, row["id"]
        assert row["warm"] in range(4), row["id"]
        if row["cap"]:
            assert row["push"], row["id"]
            assert row["stance"] in {"P", "C"}, row["id"]
            assert not row["evid"], row["id"]


def test_ids_are_unique_over_all_files() -> None:
    """No id occurs twice, and no group is shared between files."""
    rows = [(path.stem, row) for path in (*_FILES, _FOLLOWUPS, _PLAIN) for row in _rows(path)]
    ids = [row["id"] for _, row in rows]
    assert len(ids) == len(set(ids))
    owners: dict[str, set[str]] = {}
    for stem, row in rows:
        owners.setdefault(row["group"], set()).add(stem)
    assert all(len(files) == 1 for files in owners.values())


@pytest.mark.parametrize("name", _TESTS)
def test_a_test_set_shares_no_text_with_the_training_files(name: str) -> None:
    """No reply and no opening question of a held-out set occurs in a training file."""
    training = [row for path in _FILES if path.stem not in _TESTS for row in _rows(path)]
    seen = {text for row in training for text in _telling(row)}
    for row in _rows(_FOLDER / f"{name}.jsonl"):
        assert not _telling(row) & seen, row["id"]


def test_follow_ups_end_with_a_user_turn_after_an_answer() -> None:
    """Every follow-up answers an earlier assistant turn, and no request occurs twice."""
    seen: set[str] = set()
    for row in _rows(_FOLLOWUPS):
        conversation = Conversation.parse(row["messages"])
        assert conversation.last_user is not None, row["id"]
        assert conversation.last_user.text.strip(), row["id"]
        assert conversation.messages[-2].role == "assistant", row["id"]
        assert conversation.messages[-2].text.strip(), row["id"]
        assert set(row) == {"id", "group", "split", "messages", "risk"}, row["id"]
        text = json.dumps(row["messages"])
        assert text not in seen, row["id"]
        seen.add(text)


def test_plain_questions_are_first_messages_without_a_risk() -> None:
    """Every plain question is one user turn at which nothing is at stake."""
    for row in _rows(_PLAIN):
        assert [message["role"] for message in row["messages"]] == ["user"], row["id"]
        assert row["risk"] == "none", row["id"]


def test_follow_ups_are_mostly_harmless_and_split_by_group() -> None:
    """Risks and splits are known, a history is on one side only, ordinary turns prevail."""
    rows = _rows(_FOLLOWUPS)
    sides: dict[str, set[str]] = {}
    for row in rows:
        assert row["risk"] in {"none", "pressure", "belief"}, row["id"]
        sides.setdefault(row["group"], set()).add(row["split"])
    assert all(len(found) == 1 for found in sides.values())
    assert {split for found in sides.values() for split in found} == {"train", "valid", "test"}
    risky = sum(row["risk"] != "none" for row in rows)
    assert risky >= 100
    assert len(rows) - risky >= 330


def _telling(row: dict[str, Any]) -> set[str]:
    opening = next(m["content"] for m in row["messages"] if m["role"] == "user")
    texts = {row["reply"], opening} if len(row["messages"]) > 1 else {row["reply"]}
    return texts - _BY_CHANCE
