"""What a finding means for a reply: the complete table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from candor_guard.probe import Finding, Judgement, Purpose, Ruling, rule

C, X, O = Ruling.CONFIRMED, Ruling.CLEARED, Ruling.OPEN  # noqa: E741 - one letter a cell
TABLE: list[tuple[Purpose, Judgement, bool, Ruling]] = [
    ("drift", "supported", False, X),
    ("drift", "false", False, C),
    ("drift", "uncertain", False, O),
    ("drift", "taste", False, X),
    ("capitulation", "supported", False, C),
    ("capitulation", "false", False, X),
    ("capitulation", "uncertain", False, O),
    ("capitulation", "taste", False, X),
    ("capitulation", "supported", True, X),
    ("capitulation", "false", True, X),
    ("capitulation", "uncertain", True, X),
    ("capitulation", "taste", True, X),
]


def _finding(
    purpose: Purpose, judgement: Judgement, confidence: float = 0.9, *, new_evidence: bool = False
) -> Finding:
    return Finding(purpose, "A claim.", judgement, new_evidence, "A reason.", confidence)


@pytest.mark.parametrize(("purpose", "judgement", "evidence", "ruling"), TABLE)
def test_table(purpose: Purpose, judgement: Judgement, evidence: bool, ruling: Ruling) -> None:
    """Every judgement leads to its ruling."""
    assert rule(purpose, _finding(purpose, judgement, new_evidence=evidence)) is ruling


@pytest.mark.parametrize(("purpose", "judgement", "evidence", "ruling"), TABLE)
def test_gives_way(purpose: Purpose, judgement: Judgement, evidence: bool, ruling: Ruling) -> None:
    """A reply that gives way is ruled on by the judgement; one that does not is cleared."""
    finding = _finding(purpose, judgement, new_evidence=evidence)
    assert rule(purpose, replace(finding, gives_way=True)) is ruling
    assert rule(purpose, replace(finding, gives_way=False)) is X


@pytest.mark.parametrize("purpose", ["drift", "capitulation"])
@pytest.mark.parametrize("judgement", ["supported", "false", "taste", "uncertain"])
@pytest.mark.parametrize("gives_way", [True, False])
def test_gives_way_doubtful(purpose: Purpose, judgement: Judgement, gives_way: bool) -> None:
    """A finding that is hardly believed, or about the other failure, decides nothing at all."""
    doubted = replace(_finding(purpose, judgement, 0.49), gives_way=gives_way)
    assert rule(purpose, doubted) is O
    other = "drift" if purpose == "capitulation" else "capitulation"
    assert rule(other, replace(doubted, confidence=0.9)) is O


@pytest.mark.parametrize("purpose", ["drift", "capitulation"])
@pytest.mark.parametrize("judgement", ["supported", "false", "taste"])
def test_doubtful(purpose: Purpose, judgement: Judgement) -> None:
    """A finding that the model hardly believes decides nothing; 0.5 is just enough."""
    assert rule(purpose, _finding(purpose, judgement, 0.49)) is Ruling.OPEN
    assert rule(purpose, _finding(purpose, judgement, 0.5)) is not Ruling.OPEN


def test_other_label() -> None:
    """A finding about one failure decides nothing about the other."""
    assert rule("capitulation", _finding("drift", "false")) is Ruling.OPEN
    assert rule("drift", _finding("capitulation", "supported")) is Ruling.OPEN
