"""How far runs differ by their seed, from the logits that they left."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest

pytest.importorskip("numpy")
pytest.importorskip("torch")

from models.dataset import AUTHORED, HEADS, WEIGHTS, Sample, load, of_split
from models.network import SCORES
from models.seeds import main as seeds

from candor_guard.figures import auroc

np: Any = importlib.import_module("numpy")

LABEL = "drift"


@pytest.fixture(name="shared", scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    for name in WEIGHTS:
        (folder / f"{name}.jsonl").touch()
    return folder


@pytest.fixture(name="valid", scope="module")
def _valid(shared: Path) -> list[Sample]:
    return of_split(load(shared, AUTHORED), "valid")


def write_run(folder: Path, valid: list[Sample], noise: float, seed: int) -> Path:
    """A run as `models.train` leaves it, whose encoder knows every answer but for noise."""
    folder.mkdir()
    known = np.array([[s.labels.get(head) or 0.0 for head in HEADS] for s in valid])
    logits = known + np.random.default_rng(seed).normal(0, noise, known.shape)
    np.savez(folder / SCORES, ids=[s.id for s in valid], logits=logits)
    return folder


def test_each_run_has_a_column_and_their_spread_is_told(
    shared: Path, valid: list[Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """AUROC is that of the stored logits, run by run; mean and spread are theirs."""
    runs = [write_run(tmp_path / str(k), valid, noise, k) for k, noise in enumerate((0.01, 1, 3))]
    out = tmp_path / "seeds.json"
    folders = ["--data", str(shared), "--authored", str(AUTHORED), "--out", str(out)]
    assert seeds([*map(str, runs), *folders]) == 0
    found = {(row["source"], row["label"]): row for row in json.loads(out.read_text())}
    rows = [s for s in valid if s.target(LABEL) is not None]
    with np.load(runs[1] / SCORES) as stored:
        by_id = dict(zip(stored["ids"].tolist(), stored["logits"], strict=True))
    scores = [float(by_id[s.id][HEADS.index(LABEL)]) for s in rows]
    each = found["own", LABEL]["auroc"]
    assert found["own", LABEL]["rows"] == len(rows)
    assert each[1] == pytest.approx(auroc([s.labels[LABEL] or 0.0 for s in rows], scores), abs=1e-4)
    assert each[0] == 1.0 > each[1] > each[2]
    (line,) = [text for text in capsys.readouterr().out.splitlines() if f"| own | {LABEL}" in text]
    assert line.endswith(f"| {mean(each):.3f} | {stdev(each):.3f} |")


def test_a_run_alone_has_no_spread(
    shared: Path, valid: list[Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One seed tells nothing about another: the table says zero and has one column."""
    run = write_run(tmp_path / "one", valid, 1, 1)
    assert seeds([str(run), "--data", str(shared), "--authored", str(AUTHORED)]) == 0
    assert all(line.endswith("| 0.000 |") for line in capsys.readouterr().out.splitlines()[2:])
