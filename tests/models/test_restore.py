"""A shipped model turned back into a run, and a student taught by it; needs the training extra."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnx")

from models.dataset import AUTHORED, WEIGHTS
from models.distil import Teacher, unlike
from models.export import export
from models.network import batch_of, keep_layers, load_reader, new_reader
from models.restore import main as restore
from models.restore import restored, weights_of
from models.train import main as train

from candor_guard.detectors.encoder.model import ENCODER, TOKENIZER
from candor_guard.detectors.encoder.transformer import marks
from candor_guard.detectors.encoder.transformer.render import Row

torch: Any = importlib.import_module("torch")
STEP = 1 / 127


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two layers under random heads, exported beside it."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(1)
    reader = new_reader()
    keep_layers(reader, [0, 3])
    torch.save(reader.state_dict(), folder / "reader.pt")
    (folder / "run.json").write_text('{"depth": 2}')
    (folder / "model").mkdir()
    export(folder, folder / "model")
    return folder


def test_a_shipped_model_comes_back_as_the_run_that_it_was(run: Path, tmp_path: Path) -> None:
    """Every weight comes back within half a step of its int8 scale, and the heads exactly."""
    assert (run / "model" / TOKENIZER).is_file()
    assert restore(["--model", str(run / "model"), "--out", str(tmp_path)]) == 0
    before, after = load_reader(run).state_dict(), load_reader(tmp_path).state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        if "pooler" not in name:
            most = float(value.abs().max())
            assert float((value - after[name]).abs().max()) <= most * STEP, name
    assert torch.equal(before["head.weight"], after["head.weight"])


def test_a_graph_that_lacks_a_weight_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph without a weight of the reader, or with one of another shape, is named as such."""
    path = run / "model" / ENCODER
    found = weights_of(path)
    del found["head.bias"]
    monkeypatch.setattr("models.restore.weights_of", lambda _: found)
    with pytest.raises(ValueError, match=r"has no weight head\.bias"):
        restored(path)
    found["head.bias"] = found["head.weight"]
    with pytest.raises(ValueError, match=r"head\.bias is of another shape"):
        restored(path)


def test_who_is_like_the_teacher_has_nothing_to_learn_of_its_states(run: Path) -> None:
    """The distance is 0 to oneself, counts no padding, and only other answers pull at a student's head."""
    states = torch.randn(2, 4, 3)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    other = states.clone()
    other[1, 2:] += 5.0
    assert float(unlike(other, states, mask)) == 0.0
    assert float(unlike(torch.zeros_like(states), states, mask)) > 0.5
    teacher, student = Teacher(load_reader(run)), load_reader(run).eval()
    batch = batch_of([Row([101, 7, 8, 102], [marks.PLAIN, marks.PLAIN, marks.REPLY, marks.REPLY])])

    def pull() -> float:
        student.zero_grad()
        held = student.states(**batch)
        logits = student.judge(held, batch["attention_mask"], batch["token_type_ids"])
        teacher.lesson(batch, held, logits).backward()
        return float(student.head.weight.grad.abs().sum())

    assert pull() == pytest.approx(0.0, abs=1e-4)
    with torch.no_grad():
        student.head.bias += 1.0
    assert pull() > 1.0


def test_a_student_learns_from_a_teacher_with_more_layers(run: Path, tmp_path: Path) -> None:
    """A run with a teacher keeps fewer layers than it and ends as any other run does."""
    shared = tmp_path / "shared"
    shared.mkdir()
    for name in WEIGHTS:
        (shared / f"{name}.jsonl").touch()
    files = ["--data", str(shared), "--authored", str(AUTHORED), "--every", "40", "--threads", "1"]
    line = ["--start", str(run), "--teacher", str(run), "--layers", "0", "--minutes", "0.02"]
    assert train([*files, *line, "--compare", "0", "--out", str(tmp_path / "student")]) == 0
    assert len(load_reader(tmp_path / "student").encoder.encoder.layer) == 1
