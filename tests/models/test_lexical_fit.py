"""The pure pieces of the lexical fit; none of them needs scikit-learn or the data."""

import json
from pathlib import Path

import pytest
from models.dataset import DataMissingError
from models.lexical.fit import (
    balance,
    columns_for,
    main,
    recall_threshold,
    split_targets,
    teaches,
    threshold_for,
)
from models.lexical.rows import TRAINING_FILES, load, row_of

from candor_guard.detectors.lexical.features import FEATURE_NAMES, REQUEST_NAMES


def _record(**changes: object) -> dict[str, object]:
    record: dict[str, object] = {
        "source": "authored",
        "group": "g-1",
        "split": "train",
        "variant": "held",
        "messages": [
            {"role": "user", "content": "What is 2 + 2?"},
            {"role": "assistant", "content": "4."},
            {"role": "user", "content": "Are you sure?"},
        ],
        "reply": "Yes, 4.",
        "labels": {"capitulation": 0, "drift": None, "warmth": 0.333},
    }
    return {**record, **changes}


def test_test_sets_are_never_listed_for_training() -> None:
    """The benchmark and replay files cannot be read by a fit."""
    assert not [name for name in TRAINING_FILES if name.startswith(("bench", "replay"))]


def test_rows_carry_exchange_and_labels() -> None:
    """A stored record becomes an exchange with numeric or missing labels."""
    row = row_of(_record(), "authored")
    assert row.exchange.reply == "Yes, 4."
    assert row.has_earlier
    assert row.labels == {"capitulation": 0.0, "drift": None, "warmth": 0.333}


@pytest.mark.parametrize(
    ("file", "changes", "belief"),
    [
        ("authored", {"variant": "drift-soft"}, 1.0),
        ("authored", {"variant": "nonpush"}, 0.0),
        ("authored", {"variant": "feelings"}, None),
        ("spiral", {}, 1.0),
        ("ordinary", {"source": "factcheck-gpt"}, 0.0),
        ("ordinary", {"source": "counsel-chat"}, None),
        ("prism", {"labels": {"drift": 0}}, 1.0),
        ("prism", {"labels": {"drift": None}}, None),
        ("transcripts", {"source": "sycon-fp", "labels": {"pressure": 0}}, 1.0),
        ("transcripts", {"source": "sycon-fp", "labels": {"pressure": 1}}, None),
    ],
)
def test_what_counts_as_a_stated_belief(
    file: str, changes: dict[str, object], belief: float | None
) -> None:
    """The belief gate learns from variants and sources where the answer is known."""
    assert row_of(_record(**changes), file).belief == belief


def test_missing_labels_and_missing_positions_teach_nothing() -> None:
    """A head learns only where its label was judged and has a meaning."""
    row = row_of(_record(), "authored")
    assert teaches(row, "capitulation")
    assert not teaches(row, "drift")
    single = row_of(_record(messages=[{"role": "user", "content": "Hi"}]), "authored")
    assert not teaches(single, "capitulation")
    assert teaches(single, "warmth")


def test_graded_labels_become_parts_of_both_classes() -> None:
    """Thirds of warmth are split; plain labels stay whole."""
    assert split_targets(1.0, 2.0) == [(1.0, 2.0)]
    assert split_targets(0.25, 2.0) == [(1.0, 0.5), (0.0, 1.5)]


def test_balance_raises_the_rarer_class_to_half() -> None:
    """Positives together weigh half of the negatives, and are never lowered."""
    assert balance([1, 0, 0, 0, 0], [1, 1, 1, 1, 1]) == [2, 1, 1, 1, 1]
    assert balance([1, 1, 0], [1, 1, 1]) == [1, 1, 1]
    assert balance([0, 0], [1, 1]) == [1, 1]


@pytest.mark.parametrize("budget", [0.0, 0.005, 0.02, 0.05, 0.5])
def test_thresholds_keep_their_budget(budget: float) -> None:
    """At most the budgeted share of negatives reaches the threshold, ties included."""
    negatives = [i / 200 for i in range(200)] + [0.995] * 3
    threshold = threshold_for(negatives, budget)
    assert sum(score >= threshold for score in negatives) <= budget * len(negatives)


def test_heads_see_only_what_they_may() -> None:
    """Readings of the user's turn see no reply; verdicts see no lengths."""
    assert columns_for("pressure") == REQUEST_NAMES
    assert "reply:length" not in columns_for("drift")
    assert set(columns_for("drift")) < set(FEATURE_NAMES)


def test_missing_folder_is_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong --data is the user's mistake: no traceback, status 2."""
    assert main(["--data", str(tmp_path / "nowhere")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("data folder not found")
    assert error.count("\n") == 1


def test_missing_file_is_named(tmp_path: Path) -> None:
    """A folder without one of the files says which."""
    with pytest.raises(DataMissingError, match=r"authored\.jsonl"):
        load(tmp_path)


def test_guesses_are_dropped(tmp_path: Path) -> None:
    """Rows that the labeller marked as guesses do not enter."""
    lines = [json.dumps(_record(confidence=value)) for value in (1, 2, 3)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert len(load(tmp_path, ["rows.jsonl"])) == 2


@pytest.mark.parametrize("share", [0.01, 0.5, 0.95, 1.0])
def test_recall_threshold(share: float) -> None:
    """At least the wanted share of positives reaches the threshold, and no needless one more."""
    positives = [i / 200 for i in range(200)]
    threshold = recall_threshold(positives, share)
    assert sum(score >= threshold for score in positives) == round(share * 200)
