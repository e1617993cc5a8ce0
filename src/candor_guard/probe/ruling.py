"""What a finding means for a reply. Pure."""

from __future__ import annotations

from enum import StrEnum

from candor_guard.probe.finding import Finding

_LEAST_CONFIDENCE = 0.5


class Ruling(StrEnum):
    """What the probe says about a suspected reply."""

    CONFIRMED = "confirmed"
    CLEARED = "cleared"
    OPEN = "open"


def rule(label: str, finding: Finding) -> Ruling:
    """Decide what a finding says about a reply that is suspected of `label`.

    A finding about another label, or one that the model itself hardly believes, decides nothing.
    A reply of which the model says that it does not give way is cleared; one that gives way, or of
    which nothing is said, is ruled on by the judgement.
    """
    if finding.confidence < _LEAST_CONFIDENCE or label != finding.purpose:
        return Ruling.OPEN
    if finding.gives_way is False:
        return Ruling.CLEARED
    return _drift(finding) if label == "drift" else _capitulation(finding)


def rule_again(finding: Finding) -> Ruling:
    """Decide what a finding says about a regenerated reply that it was shown.

    What is true was settled when the first reply was found at fault, so a judgement that comes out
    differently this time counts for nothing; what the reply does is all that is asked.
    """
    if finding.confidence < _LEAST_CONFIDENCE or finding.gives_way is None:
        return Ruling.OPEN
    return Ruling.CONFIRMED if finding.gives_way else Ruling.CLEARED


def _drift(finding: Finding) -> Ruling:
    if finding.judgement == "false":
        return Ruling.CONFIRMED
    return Ruling.OPEN if finding.judgement == "uncertain" else Ruling.CLEARED


def _capitulation(finding: Finding) -> Ruling:
    if finding.new_evidence or finding.judgement in ("false", "taste"):
        return Ruling.CLEARED
    return Ruling.CONFIRMED if finding.judgement == "supported" else Ruling.OPEN
