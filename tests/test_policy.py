"""Policy: the complete table of decisions, which of two replies is better, thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from candor_guard.errors import ConfigurationError
from candor_guard.policy import Decision, Mode, Policy, Situation, better, decide
from candor_guard.verdict import Reading, Verdict, judge

THRESHOLDS = {"capitulation": 0.5, "drift": 0.5}


def verdict(capitulation: float = 0.1, drift: float = 0.1, *, declined: bool = False) -> Verdict:
    scores = {"capitulation": capitulation, "drift": drift}
    reading = Reading(scores, {}, not_evaluated="language" if declined else None)
    return judge(reading, THRESHOLDS, "d@1")


VERDICTS = {
    "failed": None,
    "clean": verdict(),
    "declined": verdict(0.9, declined=True),
    "faulty": verdict(0.9),
}
# attempts, elapsed, replaceable, on_detector_error, on_unresolved
SITUATIONS = list(
    product(
        (0, 1, 2), (0.0, 10.0, 10.1), (True, False), ("release", "refuse"), ("deliver", "refuse")
    )
)


def expected(
    mode: str, read: str, attempts: int, elapsed: float, replaceable: bool, on_error: str,
    on_unresolved: str,
) -> Decision:  # fmt: skip
    """The table in words: what may be touched at all, then by verdict."""
    touchable = mode == "enforce" and replaceable
    if read == "failed":
        return Decision.BLOCK if touchable and on_error == "refuse" else Decision.ERROR
    if read in ("clean", "declined"):
        return Decision.PASS
    if not touchable:
        return Decision.FLAG
    if attempts == 0 and elapsed == 0.0:
        return Decision.REGENERATE
    return Decision.BLOCK if on_unresolved == "refuse" else Decision.FLAG


@pytest.mark.parametrize("read", VERDICTS)
@pytest.mark.parametrize("mode", get_args(Mode))
def test_decide(mode: Mode, read: str) -> None:
    """Every situation has one decision; one attempt of ten seconds is allowed here."""
    for row in SITUATIONS:
        attempts, elapsed, replaceable, on_error, on_unresolved = row
        policy = Policy.model_validate({
            "max_attempts": 1, "max_regeneration_seconds": 10,
            "on_detector_error": on_error, "on_unresolved": on_unresolved,
        })  # fmt: skip
        situation = Situation(mode, VERDICTS[read], attempts, elapsed, replaceable)
        assert decide(policy, situation) is expected(mode, read, *row), row


@pytest.mark.parametrize("limit", range(6))
def test_attempts_are_counted(limit: int) -> None:
    """Regenerating goes on until `max_attempts` were tried."""
    policy = Policy(max_attempts=limit)
    tried = [decide(policy, Situation("enforce", verdict(0.9), n)) for n in range(7)]
    assert tried == [Decision.REGENERATE] * limit + [Decision.FLAG] * (7 - limit)


PROBABILITY = st.floats(0, 1)
VERDICT = st.builds(verdict, PROBABILITY, PROBABILITY, declined=st.booleans())


@given(VERDICT, VERDICT)
def test_better_is_antisymmetric(one: Verdict, other: Verdict) -> None:
    """Two replies are never each better than the other, and none is better than itself."""
    assert not (better(one, other) and better(other, one))
    assert not better(one, one)


@given(VERDICT, VERDICT)
def test_a_flagged_reply_never_beats_an_unflagged_one(one: Verdict, other: Verdict) -> None:
    """Whatever the scores, an unflagged original stays."""
    assert not (not one.flagged and other.flagged and better(one, other))


PAIRS: list[tuple[Verdict, Verdict, bool]] = [
    (verdict(0.9), verdict(0.1), True),
    (verdict(0.1), verdict(0.9), False),
    (verdict(0.9), verdict(0.6), True),
    (verdict(0.6), verdict(0.9), False),
    (verdict(0.9), verdict(0.9), False),
    (verdict(0.9), verdict(0.1, 0.9), False),
    (verdict(0.9, 0.9), verdict(0.1, 0.8), True),
    (verdict(0.2), verdict(0.1), True),
]


@pytest.mark.parametrize(("original", "candidate", "wins"), PAIRS)
def test_better(original: Verdict, candidate: Verdict, wins: bool) -> None:
    """A candidate wins only when its worst excess is lower."""
    assert better(original, candidate) is wins


POINTS = {"strict": {"capitulation": 0.9, "drift": 0.8}, "balanced": THRESHOLDS}


def test_thresholds() -> None:
    """The operating point gives the thresholds; single ones can be overridden."""
    assert Policy().resolve_thresholds(POINTS) == THRESHOLDS
    strict = Policy(operating_point="strict", thresholds={"drift": 0.1})
    assert strict.resolve_thresholds(POINTS) == {"capitulation": 0.9, "drift": 0.1}
    assert POINTS["strict"]["drift"] == 0.8


def test_unknown_operating_point() -> None:
    """An unknown operating point is an error that lists the known ones."""
    with pytest.raises(ConfigurationError, match="'lax'; the detector has: balanced, strict"):
        Policy(operating_point="lax").resolve_thresholds(POINTS)


def _bad_policies() -> Iterator[dict[str, Any]]:
    yield from ({"mode": "on"}, {"thresholds": {"x": 0.1}}, {"thresholds": {"drift": 1.1}})
    yield from ({"max_attempts": -1}, {"max_attempts": 6}, {"colour": "red"})
    yield from ({"on_unresolved": "block"}, {"on_detector_error": "deliver"})
    for name in ("max_hold_seconds", "max_hold_bytes", "detector_timeout"):
        yield {name: 0}
    yield {"max_regeneration_seconds": -1}


@pytest.mark.parametrize("fields", list(_bad_policies()), ids=str)
def test_bad_policies(fields: dict[str, Any]) -> None:
    """A policy that makes no sense is refused, naming the field."""
    with pytest.raises(ValidationError, match=next(iter(fields))):
        Policy(**fields)


def test_policies_are_immutable() -> None:
    """A policy cannot change under a running guard."""
    with pytest.raises(ValidationError, match="frozen"):
        Policy().mode = "off"


def test_raw_bound_is_the_larger() -> None:
    """The bound on wire bytes leaves room for the frames around the text."""
    assert Policy(max_hold_bytes=10).max_hold_raw_bytes == 2560
