"""The shipped text encoder, run for real: what it adds, and how it fails."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from candor_guard.conversation import Conversation, Exchange
from candor_guard.detectors.encoder import EncoderDetector
from candor_guard.detectors.encoder.detector import SHIPPED
from candor_guard.detectors.encoder.model import (
    ENCODER,
    HEADS,
    MANIFEST,
    OUTPUTS,
    digest,
    load_model,
)
from candor_guard.detectors.lexical import LexicalDetector
from candor_guard.detectors.shipped import build_detector
from candor_guard.errors import ConfigurationError
from candor_guard.guard import Guard
from candor_guard.verdict import LABELS

_TURNS = (
    ("user", "How many legs does a lobster have?"),
    ("assistant", "A lobster has ten legs, its claws counted."),
    ("user", "No, it is eight, every child knows that."),
)
_CAVE = "You're right, my apologies. A lobster has eight legs."
_HOLD = "I see why eight comes to mind, but with its claws a lobster has ten legs."


def conversation(*turns: tuple[str, str]) -> Conversation:
    return Conversation.parse([{"role": role, "content": text} for role, text in turns])


_CLAIM = conversation(("user", "Lobsters have eight legs, so how do they walk on six?"))


@pytest.fixture(scope="module")
def detector() -> EncoderDetector:
    return EncoderDetector()


def exchange(reply: str) -> Exchange:
    return Exchange(conversation(*_TURNS), reply)


def with_encoder_entry(tmp_path: Path, change: dict[str, object]) -> Path:
    """A copy of the shipped model whose manifest tells something else about its encoder."""
    folder = tmp_path / "model"
    shutil.copytree(SHIPPED, folder)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest["encoder"] |= change
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def test_a_cave_scores_above_a_hold(detector: EncoderDetector) -> None:
    """Giving up an answer under bare pressure reads worse than keeping it politely."""
    cave, hold = detector.read([exchange(_CAVE), exchange(_HOLD)])
    assert cave.scores["capitulation"] > 0.5 > hold.scores["capitulation"]


def test_the_encoder_takes_part(detector: EncoderDetector) -> None:
    """With the encoder a reading differs from that of the readers alone, under another name."""
    alone = EncoderDetector(encoder=False)
    assert alone.name != detector.name
    assert alone.read([exchange(_CAVE)])[0].scores != detector.read([exchange(_CAVE)])[0].scores


def test_threads_read_what_one_thread_reads(detector: EncoderDetector) -> None:
    """One detector serves many threads, and a reading does not depend on its neighbours."""
    exchanges = [exchange(f"{_CAVE} {'Indeed. ' * i}") for i in range(16)]
    expected = [reading.scores for reading in detector.read(exchanges)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda e: detector.read([e])[0].scores, exchanges))
    assert found == expected


def test_a_copy_in_another_process_reads_the_same(detector: EncoderDetector) -> None:
    """A detector pickles as the folder that it was made of."""
    stored = pickle.dumps(detector)
    assert len(stored) < 1_000
    copy = pickle.loads(stored)  # noqa: S301 - written two lines above
    assert copy.read([exchange(_CAVE)])[0].scores == detector.read([exchange(_CAVE)])[0].scores


def test_the_shipped_model_is_loaded_once() -> None:
    """Guards share the shipped detector, unpickled ones too; each name has its own."""
    guard = Guard()
    assert Guard().detector is guard.detector
    assert pickle.loads(pickle.dumps(guard)).detector is guard.detector  # noqa: S301 - our own bytes
    assert build_detector("relation") is build_detector("relation") is not guard.detector


def test_the_readers_alone_load_no_runtime() -> None:
    """Without the encoder neither onnxruntime nor numpy is imported."""
    code = (
        "import sys; from candor_guard.detectors.shipped import build_detector; "
        "build_detector('relation'); build_detector('lexical'); "
        "print(sorted({'onnxruntime', 'numpy', 'tokenizers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("turns", "at_risk"),
    [((("user", "Write a haiku about rain."),), False), (_TURNS, True)],
    ids=["plain", "pressed"],
)
def test_the_first_look_settles_what_is_certain(
    detector: EncoderDetector, turns: tuple[tuple[str, str], ...], at_risk: bool
) -> None:
    """What the linear gate clears, or is certain about, costs no second look."""
    first = detector.pre_gate(conversation(*turns))
    assert first is not None
    assert first.at_risk is at_risk
    assert detector.gate(conversation(*turns)) == first


@pytest.mark.parametrize(
    ("turn", "at_risk"), [("I counted eight once.", True), ("Legs and claws?", False)]
)
def test_the_first_look_leaves_doubts_to_the_encoder(
    detector: EncoderDetector, turn: str, at_risk: bool
) -> None:
    """What the linear gate holds without being certain is for the encoder to hold or let go."""
    asked = conversation(*_TURNS[:2], ("user", turn))
    assert detector.pre_gate(asked) is None
    assert detector.gate(asked).at_risk is at_risk


def test_a_plain_question_about_a_plant_is_let_go(detector: EncoderDetector) -> None:
    """A question that states nothing is not held."""
    assert not detector.gate(conversation(("user", "How often should I water a monstera?"))).at_risk


def test_where_nothing_was_answered_nothing_is_pressed(
    detector: EncoderDetector, tmp_path: Path
) -> None:
    """A first message is held for a claim only; a gate that knows none leaves it to the linear one."""
    plain = conversation(("user", "How do I center a div in CSS?"))
    assert not detector.gate(plain).at_risk
    folder = with_encoder_entry(tmp_path, {"gate": {"pressure": -99.0}, "lean": 0.0})
    pressing = EncoderDetector(folder)
    assert pressing.gate(conversation(*_TURNS[:2], ("user", "I counted eight once."))).at_risk
    assert pressing.gate(_CLAIM).at_risk


@pytest.mark.parametrize("first", [-99.0, 99.0])
def test_a_first_message_has_a_limit_of_its_own(tmp_path: Path, first: float) -> None:
    """A limit for claims that no answer came before holds for these, and for these only."""
    limits = {"pressure": 99.0, "belief": -first, "belief_first": first}
    folder = with_encoder_entry(tmp_path, {"gate": limits, "lean": 0.0})
    detector = EncoderDetector(folder)
    assert detector.gate(_CLAIM).at_risk is (first < 0)
    asked = conversation(*_TURNS[:2], ("user", "I counted eight once."))
    assert detector.gate(asked).at_risk is (first > 0)


def test_the_linear_gate_has_a_say_in_a_first_message(tmp_path: Path) -> None:
    """Leaned on, it decides on a claim that opens a conversation; later ones know nothing of it."""
    limits = {"pressure": 99.0, "belief": -99.0, "belief_first": 0.0}
    folder = with_encoder_entry(tmp_path, {"gate": limits, "lean": 1_000.0})
    leaning, linear = EncoderDetector(folder), LexicalDetector()
    unsure = conversation(("user", "Why do my tomatoes split?"))
    assert linear.gate(unsure).at_risk
    assert linear.gate(unsure).score < 0.5 < linear.gate(_CLAIM).score
    assert not leaning.gate(unsure).at_risk
    assert leaning.gate(_CLAIM).at_risk
    assert leaning.gate(conversation(*_TURNS[:2], ("user", "I counted eight once."))).at_risk


def test_without_a_limit_for_first_messages_claims_have_one(tmp_path: Path) -> None:
    """A manifest of before there was one still loads, and means what it meant."""
    folder = with_encoder_entry(tmp_path, {"gate": {"pressure": -2.0, "belief": -4.0}})
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest["encoder"].pop("lean", None)
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    model = load_model(folder)
    assert (model.first, model.lean) == ({"belief": -4.0}, 0.0)
    assert model.gate == {"pressure": -2.0, "belief": -4.0}


def test_the_encoder_is_not_asked_about_a_quiet_reply(detector: EncoderDetector) -> None:
    """Where the other readers find next to nothing their scores stand, those of the signals too."""
    quiet = exchange("No, a lobster still has ten legs.")
    (reading,) = detector.read([quiet])
    assert reading == EncoderDetector(encoder=False).read([quiet])[0]
    assert max(reading.scores.values()) < min(
        threshold for point in detector.operating_points.values() for threshold in point.values()
    )


def test_a_file_that_is_no_model_is_a_clear_error(tmp_path: Path) -> None:
    """An encoder that cannot be loaded is a configuration error that names the folder."""
    folder = tmp_path / "model"
    shutil.copytree(SHIPPED, folder)
    (folder / ENCODER).write_bytes(b"not a graph")
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"][ENCODER] = digest(folder / ENCODER)
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="the encoder cannot be loaded"):
        EncoderDetector(folder)
    assert set(EncoderDetector(folder, encoder=False).operating_points["balanced"]) == set(LABELS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outputs": HEADS[1:], "gate": None, "lean": 0.0}, f"no output for .'{HEADS[0]}'"),
        ({"gate": {"mood": 0.0}, "lean": 0.0}, "no output for .'mood'"),
        ({"gate": {"pressure": 0.0, "belief": 0.0}, "lean": 0.5}, "needs the limit 'belief_first'"),
        ({"outputs": HEADS, "gate": {"belief_first": 0.0}}, "no output for .'belief'"),
        ({"outputs": [*OUTPUTS, "mood"]}, f"its manifest names {len(OUTPUTS) + 1}"),
        ({"certain": None}, "'certain' is None, not a number"),
    ],
)
def test_outputs_that_do_not_fit_are_found_at_the_start(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    """A manifest that names other outputs than the encoder has would fail every single reading."""
    folder = with_encoder_entry(tmp_path, change)
    with pytest.raises(ConfigurationError, match=message):
        EncoderDetector(folder)


@pytest.mark.parametrize(
    "text", ["\ud800", "You're right.\udfff", "...", "!!!", "\U0001f44d", "\u200b"]
)
def test_any_text_is_read(detector: EncoderDetector, text: str) -> None:
    """Text that is hardly any, and halves of characters, are read in every place all the same."""
    messages = [*_TURNS[:2], ("user", f"{_TURNS[2][1]}{text}")]
    assert detector.gate(conversation(*messages)).at_risk
    (reading,) = detector.read([Exchange(conversation(*messages), text)])
    assert all(0 <= score <= 1 for score in reading.scores.values())


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    """The manifest's hash guards the encoder, too."""
    folder = tmp_path / "model"
    shutil.copytree(SHIPPED, folder)
    with (folder / ENCODER).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ConfigurationError, match="not the file that the manifest names"):
        EncoderDetector(folder)


def test_leaving_the_encoder_out_needs_blends_without_it(tmp_path: Path) -> None:
    """A manifest that leaves out what a shortcut needs would fail readings later."""
    folder = with_encoder_entry(tmp_path, {})
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    del manifest["without_encoder"]
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="'quiet' needs 'without_encoder'"):
        EncoderDetector(folder)
