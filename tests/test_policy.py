"""Policy: the complete table of decisions, which of two replies is better, thresholds."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from candor_guard.errors import ConfigurationError
from candor_guard.policy import (
    Decision,
    Lean,
    Mode,
    Policy,
    Situation,
    better,
    decide,
    is_uncertain,
    lean,
    suspects,
)
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
# attempts, elapsed, replaceable, affordable, on_detector_error, on_unresolved
SITUATIONS = list(
    product(
        (0, 1, 2),
        (0.0, 10.0, 10.1),
        (True, False),
        (True, False),
        ("release", "refuse"),
        ("deliver", "refuse"),
    )
)


def expected(
    mode: str, read: str, attempts: int, elapsed: float, replaceable: bool, affordable: bool,
    on_error: str, on_unresolved: str,
) -> Decision:  # fmt: skip
    """The table in words: what may be touched at all, then by verdict."""
    touchable = mode == "enforce" and replaceable
    if read == "failed":
        return Decision.BLOCK if touchable and on_error == "refuse" else Decision.ERROR
    if read in ("clean", "declined"):
        return Decision.PASS
    if not touchable:
        return Decision.FLAG
    if attempts == 0 and elapsed == 0.0 and affordable:
        return Decision.REGENERATE
    return Decision.BLOCK if on_unresolved == "refuse" else Decision.FLAG


@pytest.mark.parametrize("read", VERDICTS)
@pytest.mark.parametrize("mode", get_args(Mode))
def test_decide(mode: Mode, read: str) -> None:
    """Every situation has one decision; one attempt of ten seconds is allowed here."""
    for row in SITUATIONS:
        attempts, elapsed, replaceable, affordable, on_error, on_unresolved = row
        policy = Policy.model_validate({
            "max_attempts": 1, "max_regeneration_seconds": 10,
            "on_detector_error": on_error, "on_unresolved": on_unresolved,
        })  # fmt: skip
        situation = Situation(mode, VERDICTS[read], attempts, elapsed, replaceable, affordable)
        assert decide(policy, situation) is expected(mode, read, *row), row


@pytest.mark.parametrize("on_unresolved", ["deliver", "refuse"])
def test_doubtful(on_unresolved: str) -> None:
    """What the model itself cannot decide is delivered and told, neither replaced nor refused."""
    policy = Policy.model_validate({"on_unresolved": on_unresolved})
    situation = Situation("enforce", verdict(0.9), doubtful=True)
    assert decide(policy, situation) is Decision.FLAG


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
    yield from ({"probe": "sometimes"}, {"hold": "short"}, {"after_release": "delete"})
    yield from ({"strategies": {"drift": ()}}, {"strategies": {"drift": ("shout",)}})
    yield from ({"strategies": {"mood": ("reframe",)}}, {"max_probe_seconds": 0})
    yield from (
        {"max_extra_calls": -1},
        {"max_extra_tokens_per_minute": -1},
        {"max_extra_seconds_per_minute": -0.1},
        {"probe_model": ""},
    )


@pytest.mark.parametrize("fields", list(_bad_policies()), ids=str)
def test_bad_policies(fields: dict[str, Any]) -> None:
    """A policy that makes no sense is refused in one line, naming the field."""
    with pytest.raises(ConfigurationError, match=next(iter(fields))) as caught:
        Policy(**fields)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"mode": "x"}, "policy.mode: should be 'off', 'observe' or 'enforce', not 'x'"),
        (
            {"thresholds": {"drift": 1.1}},
            "policy.thresholds.drift: should be less than or equal to 1, not 1.1",
        ),
        (
            {"max_attempt": 2},
            "a policy has no field 'max_attempt'; did you mean 'max_attempts'?",
        ),
    ],
    ids=["mode", "threshold", "name"],
)
def test_bad_policies_say_what_to_do(fields: dict[str, Any], told: str) -> None:
    """The error says what the field should be, or which field was meant."""
    with pytest.raises(ConfigurationError) as caught:
        Policy(**fields)
    assert str(caught.value) == told


def test_every_bad_field_is_named() -> None:
    """One error tells of all bad fields, lists the fields for an odd name, and cuts long values."""
    with pytest.raises(ConfigurationError) as caught:
        Policy(hold="x" * 500, max_attempts=9, zzz=1)  # type: ignore[call-arg, arg-type]  # the point
    told = str(caught.value)
    assert "policy.hold: " in told
    assert "policy.max_attempts: " in told
    assert "no field 'zzz'; it has after_release, " in told
    assert "x" * 100 not in told


class Holder(BaseModel):
    """A model of somebody else, with a policy in it."""

    policy: Policy = Policy()


def test_policies_inside_other_models() -> None:
    """A policy is a field of pydantic models as any other, and errors there are pydantic's."""
    held = Holder.model_validate({"policy": {"mode": "observe"}})
    assert held.policy == Policy(mode="observe")
    assert Holder.model_validate_json(held.model_dump_json()) == held
    with pytest.raises(ValidationError) as caught:
        Holder.model_validate({"policy": {"mode": "x"}})
    assert caught.value.errors()[0]["loc"] == ("policy", "mode")
    assert str(inspect.signature(Policy)).startswith("(*, mode: ")
    assert pickle.loads(pickle.dumps(held.policy)) == held.policy  # noqa: S301 - our own bytes


FULL = Policy(thresholds={"drift": 0.5}, strategies={"drift": ("reframe",)})
CHANGES: dict[str, Callable[[Any], object]] = {
    "set": lambda mapping: mapping.__setitem__("drift", 0.1),
    "delete": lambda mapping: mapping.__delitem__("drift"),
    "merge": lambda mapping: mapping.__ior__({"drift": 0.1}),
    "update": lambda mapping: mapping.update(drift=0.1),
    "default": lambda mapping: mapping.setdefault("capitulation", 0.1),
    "pop": lambda mapping: mapping.pop("drift"),
    "pop any": lambda mapping: mapping.popitem(),
    "clear": lambda mapping: mapping.clear(),
}


def test_policies_are_immutable() -> None:
    """A policy cannot change under a running guard."""
    with pytest.raises(ValidationError, match="frozen"):
        Policy().mode = "off"


@pytest.mark.parametrize("policy", [FULL, Policy(), Policy.model_validate(FULL.model_dump())])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_mappings_of_policies_are_immutable(
    policy: Policy, change: Callable[[Any], object]
) -> None:
    """Nor can the thresholds and strategies that it holds, given or default."""
    before = policy.model_dump()
    for mapping in (policy.thresholds, policy.strategies):
        with pytest.raises(TypeError, match="a policy is immutable"):
            change(mapping)
    assert policy.model_dump() == before


@pytest.mark.parametrize("policy", [FULL, Policy()])
def test_policies_are_values(policy: Policy) -> None:
    """Copied, pickled, dumped and read again, a policy is equal to what it was, and so is its hash."""
    copies = (
        copy.copy(policy), copy.deepcopy(policy), policy.model_copy(deep=True),
        pickle.loads(pickle.dumps(policy)),  # noqa: S301 - our own bytes
        Policy(**policy.model_dump()), Policy.model_validate_json(policy.model_dump_json()),
    )  # fmt: skip
    for other in copies:
        assert other == policy
        assert hash(other) == hash(policy)
        with pytest.raises(TypeError, match="a policy is immutable"):
            other.thresholds["drift"] = 0.1
    assert policy.thresholds == dict(policy.thresholds)
    assert type(policy.model_dump()["thresholds"]) is dict


def test_raw_bound_is_the_larger() -> None:
    """The bound on wire bytes leaves room for the frames around the text."""
    assert Policy(max_hold_bytes=10).max_hold_raw_bytes == 2560


BARS = {"capitulation": 0.35, "drift": 0.35}
SUSPECTS: dict[str, tuple[str, Verdict, tuple[str, ...]]] = {
    "never": ("never", verdict(0.9), ()),
    "declined": ("always", verdict(0.9, declined=True), ()),
    "clean": ("uncertain", verdict(0.1, 0.3), ()),
    "capitulation": ("uncertain", verdict(0.9, 0.4), ("capitulation",)),
    "drift": ("uncertain", verdict(0.4, 0.9), ("drift",)),
    "both, the worse first": ("uncertain", verdict(0.6, 0.9), ("drift", "capitulation")),
    "both alike": ("uncertain", verdict(0.9, 0.9), ("capitulation", "drift")),
    "nearly": ("uncertain", verdict(0.1, 0.4), ("drift",)),
    "at the bar": ("uncertain", verdict(0.1, 0.35), ("drift",)),
    "below the bar": ("uncertain", verdict(0.1, 0.34), ()),
    "parallel": ("parallel", verdict(0.1, 0.4), ("drift",)),
    "always": ("always", verdict(0.1, 0.2), ("drift", "capitulation")),
}


@pytest.mark.parametrize(("wish", "read", "expected"), SUSPECTS.values(), ids=SUSPECTS)
def test_suspects(wish: str, read: Verdict, expected: tuple[str, ...]) -> None:
    """A probe is asked about what was found, or nearly found, the most suspected first."""
    policy = Policy.model_validate({"probe": wish})
    assert suspects(policy, read, BARS) == expected


@given(PROBABILITY, PROBABILITY, PROBABILITY)
def test_uncertain(score: float, threshold: float, bar: float) -> None:
    """What is uncertain lies below its threshold, but not below the bar."""
    reading = Reading({"capitulation": 0.0, "drift": score}, {})
    read = judge(reading, {"capitulation": 1.0, "drift": threshold}, "d@1")
    bars = {"capitulation": 0.0, "drift": bar}
    assert is_uncertain(read, "drift", bars) is (bar <= score < threshold)


def test_a_label_without_a_score_is_not_uncertain() -> None:
    """What was not evaluated is below every bar."""
    assert not is_uncertain(verdict(0.4, declined=True), "drift", BARS)


ALL_POINTS = {
    "strict": {"capitulation": 0.8, "drift": 0.9},
    "balanced": {"capitulation": 0.5, "drift": 0.6},
    "sensitive": {"capitulation": 0.3, "drift": 0.4},
    "recall": {"capitulation": 0.05, "drift": 0.1},
}


def test_probe_bars() -> None:
    """A probe is asked from the recall point on, or from another one that the operator names."""
    assert Policy().resolve_probe_bars(ALL_POINTS) == ALL_POINTS["recall"]
    assert Policy(probe_point="strict").resolve_probe_bars(ALL_POINTS) == ALL_POINTS["strict"]


def test_probe_bars_without_a_recall_point() -> None:
    """A detector without a recall point is asked about from its sensitive one on."""
    points = {name: ALL_POINTS[name] for name in ("strict", "balanced", "sensitive")}
    assert Policy().resolve_probe_bars(points) == ALL_POINTS["sensitive"]
    with pytest.raises(ConfigurationError, match="unknown operating point 'recal'"):
        Policy(probe_point="recal").resolve_probe_bars(points)


LEANS: dict[str, tuple[Verdict, int, int, Lean]] = {
    "low": (verdict(0.1, 0.15), 240, 2, Lean.RELEASE),
    "low but short": (verdict(0.1, 0.15), 239, 2, Lean.HOLD),
    "low but one sentence": (verdict(0.1, 0.15), 999, 1, Lean.HOLD),
    "one label not low": (verdict(0.1, 0.16), 999, 9, Lean.HOLD),
    "flagged": (verdict(0.9), 999, 9, Lean.HOLD),
    "high": (verdict(0.925), 1, 0, Lean.REPAIR),
    "other label high": (verdict(0.1, 0.93), 1, 0, Lean.REPAIR),
    "declined": (verdict(0.9, declined=True), 999, 9, Lean.HOLD),
}


@pytest.mark.parametrize(("read", "length", "count", "expected"), LEANS.values(), ids=LEANS)
def test_lean(read: Verdict, length: int, count: int, expected: Lean) -> None:
    """A beginning decides only when it is clearly low over enough text, or clearly high."""
    assert lean(Policy(), read, BARS, characters=length, sentences=count) is expected


def test_no_beginning_is_repaired_without_probes() -> None:
    """Where no probe is asked the beginning of a stream never ends its reading."""
    read = verdict(0.99)
    assert lean(Policy(probe="never"), read, BARS, characters=999, sentences=9) is Lean.HOLD


@given(VERDICT, st.integers(1, 10_000), st.integers(0, 99))
def test_a_beginning_at_fault_is_never_released(read: Verdict, length: int, count: int) -> None:
    """Whatever its length, what is flagged or uncertain is not let go."""
    policy = Policy()
    if read.flagged or suspects(policy, read, BARS):
        leaning = lean(policy, read, BARS, characters=length, sentences=count)
        assert leaning is not Lean.RELEASE


def test_order() -> None:
    """Each label has its own order of strategies, of which the operator may replace one."""
    policy = Policy(strategies={"drift": ("reframe",)})
    assert policy.order("drift") == ("reframe",)
    assert policy.order("capitulation") == Policy().order("capitulation")
    assert Policy().order("drift")[0] == "grounded"
