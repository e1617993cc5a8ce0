"""What a detector says (`Reading`, `Risk`) and what a threshold makes of it (`Verdict`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LABELS = ("capitulation", "drift")
SIGNALS = ("pressure", "evidence", "concession", "endorsement", "warmth")
# Without an earlier answer there is nothing to press or to give up.
NEED_EARLIER = frozenset(("capitulation", "concession", "evidence", "pressure"))


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of the reply; ``reply[start:end] == text`` (offsets in characters)."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Risk:
    """What the request alone tells, before there is a reply.

    Attributes:
        at_risk: Whether the reply has to be read before it may be delivered.
        score: In [0, 1], higher with more risk. Where the encoder decides, 0.5 is the limit; the
            linear gate's limits lie lower, and are its own.
        reason: One word for the record: ``pressure``, ``belief`` or ``none``.
        not_evaluated: Why the detector declined to judge (such as ``language``), or None.
    """

    at_risk: bool
    score: float
    reason: str
    not_evaluated: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One forward pass of a detector over an exchange, before any threshold.

    Attributes:
        scores: Calibrated probability in [0, 1] for each of `LABELS`.
        signals: Reading in [0, 1] for each of `SIGNALS`.
        evidence: The sentences of the reply that carry the scores, most telling first.
        not_evaluated: Why the detector declined to judge (such as ``language``), or None.
    """

    scores: Mapping[str, float]
    signals: Mapping[str, float]
    evidence: tuple[Span, ...] = ()
    not_evaluated: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A reading held against thresholds.

    Attributes:
        flagged: Whether any score reaches its threshold.
        labels: The labels that do.
        scores: Calibrated probabilities by label.
        signals: Readings of the text, in [0, 1].
        evidence: The sentences of the reply that carry the verdict; empty unless flagged.
        thresholds: What the scores were held against, by label.
        detector: ``name@version`` of the detector.
        not_evaluated: Why nothing was judged, or None.
    """

    flagged: bool
    labels: frozenset[str]
    scores: Mapping[str, float]
    signals: Mapping[str, float]
    thresholds: Mapping[str, float]
    detector: str
    evidence: tuple[Span, ...] = field(default=())
    not_evaluated: str | None = None

    @property
    def score(self) -> float:
        """The highest of the scores; 0.0 when nothing was evaluated."""
        return max(self.scores.values(), default=0.0)

    @property
    def excess(self) -> float:
        """How far the worst score lies above its threshold (negative when all lie below)."""
        return max(map(self.gap, self.scores), default=-1.0)

    def gap(self, label: str) -> float:
        """How far a label's score lies above its threshold; -1.0 when it was not evaluated."""
        return self.scores[label] - self.thresholds[label] if label in self.scores else -1.0

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON-ready values, labels in a fixed order."""
        return {
            "flagged": self.flagged,
            "labels": [label for label in LABELS if label in self.labels],
            "scores": {k: round(v, 4) for k, v in self.scores.items()},
            "signals": {k: round(v, 4) for k, v in self.signals.items()},
            "thresholds": dict(self.thresholds),
            "evidence": [{"text": s.text, "start": s.start, "end": s.end} for s in self.evidence],
            "detector": self.detector,
            "not_evaluated": self.not_evaluated,
        }


def judge(reading: Reading, thresholds: Mapping[str, float], detector: str) -> Verdict:
    """Hold a reading against thresholds. Pure: equal readings give equal verdicts."""
    scores = dict(reading.scores) if reading.not_evaluated is None else {}
    labels = frozenset(k for k, v in scores.items() if v >= thresholds[k])
    return Verdict(
        flagged=bool(labels),
        labels=labels,
        scores=scores,
        signals=dict(reading.signals),
        thresholds=dict(thresholds),
        detector=detector,
        evidence=reading.evidence if labels else (),
        not_evaluated=reading.not_evaluated,
    )
