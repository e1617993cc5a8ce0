"""A reply while it is read, and a probe while it is under way."""

from __future__ import annotations

from dataclasses import dataclass, field

from candor_guard.probe import Finding, Question
from candor_guard.surface import ReplyReader
from candor_guard.verdict import Reading, Verdict


@dataclass(slots=True)
class Inquiry:
    """A probe that is under way, or has ended.

    Attributes:
        asked: The question as it was put last.
        deadline: For the whole probe, its repetitions included, on the flow's clock.
        call: Number of the call that is under way.
        began: When that call was sent.
        bare: Whether it was sent without anything that an upstream may refuse.
        repaired: Whether the question was put once more after a useless answer.
        regenerated: Whether it is about a regenerated reply.
        ended: Whether there is nothing more to wait for.
        trouble: Why there is no finding, where there is none.
        finding: What came of it, or None.
    """

    asked: Question
    deadline: float
    call: int = 0
    began: float = 0.0
    bare: bool = False
    repaired: bool = False
    regenerated: bool = False
    ended: bool = False
    trouble: str = "useless"
    finding: Finding | None = None


@dataclass(frozen=True, slots=True)
class Beginning:
    """The beginning of a reply that is clearly at fault, and the probe that was asked about it.

    Attributes:
        length: Of the beginning, in characters.
        reading: Of the beginning alone.
        verdict: On the beginning alone.
        inquiry: The probe.
    """

    length: int
    reading: Reading
    verdict: Verdict
    inquiry: Inquiry


@dataclass(slots=True)
class Candidate:
    """A reply while it is read.

    Attributes:
        call: Which upstream call brings it.
        reader: What it says so far.
        began: When its call was sent.
        body: Bytes received and not yet emitted.
        safe: How many bytes from the start may leave before the end is known.
        emitted: How many bytes left already.
        complete: Whether the reply's end was seen.
        drained: Whether the connection said that there is nothing more.
        bound: The bound that ended reading early, or None.
        beginning: Its beginning, where that was clearly at fault and a probe was asked.
        cut: How many characters were judged when their verdict ended reading; None: all.
        free: Whether its call was refused before it cost anything.
        released: Whether its beginning was found clearly clean, so that it leaves as it comes.
        reading: None until read.
        verdict: The reading held against the thresholds; None until read.
        ended: When its body had been read, on the flow's clock; None until then.
        review: What the probe said of it, where it is a regenerated one that was asked about.
        failure: Of a regenerated one: what the upstream failed with, or None.
    """

    call: int
    reader: ReplyReader
    began: float
    body: bytearray = field(default_factory=bytearray)
    safe: int = 0
    emitted: int = 0
    complete: bool = False
    drained: bool = False
    bound: str | None = None
    beginning: Beginning | None = None
    cut: int | None = None
    free: bool = False
    released: bool = False
    reading: Reading | None = None
    verdict: Verdict | None = None
    ended: float | None = None
    review: str | None = None
    failure: str | None = None

    @property
    def text(self) -> str:
        """The part of the reply that is judged."""
        return self.reader.text[: self.cut]
