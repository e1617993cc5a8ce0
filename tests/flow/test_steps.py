"""The flow alone: a driver without I/O answers its steps from a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from tests.flow.kit import BAD, GOOD, request
from typing_extensions import override

from candor_guard.errors import DetectorError, UpstreamInterruptedError
from candor_guard.flow import (
    Answer,
    Close,
    Detect,
    Emit,
    Fetch,
    FlowContext,
    Gate,
    Head,
    Hold,
    Receive,
    Relay,
    ReplyHead,
    Send,
    SideReply,
    Start,
    Step,
    guard_flow,
)
from candor_guard.outcome import Outcome
from candor_guard.policy import Mode, Policy
from candor_guard.testing import FakeDetector, chat_body, chat_stream, finding_text, is_probe
from candor_guard.verdict import LABELS

Reply = list[bytes | Exception | None]


@dataclass
class _World:
    """Answers steps: bodies by call number, a detector, a clock that each step moves on."""

    replies: list[Reply]
    detector: FakeDetector = field(default_factory=FakeDetector)
    now: float = 0.0
    steps: list[Step] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def answer(self, step: Step) -> Answer:
        self.now += 1.0
        match step:
            case Gate():
                return self.detector.gate(step.conversation)
            case Detect():
                return self.detector.read([step.exchange])[0]
            case Head():
                return ReplyHead(ok=True, readable=True)
            case Receive():
                return self.receive(step)
            case Fetch():
                return self.fetch(step)
            case _:
                return None

    def receive(self, step: Receive) -> bytes | None:
        script = self.replies[step.call]
        piece = script.pop(0) if script else b""
        if isinstance(piece, Exception):
            raise piece
        return piece

    def fetch(self, step: Fetch) -> SideReply:
        return SideReply(ReplyHead(ok=True, readable=True), self.receive(Receive(step.call)) or b"")

    @property
    def names(self) -> list[str]:
        return [type(step).__name__ for step in self.steps]

    @property
    def emitted(self) -> bytes:
        return b"".join(step.data for step in self.steps if isinstance(step, Emit))


def play(
    world: _World, *, mode: Mode = "enforce", stream: bool = False, **policy: Any
) -> Outcome:  # fmt: skip
    context = FlowContext(
        request=request(stream=stream), policy=Policy(**{"probe": "never", **policy}), mode=mode, detector="fake@1",
        thresholds=dict.fromkeys(LABELS, 0.5), bars=dict.fromkeys(LABELS, 0.35),
        clock=world.clock, request_id="id",
    )  # fmt: skip
    flow = guard_flow(context)
    answer: Answer | Exception = None
    while True:
        try:
            step = flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            return outcome
        world.steps.append(step)
        try:
            answer = world.answer(step)
        except (DetectorError, UpstreamInterruptedError) as error:
            answer = error


BEGIN = ["Send", "Gate", "Head"]
READ = ["Receive", "Receive", "Detect"]
REPEAT = ["Send", "Head", *READ, "Close"]
ORDERS: dict[str, tuple[list[str], dict[str, Any], list[str]]] = {
    "off": ([GOOD], {"mode": "off"}, ["Send", "Head", "Start", "Relay"]),
    "clean": ([GOOD], {}, [*BEGIN, "Hold", *READ, "Start", "Emit"]),
    "observed": ([BAD], {"mode": "observe"}, [*BEGIN, *READ, "Start", "Emit"]),
    "regenerated": (
        [BAD, GOOD],
        {},
        [*BEGIN, "Hold", *READ, *REPEAT, "Close", "Start", "Emit"],
    ),
    "no better": ([BAD, BAD], {}, [*BEGIN, "Hold", *READ, *REPEAT, "Start", "Emit"]),
    "refused": ([BAD], {"max_attempts": 0, "on_unresolved": "refuse"}, [*BEGIN, "Hold", *READ]),
}


@pytest.mark.parametrize(("texts", "options", "order"), ORDERS.values(), ids=ORDERS)
def test_order(texts: list[str], options: dict[str, Any], order: list[str]) -> None:
    """The steps come in the documented order: sent before gated, judged before started."""
    world = _World([[chat_body(text)] for text in texts])
    play(world, **options)
    assert world.names == order


ASK = ["Send", "Fetch", "Close"]
ANSWER: Reply = [chat_body(finding_text("supported"))]
CLEARS: Reply = [chat_body(finding_text("false"))]
PROBED: dict[str, tuple[list[Reply], dict[str, Any], list[str]]] = {
    "confirmed": (
        [ANSWER, [chat_body(GOOD)]], {"probe": "uncertain"}, [*ASK, *REPEAT, "Close"],
    ),
    "cleared": ([CLEARS], {"probe": "uncertain"}, ASK),
    "parallel, confirmed": (
        [ANSWER, [chat_body(GOOD)]], {"probe": "parallel"},
        ["Send", *ASK, *REPEAT[1:], "Close"],
    ),
    "parallel, cleared": (
        [CLEARS, [chat_body(GOOD)]], {"probe": "parallel"}, ["Send", *ASK, "Close"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("replies", "options", "order"), PROBED.values(), ids=PROBED)
def test_order_with_a_probe(
    replies: list[Reply], options: dict[str, Any], order: list[str]
) -> None:
    """The probe comes between verdict and regeneration, or beside it, and is closed once read."""
    world = _World([[chat_body(BAD)], *[list(reply) for reply in replies]])
    play(world, **options)
    assert world.names == [*BEGIN, "Hold", *READ, *order, "Start", "Emit"]
    sides = [step for step in world.steps if isinstance(step, Send) and step.side]
    assert [is_probe(step.body) for step in sides] == [True]


def test_deadline_of_a_probe() -> None:
    """A probe has a deadline for all its calls; regenerations have theirs from their own start."""
    useless: Reply = [chat_body("Hm.")]
    world = _World([[chat_body(BAD)], useless, list(useless), [chat_body(GOOD)]])
    play(world, probe="uncertain", max_probe_seconds=50, max_regeneration_seconds=70)
    assert {s.deadline for s in world.steps if isinstance(s, Fetch)} == {7.0 + 50}
    waits = [s for s in world.steps if isinstance(s, (Head, Receive)) and s.call == 3]
    assert {s.deadline for s in waits} == {7.0 + 6 + 70}


def test_no_risk() -> None:
    """Without risk the flow asks for nothing but gate, head and relay."""
    world = _World([[]], FakeDetector(at_risk=False))
    assert play(world).evaluated == "gate"
    assert world.names == [*BEGIN, "Start", "Relay"]


def test_first_request_is_the_clients() -> None:
    """The first call sends the client's bytes, ahead of the gate where there is one."""
    for mode in ("enforce", "off"):
        world = _World([[chat_body(GOOD)]])
        play(world, mode=mode)
        assert world.steps[0] == Send(0, request().body, ahead=mode == "enforce")


def test_observed_stream_leaks_before_it_is_judged() -> None:
    """Observing emits complete frames before it asks the detector."""
    raw = chat_stream(["a ", "CAVE"])
    cut = raw.index(b"CAVE") - 40
    world = _World([[raw[:cut], raw[cut:]]])
    play(world, mode="observe", stream=True)
    assert world.names.index("Start") < world.names.index("Emit") < world.names.index("Detect")
    assert world.names.count("Start") == 1


def test_deadlines() -> None:
    """A held call and a regeneration are asked for before a deadline; observing has none."""
    world = _World([[chat_body(BAD)], [chat_body(GOOD)]])
    play(world, max_hold_seconds=5, max_regeneration_seconds=7)
    deadlines = [(s.call, s.deadline) for s in world.steps if isinstance(s, (Head, Receive))]
    assert deadlines[0] == (0, None)
    assert deadlines[1:3] == [(0, 9.0), (0, 9.0)]
    assert {deadline for call, deadline in deadlines if call == 1} == {14.0}
    world = _World([[chat_body(BAD)]])
    play(world, mode="observe")
    assert all(s.deadline is None for s in world.steps if isinstance(s, Receive))


def test_hold_time() -> None:
    """A deadline while held ends the hold: what came is judged and the rest relayed."""
    raw = chat_stream(["Seven", " is"])
    world = _World([[raw[:400], None]])
    outcome = play(world, stream=True)
    assert world.emitted == raw[:400]
    assert world.names[-3:] == ["Start", "Emit", "Relay"]
    assert (outcome.evaluated, outcome.skipped) == ("none", "hold_time")


def test_interrupted_while_held() -> None:
    """An upstream that breaks off while held ends the flow before anything left."""
    world = _World([[b"{", UpstreamInterruptedError("cut")]])
    with pytest.raises(UpstreamInterruptedError):
        play(world)
    assert not {"Start", "Emit", "Relay"} & set(world.names)


def test_times() -> None:
    """The record's times come from the flow's clock: calls and guard apart."""
    world = _World([[chat_body(BAD)], [chat_body(GOOD)]])
    outcome = play(world)
    assert outcome.guard_seconds == 3.0  # gate and two readings
    assert [attempt.seconds for attempt in outcome.attempts] == [7.0, 4.0]  # reading not included


def test_regeneration_budget() -> None:
    """No attempt begins after the time for regenerations."""
    world = _World([[chat_body(BAD)] for _ in range(4)])
    outcome = play(world, max_attempts=3, max_regeneration_seconds=10)
    assert len(outcome.attempts) == 3  # each takes 6 seconds of the clock
    assert outcome.action == "flag"


def test_a_candidate_is_closed_once_read() -> None:
    """Every regeneration is closed, and the original before its replacement is delivered."""
    world = _World([[chat_body(BAD)], [chat_body(GOOD)]])
    play(world)
    closes = [step.call for step in world.steps if isinstance(step, Close)]
    assert closes == [1, 0]
    assert [step.call for step in world.steps if isinstance(step, Start)] == [1]
    assert not any(isinstance(step, Relay) for step in world.steps)


@pytest.mark.parametrize("kind", [Gate, Head, Receive, Detect])
def test_a_broken_driver_is_noticed(kind: type[Step]) -> None:
    """A wrong answer is a programming error, not a verdict."""

    class _Wrong(_World):
        @override
        def answer(self, step: Step) -> Answer:
            right = super().answer(step)
            return cast("Answer", "nonsense") if isinstance(step, kind) else right

    with pytest.raises(TypeError) as caught:
        play(_Wrong([[chat_body(GOOD)]]))
    assert str(caught.value) == f"{kind.__name__} was answered with str"  # and shows no content


def test_a_wrong_answer_to_a_probe_is_noticed() -> None:
    """The same holds for a side call."""

    class _Wrong(_World):
        @override
        def fetch(self, step: Fetch) -> SideReply:
            return cast("SideReply", "nonsense")

    with pytest.raises(TypeError, match="Fetch was answered with str"):
        play(_Wrong([[chat_body(BAD)]]), probe="uncertain")


@pytest.mark.parametrize("kind", [Hold, Gate, Receive, Detect, Start])
def test_a_flow_can_be_abandoned(kind: type[Step]) -> None:
    """Closing the flow at any step asks for nothing more."""
    world = _World([[chat_body(GOOD)]])
    half, low = dict.fromkeys(LABELS, 0.5), dict.fromkeys(LABELS, 0.35)
    context = FlowContext(
        request(), Policy(), "enforce", "fake@1", half, low, world.clock, "id"
    )  # fmt: skip
    flow = guard_flow(context)
    step = flow.send(None)
    while not isinstance(step, kind):
        step = flow.send(world.answer(step))
    flow.close()
    with pytest.raises(StopIteration):
        flow.send(None)
