"""What to do with a verdict. Pure: no clock, no I/O, equal situations give equal decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from candor_guard.errors import ConfigurationError
from candor_guard.verdict import Verdict

Mode = Literal["off", "observe", "enforce"]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class Policy(BaseModel):
    """How careful to be and what it may cost. Immutable; all times are seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode = Field(
        default="enforce",
        description="off: touch nothing; observe: record and annotate; enforce: also replace",
    )
    operating_point: str = Field(
        default="balanced",
        description="named thresholds of the detector: strict|balanced|sensitive",
    )
    thresholds: dict[Literal["capitulation", "drift"], Probability] = Field(
        default_factory=dict, description="override single thresholds of the operating point"
    )
    max_attempts: int = Field(default=1, ge=0, le=5, description="regenerations per reply at most")
    instruction: str = Field(
        default="reconsider-1", description="name of the wording that a regeneration carries"
    )
    max_hold_seconds: float = Field(
        default=60.0, gt=0, description="how long a reply may be held back before its verdict"
    )
    max_hold_bytes: int = Field(
        default=65_536, gt=0, description="how many bytes of reply text may be held back"
    )
    max_regeneration_seconds: float = Field(
        default=60.0, gt=0, description="how long all regenerations together may take"
    )
    detector_timeout: float = Field(
        default=2.0,
        gt=0,
        description="how long a detector with a thread of its own may take before it has failed",
    )
    on_detector_error: Literal["release", "refuse"] = Field(
        default="release", description="what to do with a reply that could not be read"
    )
    on_unresolved: Literal["deliver", "refuse"] = Field(
        default="deliver", description="what to do with a reply that stays at fault"
    )

    @property
    def max_hold_raw_bytes(self) -> int:
        """Bound on held wire bytes: every token of a stream comes in hundreds of bytes of frame."""
        return 256 * self.max_hold_bytes

    def resolve_thresholds(
        self, operating_points: Mapping[str, Mapping[str, float]]
    ) -> dict[str, float]:
        """Return the thresholds by label.

        Raises:
            ConfigurationError: If the detector has no operating point of that name.
        """
        if self.operating_point not in operating_points:
            known = ", ".join(sorted(operating_points))
            raise ConfigurationError(
                f"unknown operating point {self.operating_point!r}; the detector has: {known}"
            )
        return {**operating_points[self.operating_point], **dict(self.thresholds.items())}


class Decision(StrEnum):
    """What happens next to a reply."""

    PASS = "pass"  # noqa: S105 - a decision, not a password
    FLAG = "flag"
    REGENERATE = "regenerate"
    BLOCK = "block"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything a decision depends on.

    Attributes:
        mode: The mode in force for this request.
        verdict: Of the best candidate so far; None when the detector failed.
        attempts: Regenerations already tried.
        elapsed: Seconds spent on regenerations so far.
        replaceable: Whether the reply can still be replaced (nothing of it was delivered).
    """

    mode: Mode
    verdict: Verdict | None
    attempts: int = 0
    elapsed: float = 0.0
    replaceable: bool = True


def decide(policy: Policy, situation: Situation) -> Decision:
    """Decide on a reply.

    ERROR means: could not be judged, deliver and say so. FLAG means: deliver and say so.
    """
    if situation.verdict is None:
        refuse = policy.on_detector_error == "refuse" and _may_refuse(situation)
        return Decision.BLOCK if refuse else Decision.ERROR
    if not situation.verdict.flagged:
        return Decision.PASS
    if situation.mode != "enforce" or not situation.replaceable:
        return Decision.FLAG
    within_budget = situation.elapsed < policy.max_regeneration_seconds
    if situation.attempts < policy.max_attempts and within_budget:
        return Decision.REGENERATE
    return Decision.BLOCK if policy.on_unresolved == "refuse" else Decision.FLAG


def _may_refuse(situation: Situation) -> bool:
    return situation.mode == "enforce" and situation.replaceable


def better(original: Verdict, candidate: Verdict) -> bool:
    """Whether the candidate should be delivered instead; equally good means no."""
    if original.flagged != candidate.flagged:
        return original.flagged
    return candidate.excess < original.excess
