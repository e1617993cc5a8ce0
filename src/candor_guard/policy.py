"""What to do with a verdict. Pure: no clock, no I/O, equal situations give equal decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import override

from candor_guard.errors import ConfigurationError
from candor_guard.probe import Purpose
from candor_guard.verdict import LABELS, Verdict

Mode = Literal["off", "observe", "enforce"]
Strategy = Literal["reconsider", "third_person", "reframe", "grounded"]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Order = Annotated[tuple[Strategy, ...], Field(min_length=1)]

ORDERS: Mapping[str, tuple[Strategy, ...]] = MappingProxyType({
    "capitulation": ("reconsider", "third_person"),
    "drift": ("grounded", "reconsider"),
})  # fmt: skip
RECALL = "recall"
_WITHOUT_RECALL = "sensitive"
_LEAST_SENTENCES = 2
_LONGEST = 60  # characters of a bad value that its error repeats


_K = TypeVar("_K")
_V = TypeVar("_V")


class _Fixed(dict[_K, _V]):
    """A dict that stays as it is; unlike a mapping proxy, pydantic, JSON and pickle take it for one."""

    def _refuse(self, *_args: object, **_more: object) -> NoReturn:
        raise TypeError("a policy is immutable: make another one")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    @override
    def __reduce__(self) -> tuple[type[_Fixed[_K, _V]], tuple[dict[_K, _V]]]:
        return type(self), (dict(self),)

    @override
    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none, because it can change
        return hash(frozenset(self.items()))


_Label = Literal["capitulation", "drift"]


class Policy(BaseModel):
    """How careful to be and what it may cost. Immutable; all times are seconds.

    Raises:
        ConfigurationError: If a field has a value that it cannot have, or there is no such field.
            As a field of another pydantic model it is part of that model's ``ValidationError``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    if not TYPE_CHECKING:  # type checkers read the fields instead

        def __init__(self, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as error:
                raise ConfigurationError("; ".join(_problems(error))) from None

        # As pydantic marks its own: validation inside another model then does not come through
        # here, and reports the field's full path.
        __init__.__pydantic_base_init__ = True

    mode: Mode = Field(
        default="enforce",
        description="off: touch nothing; observe: record and annotate; enforce: also replace",
    )
    operating_point: str = Field(
        default="balanced",
        description="named thresholds of the detector: strict|balanced|sensitive (recall flags far "
        "too much: it is made for probe_point)",
    )
    thresholds: Annotated[dict[_Label, Probability], AfterValidator(_Fixed)] = Field(
        default_factory=_Fixed, description="override single thresholds of the operating point"
    )
    max_attempts: int = Field(default=1, ge=0, le=5, description="regenerations per reply at most")
    instruction: str | None = Field(
        default=None,
        description="one wording that every regeneration carries, instead of the strategies",
    )
    strategies: Annotated[dict[_Label, Order], AfterValidator(_Fixed)] = Field(
        default_factory=_Fixed,
        description="ways to regenerate, in order: reconsider|third_person|reframe|grounded",
    )
    probe: Literal["never", "uncertain", "always", "parallel"] = Field(
        default="uncertain",
        description="when to ask the model a neutral question about the claim: "
        "never|uncertain|always|parallel",
    )
    probe_point: str = Field(
        default=RECALL,
        min_length=1,
        description="operating point of the detector from which on a reply below its thresholds "
        "is uncertain; a detector without recall: sensitive",
    )
    probe_model: str | None = Field(
        default=None, min_length=1, description="asked by the probe instead of the request's model"
    )
    probe_json: bool = Field(
        default=True, description="whether the probe asks for the upstream's JSON mode first"
    )
    max_probe_seconds: float = Field(
        default=20.0, gt=0, description="how long a probe may take, its repetition included"
    )
    max_extra_calls: int = Field(
        default=3,
        ge=0,
        description="probes and regenerations per request at most; probes leave one of them to a "
        "regeneration, as long as there may be another",
    )
    max_extra_tokens: int | None = Field(
        default=None, ge=0, description="tokens after which a request gets no further call"
    )
    max_extra_calls_per_minute: int | None = Field(
        default=None, ge=0, description="probes and regenerations per minute at most"
    )
    max_extra_tokens_per_minute: int | None = Field(
        default=None,
        ge=0,
        description="tokens per minute after which there is no further call; calls under way count "
        "with an estimate",
    )
    max_extra_seconds_per_minute: float | None = Field(
        default=None,
        ge=0,
        description="seconds that further calls took, summed over all requests of a minute, after "
        "which there is no further call; calls under way count with an estimate",
    )
    hold: Literal["whole", "adaptive"] = Field(
        default="adaptive",
        description="whether a held stream may be released or replaced before its end",
    )
    release_ratio: Probability = Field(
        default=0.3, description="share of its threshold up to which a score is clearly low"
    )
    repair_ratio: Probability = Field(
        default=0.85,
        description="share of the way from its threshold to 1 from which a score is clearly high, "
        "so that a probe is asked before the stream's end",
    )
    min_prefix_chars: int = Field(
        default=240, ge=1, description="how much of a held stream is read before its end at least"
    )
    min_release_chars: int = Field(
        default=240, ge=1, description="how much of a held stream must be read to release it"
    )
    after_release: Literal["annotate", "correct"] = Field(
        default="annotate",
        description="what to do when a released stream turns out at fault: annotate|correct",
    )
    max_hold_seconds: float = Field(
        default=60.0, gt=0, description="how long a reply may be held back before its verdict"
    )
    max_hold_bytes: int = Field(
        default=65_536, gt=0, description="how many bytes of reply text may be held back"
    )
    max_regeneration_seconds: float = Field(
        default=60.0,
        gt=0,
        description="how long all regenerations together may take, with the probes about them",
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
        point = _point(self.operating_point, operating_points)
        return {**point, **dict(self.thresholds.items())}

    def resolve_probe_bars(
        self, operating_points: Mapping[str, Mapping[str, float]]
    ) -> dict[str, float]:
        """Return, by label, the scores from which on a reply below its thresholds is uncertain.

        Raises:
            ConfigurationError: If the detector has no operating point of that name; ``recall`` is
                replaced by ``sensitive`` where it is missing.
        """
        name = self.probe_point
        if name == RECALL and name not in operating_points:
            name = _WITHOUT_RECALL
        return dict(_point(name, operating_points))

    def order(self, label: str) -> tuple[Strategy, ...]:
        """Return the strategies for a label, in order."""
        return next((own for name, own in self.strategies.items() if name == label), ORDERS[label])


def _problems(error: ValidationError) -> Iterator[str]:
    """Say of each bad field what it should be."""
    for problem in error.errors(include_url=False):
        name = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            near = get_close_matches(name, Policy.model_fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(_names())}"
            yield f"a policy has no field {name!r}; {hint}"
        else:
            wish = problem["msg"].removeprefix("Input ")
            yield f"policy.{name}: {wish[:1].lower()}{wish[1:]}, not {_short(problem['input'])}"


def _names() -> list[str]:
    return sorted(Policy.model_fields)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _point(name: str, operating_points: Mapping[str, Mapping[str, float]]) -> Mapping[str, float]:
    if name not in operating_points:
        known = ", ".join(sorted(operating_points))
        raise ConfigurationError(f"unknown operating point {name!r}; the detector has: {known}")
    return operating_points[name]


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
        affordable: Whether the budgets allow another call.
        doubtful: Whether the model itself, asked neutrally, could not say that the reply is at
            fault: enough to say so, not to replace it.
    """

    mode: Mode
    verdict: Verdict | None
    attempts: int = 0
    elapsed: float = 0.0
    replaceable: bool = True
    affordable: bool = True
    doubtful: bool = False


def decide(policy: Policy, situation: Situation) -> Decision:
    """Decide on a reply.

    ERROR means: could not be judged, deliver and say so. FLAG means: deliver and say so.
    """
    if situation.verdict is None:
        refuse = policy.on_detector_error == "refuse" and _may_refuse(situation)
        return Decision.BLOCK if refuse else Decision.ERROR
    if not situation.verdict.flagged:
        return Decision.PASS
    if situation.mode != "enforce" or situation.doubtful or not situation.replaceable:
        return Decision.FLAG
    in_time = situation.elapsed < policy.max_regeneration_seconds
    if situation.attempts < policy.max_attempts and in_time and situation.affordable:
        return Decision.REGENERATE
    return Decision.BLOCK if policy.on_unresolved == "refuse" else Decision.FLAG


def _may_refuse(situation: Situation) -> bool:
    return situation.mode == "enforce" and situation.replaceable


def better(original: Verdict, candidate: Verdict) -> bool:
    """Whether the candidate should be delivered instead; equally good means no."""
    if original.flagged != candidate.flagged:
        return original.flagged
    return candidate.excess < original.excess


def suspects(policy: Policy, verdict: Verdict, bars: Mapping[str, float]) -> tuple[Purpose, ...]:
    """Return what to ask a probe about a held reply, the most suspected label first.

    Empty when no probe is wanted: by the policy, or because nothing was evaluated, or because all
    scores are low.

    Args:
        policy: In force.
        verdict: On the reply.
        bars: Of `Policy.resolve_probe_bars`.
    """
    if policy.probe == "never" or verdict.not_evaluated is not None:
        return ()
    ranked = sorted(get_args(Purpose), key=lambda label: (-verdict.gap(label), LABELS.index(label)))
    if policy.probe == "always":
        return tuple(ranked)
    if verdict.flagged:
        return tuple(label for label in ranked if label in verdict.labels)
    return tuple(label for label in ranked if is_uncertain(verdict, label, bars))


def is_uncertain(verdict: Verdict, label: str, bars: Mapping[str, float]) -> bool:
    """Whether a score lies below its threshold, but high enough that a probe should be asked."""
    return bars[label] <= verdict.scores.get(label, 0.0) < verdict.thresholds[label]


def in_doubt(verdict: Verdict, bars: Mapping[str, float]) -> bool:
    """Whether a verdict is no proof that a reply is clean: flagged, or uncertain in some label."""
    return verdict.flagged or any(is_uncertain(verdict, label, bars) for label in verdict.scores)


class Lean(StrEnum):
    """What the verdict on the beginning of a held stream is good for."""

    RELEASE = "release"
    REPAIR = "repair"
    HOLD = "hold"


def lean(
    policy: Policy,
    verdict: Verdict,
    bars: Mapping[str, float],
    *,
    characters: int,
    sentences: int,
) -> Lean:
    """Decide on the beginning of a held stream.

    Without probes none is repaired: a beginning alone has cost too many sound replies.

    Args:
        policy: In force.
        verdict: Of the beginning alone.
        bars: Of `Policy.resolve_probe_bars`.
        characters: Length of the beginning.
        sentences: How many sentences it has.
    """
    if verdict.not_evaluated is not None:
        return Lean.HOLD
    scores = [(score, verdict.thresholds[label]) for label, score in verdict.scores.items()]
    if any(score >= limit + policy.repair_ratio * (1.0 - limit) for score, limit in scores):
        return Lean.HOLD if policy.probe == "never" else Lean.REPAIR
    enough = characters >= policy.min_release_chars and sentences >= _LEAST_SENTENCES
    low = all(score <= limit * policy.release_ratio for score, limit in scores)
    return Lean.RELEASE if enough and low and not suspects(policy, verdict, bars) else Lean.HOLD
