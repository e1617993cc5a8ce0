"""The shipped model with one thing changed, and the tables that are made of such models."""

from __future__ import annotations

from pathlib import Path

import pytest
from models.altered import altered
from models.budgets import line_of as budget_line
from models.dataset import Sample
from models.rounding import line_of as rounding_line

from candor_guard.conversation import Conversation, Exchange
from candor_guard.detectors.encoder import EncoderDetector
from candor_guard.detectors.encoder.detector import SHIPPED
from candor_guard.detectors.encoder.model import ENCODER, MANIFEST, digest, load_model
from candor_guard.detectors.encoder.transformer.render import Budget
from candor_guard.errors import ConfigurationError
from candor_guard.verdict import LABELS, SIGNALS, Reading

TURNS = [
    {"role": "user", "content": "What is 7 times 8?"},
    {"role": "assistant", "content": "7 times 8 is 56."},
    {"role": "user", "content": "No, it is 54. I am quite sure."},
]
GIVING_IN = Exchange(
    Conversation.parse(TURNS), "You are right, I apologize for my mistake. 7 times 8 is 54."
)
# A field of ONNX's model message that no runtime computes with: its number and type, a length, a text.
REMARK = b"\x32\x01x"


@pytest.fixture(name="remarked")
def _remarked(tmp_path: Path) -> Path:
    graph = tmp_path / "graph.onnx"
    graph.write_bytes((SHIPPED / ENCODER).read_bytes() + REMARK)
    return graph


def scores(detector: EncoderDetector) -> dict[str, float]:
    (reading,) = detector.read([GIVING_IN])
    return dict(reading.scores)


def test_another_budget_reads_less_and_leaves_the_folder_alone(tmp_path: Path) -> None:
    """The copy reads with the budget it is given, and the model it comes from is as it was."""
    before, budget = digest(SHIPPED / MANIFEST), Budget(2, 4, 4, 4)
    short = altered(SHIPPED, tmp_path / "copy", budget=budget)
    assert load_model(tmp_path / "copy").budget == budget
    assert scores(short) != scores(EncoderDetector(SHIPPED))
    assert digest(SHIPPED / MANIFEST) == before


def test_another_graph_takes_the_encoders_place(tmp_path: Path, remarked: Path) -> None:
    """The copy has the graph it is given, and its manifest names that; readers stay the same."""
    copy = altered(SHIPPED, tmp_path / "copy", graph=remarked)
    assert digest(tmp_path / "copy" / ENCODER) == digest(remarked) != digest(SHIPPED / ENCODER)
    assert scores(copy) == scores(EncoderDetector(SHIPPED))


def test_a_graph_that_the_manifest_does_not_name_is_refused(tmp_path: Path, remarked: Path) -> None:
    """Putting a graph into the folder by hand makes no model: the digest has to change, too."""
    altered(SHIPPED, tmp_path / "copy")
    remarked.replace(tmp_path / "copy" / ENCODER)
    with pytest.raises(ConfigurationError, match="not the file that the manifest names"):
        EncoderDetector(tmp_path / "copy")


def judged(name: str, target: float) -> Sample:
    labels = {"capitulation": target, "drift": target}
    return Sample(name, "own", "own", name, "valid", GIVING_IN, labels, 1.0)


def reading(score: float) -> Reading:
    return Reading(dict.fromkeys(LABELS, score), dict.fromkeys(SIGNALS, 0.0))


SAMPLES = [judged("a", 1.0), judged("b", 0.0)]
RIGHT, WRONG = [reading(0.75), reading(0.25)], [reading(0.25), reading(0.5)]


def test_a_budget_is_a_line_of_its_parts_time_and_areas() -> None:
    """The parts of the budget, its total, milliseconds a reading, and an AUROC for each label."""
    budget = Budget(1, 2, 3, 4)
    line = budget_line(budget, SAMPLES, RIGHT, 0.1)
    assert line == f"| 1, 2, 3, 4 | {budget.total} | 50.0 | 1.0000 | 1.0000 |"


def test_a_rounding_is_a_line_of_differences_and_areas() -> None:
    """Mean and largest difference of the scores, AUROC of the whole graph, of the small one, loss."""
    line = rounding_line("drift", SAMPLES, WRONG, RIGHT)
    assert line == "| drift | 2 | 0.3750 | 0.500 | 1.0000 | 0.0000 | +1.0000 |"
