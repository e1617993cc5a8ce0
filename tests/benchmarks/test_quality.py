"""The quality benchmark's command line where it needs neither the data nor scikit-learn."""

from pathlib import Path

import pytest
from benchmarks.quality.__main__ import LEXICAL, UnknownDetectorError, main, make_detector
from benchmarks.quality.measure import score_rows
from models.lexical.rows import row_of

from candor_guard.detectors.lexical import LexicalDetector


def test_missing_data_is_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong --data is the user's mistake: no traceback, status 2."""
    assert main(["--data", str(tmp_path / "nowhere")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("data folder not found")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "path",
    ["no_such_module:Detector", "candor_guard.verdict:Nothing", "builtins:dict", "nonsense", ""],
)
def test_unknown_detectors_are_refused(path: str) -> None:
    """A name that leads to no detector is an error that says so."""
    with pytest.raises(UnknownDetectorError, match="detector"):
        make_detector(path)


def test_detectors_are_named_by_path() -> None:
    """The bundled detector is found by its import path, as a later one will be."""
    assert isinstance(make_detector(LEXICAL), LexicalDetector)


def test_rows_that_taught_are_not_scored() -> None:
    """Train rows are left out; valid and test rows are read and gated."""
    rows = [
        row_of(
            {
                "source": "authored",
                "group": split,
                "split": split,
                "messages": [{"role": "user", "content": "Hello"}],
                "reply": "Hello!",
                "labels": {"capitulation": 0, "drift": 0},
            },
            "authored",
        )
        for split in ("train", "valid", "test")
    ]
    scored = score_rows(LexicalDetector(), rows)
    assert [s.row.split for s in scored] == ["valid", "test"]
    assert all(s.sound and not s.at_fault for s in scored)
