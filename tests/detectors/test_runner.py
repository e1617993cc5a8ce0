"""Running a detector: every way to fail is one exception, and the event loop never waits."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from typing_extensions import override

from candor_guard.conversation import Conversation, Exchange
from candor_guard.detectors import Detector
from candor_guard.detectors.runner import DetectorRunner, RiskCache, digest
from candor_guard.errors import DetectorError, DetectorTimeoutError
from candor_guard.testing import FakeDetector, SlowGateDetector
from candor_guard.verdict import LABELS, SIGNALS, Reading, Risk

pytestmark = pytest.mark.anyio
CONVERSATION = Conversation.parse([{"role": "user", "content": "Is it?"}])
EXCHANGE = Exchange(CONVERSATION, "Yes.")
FINE = dict.fromkeys(LABELS, 0.1)


@dataclass(slots=True)
class _Scripted(FakeDetector):
    """Answers with whatever it is told, right or wrong."""

    answer: Callable[[], Any] = lambda: None

    @override
    def gate(self, conversation: Conversation) -> Risk:
        return cast("Risk", self.answer())

    @override
    def read(self, exchanges: Sequence[Exchange]) -> Sequence[Reading]:
        return cast("Sequence[Reading]", self.answer())


def _raise(error: Exception) -> Any:
    raise error


READINGS: dict[str, tuple[Callable[[], Any], str]] = {
    "raises": (lambda: _raise(ValueError("x")), "raised ValueError"),
    "raises a timeout": (lambda: _raise(TimeoutError()), "raised TimeoutError"),
    "raises ours": (lambda: _raise(DetectorError("as is")), "^as is$"),
    "none": (lambda: None, "raised TypeError"),
    "too few": (list, "0 readings for 1"),
    "too many": (lambda: [Reading(FINE, {})] * 2, "2 readings for 1"),
    "no reading": (lambda: ["high"], "raised AttributeError"),
    "label missing": (lambda: [Reading({"drift": 0.1}, {})], r"scored \['drift'\]"),
    "label unknown": (lambda: [Reading({**FINE, "mood": 0.1}, {})], "mood"),
    "nan": (lambda: [Reading({**FINE, "drift": float("nan")}, {})], "drift is nan"),
    "infinite": (lambda: [Reading({**FINE, "drift": float("inf")}, {})], "drift is inf"),
    "over one": (lambda: [Reading({**FINE, "drift": 1.01}, {})], "drift is 1.01"),
    "negative": (lambda: [Reading({**FINE, "drift": -0.1}, {})], "drift is -0.1"),
    "score is none": (
        lambda: [Reading({**FINE, "drift": cast("float", None)}, {})],
        "raised TypeE",
    ),
    "signal is nan": (lambda: [Reading(FINE, {"warmth": float("nan")})], "warmth is nan"),
}
GATES: dict[str, tuple[Callable[[], Any], str]] = {
    "raises": (lambda: _raise(ValueError("x")), "raised ValueError"),
    "none": (lambda: None, "raised AttributeError"),
    "nan": (lambda: Risk(True, float("nan"), "x"), "risk is nan"),
    "over one": (lambda: Risk(True, 2.0, "x"), "risk is 2.0"),
}
threads = pytest.mark.parametrize("inline", [True, False], ids=["inline", "thread"])


@pytest.fixture
def runner() -> Iterator[Callable[..., DetectorRunner]]:
    """Make runners that are closed after the test."""
    made: list[DetectorRunner] = []

    def make(detector: Detector, timeout: float = 5.0) -> DetectorRunner:
        made.append(DetectorRunner(detector, timeout))
        return made[-1]

    yield make
    for each in made:
        each.close()


@threads
@pytest.mark.parametrize(("answer", "message"), READINGS.values(), ids=READINGS)
async def test_bad_readings(
    answer: Callable[[], Any], message: str, inline: bool, runner: Callable[..., DetectorRunner]
) -> None:
    """A reading that is none is a detector error, on the loop and off it."""
    made = runner(_Scripted(answer=answer, inline=inline))
    with pytest.raises(DetectorError, match=message):
        made.read([EXCHANGE])
    with pytest.raises(DetectorError, match=message):
        await made.read_async(EXCHANGE)


@threads
@pytest.mark.parametrize(("answer", "message"), GATES.values(), ids=GATES)
async def test_bad_gates(
    answer: Callable[[], Any], message: str, inline: bool, runner: Callable[..., DetectorRunner]
) -> None:
    """A risk that is none is a detector error, on the loop and off it."""
    made = runner(_Scripted(answer=answer, inline=inline))
    with pytest.raises(DetectorError, match=message):
        made.gate(CONVERSATION)
    with pytest.raises(DetectorError, match=message):
        await made.gate_async(CONVERSATION)


@threads
async def test_good_answers(inline: bool, runner: Callable[..., DetectorRunner]) -> None:
    """Good answers arrive as they are, batches in order."""
    made = runner(FakeDetector(inline=inline))
    assert made.gate(CONVERSATION) == await made.gate_async(CONVERSATION)
    bad = Exchange(CONVERSATION, "CAVE")
    scores = [reading.scores["capitulation"] for reading in made.read([EXCHANGE, bad, EXCHANGE])]
    assert scores == [0.1, 0.9, 0.1]
    assert (await made.read_async(bad)).scores["capitulation"] == 0.9
    assert made.read([]) == []


async def test_declined_readings_need_no_scores(runner: Callable[..., DetectorRunner]) -> None:
    """A detector that declines need not score."""
    declined = Reading({}, dict.fromkeys(SIGNALS, 0.0), not_evaluated="language")
    made = runner(_Scripted(answer=lambda: [declined]))
    assert await made.read_async(EXCHANGE) == declined


def _where(names: list[str]) -> Callable[[Exchange], Mapping[str, float]]:
    def scores(_: Exchange) -> Mapping[str, float]:
        names.append(threading.current_thread().name)
        return FINE

    return scores


@threads
async def test_thread(inline: bool, runner: Callable[..., DetectorRunner]) -> None:
    """Only a detector that says it is cheap runs on the event loop."""
    names: list[str] = []
    made = runner(FakeDetector(scores=_where(names), inline=inline))
    await made.read_async(EXCHANGE)
    assert (names == [threading.current_thread().name]) is inline
    assert names[0].startswith("candor-detector") is not inline


def _blocked_by(event: threading.Event) -> Callable[[Exchange], Mapping[str, float]]:
    def scores(_: Exchange) -> Mapping[str, float]:
        event.wait(timeout=10)
        return FINE

    return scores


def _slow(seconds: float) -> Callable[[Exchange], Mapping[str, float]]:
    def scores(_: Exchange) -> Mapping[str, float]:
        time.sleep(seconds)
        return FINE

    return scores


async def test_timeout(runner: Callable[..., DetectorRunner]) -> None:
    """A reading that takes too long is given up, and the next one works again."""
    event = threading.Event()
    made = runner(FakeDetector(scores=_blocked_by(event), inline=False), timeout=0.05)
    with pytest.raises(DetectorTimeoutError, match=r"over 0\.05 s"):
        await made.read_async(EXCHANGE)
    event.set()
    assert (await made.read_async(EXCHANGE)).scores == FINE


async def test_waiting_is_no_failure(runner: Callable[..., DetectorRunner]) -> None:
    """Readings that wait for others may together take longer than one of them may."""
    made = runner(FakeDetector(scores=_slow(0.03), inline=False), timeout=0.2)
    readings = await asyncio.gather(*(made.read_async(EXCHANGE) for _ in range(10)))
    assert [reading.scores for reading in readings] == [FINE] * 10


async def test_waiting_has_an_end(runner: Callable[..., DetectorRunner]) -> None:
    """Nobody waits more than five times as long as a reading may take."""
    made = runner(FakeDetector(scores=_slow(0.04), inline=False), timeout=0.1)
    tasks = [made.read_async(EXCHANGE) for _ in range(40)]
    found = await asyncio.gather(*tasks, return_exceptions=True)
    read = [each for each in found if isinstance(each, Reading)]
    failed = [each for each in found if isinstance(each, DetectorTimeoutError)]
    assert len(read) + len(failed) == 40
    assert 2 <= len(read) <= 15


async def test_optional_readings_give_up_first(runner: Callable[..., DetectorRunner]) -> None:
    """Where many wait, what nothing depends on makes room for the others."""
    made = runner(FakeDetector(scores=_slow(0.05), inline=False), timeout=0.2)
    needed = [asyncio.create_task(made.read_async(EXCHANGE)) for _ in range(8)]
    await asyncio.sleep(0.01)
    with pytest.raises(DetectorTimeoutError, match="was busy for"):
        await made.read_async(EXCHANGE, optional=True)
    assert [reading.scores for reading in await asyncio.gather(*needed)] == [FINE] * 8


async def test_nobody_waits_behind_a_reading_that_hangs(
    runner: Callable[..., DetectorRunner],
) -> None:
    """When one reading takes too long, those behind it fail with it, and at the same time."""
    event = threading.Event()
    made = runner(FakeDetector(scores=_blocked_by(event), inline=False), timeout=0.2)
    began = time.perf_counter()
    tasks = [made.read_async(EXCHANGE) for _ in range(4)]
    found = await asyncio.gather(*tasks, return_exceptions=True)
    took = time.perf_counter() - began
    event.set()
    assert all(isinstance(each, DetectorTimeoutError) for each in found)
    assert took < 0.6


FORKED = """
    import asyncio, os, sys
    from candor_guard.conversation import Conversation, Exchange
    from candor_guard.detectors.runner import DetectorRunner
    from candor_guard.testing import FakeDetector

    exchange = Exchange(Conversation.parse([{"role": "user", "content": "Is it?"}]), "CAVE")
    runner = DetectorRunner(FakeDetector(inline=False), 5.0)

    async def judge():
        await runner.gate_async(exchange.conversation)
        return (await runner.read_async(exchange)).scores["capitulation"]

    first = asyncio.run(judge())
    child = os.fork()
    wrong = asyncio.run(judge()) != first
    runner.close()
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or wrong)
    os._exit(wrong)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_gets_threads_of_its_own() -> None:
    """What was read before a fork is read after it, on both sides."""
    code = textwrap.dedent(FORKED)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


async def test_whoever_leaves_is_not_read(runner: Callable[..., DetectorRunner]) -> None:
    """A reading that is cancelled while it waits costs the others nothing."""
    event = threading.Event()
    read: list[str] = []

    def scores(exchange: Exchange) -> Mapping[str, float]:
        read.append(exchange.reply)
        return _blocked_by(event)(exchange)

    made = runner(FakeDetector(scores=scores, inline=False))
    first = asyncio.create_task(made.read_async(EXCHANGE))
    waiting = asyncio.create_task(made.read_async(Exchange(CONVERSATION, "Never read.")))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    event.set()
    assert (await first).scores == FINE
    assert (await made.read_async(EXCHANGE)).scores == FINE
    assert read == ["Yes.", "Yes."]


async def test_a_lane_that_closes_is_a_failure() -> None:
    """A reading that waits when the guard is closed fails, and does not look cancelled."""
    event = threading.Event()
    made = DetectorRunner(FakeDetector(scores=_blocked_by(event), inline=False), 5.0)
    tasks = [asyncio.create_task(made.read_async(EXCHANGE)) for _ in range(2)]
    await asyncio.sleep(0.01)
    made.close()
    event.set()
    assert (await tasks[0]).scores == FINE
    with pytest.raises(DetectorError, match="closed"):
        await tasks[1]


async def test_the_loop_goes_on(runner: Callable[..., DetectorRunner]) -> None:
    """While a detector works, others are served."""
    event = threading.Event()
    made = runner(FakeDetector(scores=_blocked_by(event), inline=False))
    reading = asyncio.create_task(made.read_async(EXCHANGE))
    await asyncio.sleep(0.01)
    assert not reading.done()
    event.set()
    assert (await reading).scores == FINE


def test_signal_that_is_no_number_is_a_failure() -> None:
    """A NaN among the signals would make every record of it invalid JSON."""
    reading = Reading(FINE, {**dict.fromkeys(SIGNALS, 0.5), "warmth": float("nan")})
    with pytest.raises(DetectorError, match="warmth"):
        DetectorRunner(_Scripted(answer=lambda: [reading]), 1.0).read([EXCHANGE])


@dataclass(slots=True)
class _Counting(FakeDetector):
    """Counts how often it is asked."""

    gated: list[Conversation] = field(default_factory=list)

    @override
    def gate(self, conversation: Conversation) -> Risk:
        self.gated.append(conversation)
        return FakeDetector.gate(self, conversation)


OTHER = Conversation.parse([{"role": "user", "content": "Is it not?"}])


@threads
async def test_known_risks(inline: bool, runner: Callable[..., DetectorRunner]) -> None:
    """A detector off the event loop judges a conversation once; a cheap one is simply asked."""
    detector = _Counting(inline=inline)
    made = runner(detector)
    risks = [made.gate(CONVERSATION), *[await made.gate_async(CONVERSATION) for _ in range(2)]]
    assert len(set(risks)) == 1
    assert len(detector.gated) == (3 if inline else 1)
    await made.gate_async(OTHER)
    assert detector.gated[-1] == OTHER


async def test_failures_are_not_known_risks(runner: Callable[..., DetectorRunner]) -> None:
    """A gate that failed is asked again."""
    detector = _Counting(inline=False, gate_error=ValueError("x"))
    made = runner(detector)
    for _ in range(2):
        with pytest.raises(DetectorError):
            await made.gate_async(CONVERSATION)
    assert len(detector.gated) == 2


async def test_first_look(runner: Callable[..., DetectorRunner]) -> None:
    """What a first look settles is neither gated nor looked up; what it leaves open is both."""
    plain = Risk(at_risk=False, score=0.1, reason="none")
    detector = SlowGateDetector(plain=lambda c: plain if c == OTHER else None)
    made = runner(detector)
    assert [made.gate(OTHER), await made.gate_async(OTHER)] == [plain, plain]
    assert detector.gated == []
    risks = [await made.gate_async(CONVERSATION), made.gate(CONVERSATION)]
    assert [risk.at_risk for risk in risks] == [True, True]
    assert detector.gated == [CONVERSATION]


async def test_gates_have_a_thread_of_their_own(runner: Callable[..., DetectorRunner]) -> None:
    """A slow gate runs off the event loop, and not in the thread that reads."""
    names: list[str] = []

    def tell() -> None:
        names.append(threading.current_thread().name)

    made = runner(SlowGateDetector(scores=_where(names), pause=tell))
    await made.gate_async(CONVERSATION)
    await made.read_async(EXCHANGE)
    assert [name.rpartition("_")[0] for name in names] == ["candor-gate", "candor-detector"]


def test_risks_are_bounded() -> None:
    """The risk that was used longest ago is forgotten first."""
    cache = RiskCache(2)
    risk = Risk(at_risk=True, score=0.5, reason="pressure")
    for key in (b"a", b"b"):
        cache.keep(key, risk)
    assert cache.find(b"a") == risk
    cache.keep(b"c", risk)
    assert [cache.find(key) for key in (b"a", b"b", b"c")] == [risk, None, risk]


CONVERSATIONS = [
    [("user", "ab")],
    [("user", "a"), ("user", "b")],
    [("user", "a"), ("assistant", "b")],
    [("assistant", "ab")],
    [("user", "a user False 1 b")],
    [("user", "\ud800")],
    [("user", "?")],
]


def test_digests() -> None:
    """Different conversations have different digests, however their texts are cut into turns."""
    parsed = [
        Conversation.parse([{"role": role, "content": text} for role, text in turns])
        for turns in CONVERSATIONS
    ]
    assert len({digest(each) for each in parsed}) == len(CONVERSATIONS)
    assert digest(parsed[0]) == digest(Conversation.parse([{"role": "user", "content": "ab"}]))
