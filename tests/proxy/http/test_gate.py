"""A gate that takes time, beside the upstream's own: what waits for it, and what does not."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from tests.proxy.http.stage import DISPUTE, stage
from tests.proxy.http.test_decisions import candor_in, text_in
from tests.proxy.http.upstream import says, streamed
from typing_extensions import override

from candor_guard.conversation import Conversation, Exchange
from candor_guard.errors import DetectorError
from candor_guard.testing import SlowGateDetector, by_marker, chat_stream
from candor_guard.verdict import Risk

pytestmark = pytest.mark.anyio

FINE = "It is 56."
NO_RISK = Risk(at_risk=False, score=0.0, reason="none")
ORDINARY: list[Any] = [{"role": "user", "content": "Write a haiku about rain."}]
PATIENCE = 5.0


def only_without_earlier_answer(conversation: Conversation) -> Risk | None:
    """A first look that settles first turns and leaves all others open."""
    return None if conversation.earlier_reply else NO_RISK


def waiting(event: threading.Event) -> Callable[[], object]:
    return lambda: event.wait(PATIENCE)


async def test_upstream_works_while_the_gate_does() -> None:
    """The upstream has the request, and can answer all of it, before a slow gate has spoken."""
    go = threading.Event()
    detector = SlowGateDetector(at_risk=False, pause=waiting(go))
    async with stage(says(FINE, stream=True), detector=detector) as on:
        asking = asyncio.create_task(on.chat(stream=True))
        await on.upstream.called(1)
        assert not asking.done()
        go.set()
        response, body = await asking
    assert response.headers["x-candor-evaluated"] == "gate"
    assert text_in(body, stream=True) == FINE


async def test_gate_hides_behind_the_upstreams_first_byte() -> None:
    """Gate and upstream take their time side by side, not one after the other."""
    slow = (0.4, *says(FINE, stream=True))
    detector = SlowGateDetector(at_risk=False, pause=lambda: time.sleep(0.4))
    async with stage(slow, detector=detector) as on:
        began = time.perf_counter()
        await on.chat(stream=True)
        took = time.perf_counter() - began
    assert 0.4 <= took < 0.75


async def test_slow_gate_costs_a_fast_upstream_its_own_time_only() -> None:
    """A turn that is not at risk arrives when the gate has spoken, byte for byte."""
    raw = chat_stream(["It ", "is ", "56."])
    detector = SlowGateDetector(at_risk=False, pause=lambda: time.sleep(0.3))
    async with stage(streamed(raw), detector=detector) as on:
        began = time.perf_counter()
        _, body = await on.chat(stream=True)
        took = time.perf_counter() - began
    assert 0.3 <= took < 0.55
    assert body == raw


async def test_what_the_first_look_settles_waits_for_no_other_gate() -> None:
    """While a gate is busy with a disputed turn, a plain one streams through at once."""
    go = threading.Event()
    detector = SlowGateDetector(pause=waiting(go), plain=only_without_earlier_answer)
    async with stage(says(FINE, stream=True), detector=detector) as on:
        disputed = asyncio.create_task(on.chat(stream=True))
        await on.upstream.called(1)
        response, body = await on.chat(stream=True, messages=ORDINARY)
        assert not disputed.done()
        go.set()
        held, _ = await disputed
    assert (response.headers["x-candor-evaluated"], text_in(body, stream=True)) == ("gate", FINE)
    assert held.headers["x-candor-evaluated"] == "full"
    assert [c.earlier_reply != "" for c in detector.gated] == [True]


async def test_gate_waits_for_no_reading() -> None:
    """While a long reply is read, another turn is gated and streams through."""
    go, reading = threading.Event(), threading.Event()

    def scores(exchange: Exchange) -> Mapping[str, float]:
        reading.set()
        go.wait(PATIENCE)
        return by_marker("CAVE")(exchange)

    class OnlyDisputed(SlowGateDetector):
        """At risk is what has an earlier answer."""

        @override
        def gate(self, conversation: Conversation) -> Risk:
            found = SlowGateDetector.gate(self, conversation)
            return found if conversation.earlier_reply else NO_RISK

    async with stage(says(FINE, stream=True), detector=OnlyDisputed(scores=scores)) as on:
        disputed = asyncio.create_task(on.chat(stream=True))
        await asyncio.to_thread(reading.wait, PATIENCE)
        response, _ = await on.chat(stream=True, messages=ORDINARY)
        assert not disputed.done()
        go.set()
        await disputed
    assert response.headers["x-candor-evaluated"] == "gate"


async def test_the_same_conversation_is_gated_once() -> None:
    """A repeated request is looked up; one more word is another conversation."""
    detector = SlowGateDetector(at_risk=False)
    longer = [*DISPUTE[:-1], {"role": "user", "content": "No, it is 54. Really."}]
    async with stage(says(FINE), detector=detector) as on:
        for messages in (DISPUTE, DISPUTE, longer, DISPUTE):
            response, _ = await on.chat(messages=messages)
            assert response.headers["x-candor-evaluated"] == "gate"
    assert len(detector.gated) == 2


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_slow_gate_that_sees_a_risk_holds(stream: bool) -> None:
    """What came from the upstream before the gate spoke is held, and replaced, all the same."""
    detector = SlowGateDetector(pause=lambda: time.sleep(0.1))
    plays = says("CAVE", stream=stream), says(FINE, stream=stream)
    async with stage(*plays, detector=detector) as on:
        response, body = await on.chat(stream=stream)
    assert response.headers["x-candor-action"] == "regenerate"
    assert text_in(body, stream=stream) == FINE
    assert (candor_in(body) or {})["labels"] == ["capitulation"]


def broken(_: Conversation) -> Risk | None:
    raise LookupError


def no_probability(_: Conversation) -> Risk | None:
    return Risk(at_risk=False, score=float("nan"), reason="none")


GATES: dict[str, dict[str, Any]] = {
    "too slow": {"pause": lambda: time.sleep(0.3)},
    "fails": {"gate_error": DetectorError("x")},
    "first look fails": {"plain": broken},
    "first look is no probability": {"plain": no_probability},
}


@pytest.mark.parametrize("wish", ["release", "refuse"])
@pytest.mark.parametrize("failure", GATES)
async def test_gate_that_fails_is_an_error(failure: str, wish: str) -> None:
    """However either stage fails, it is recorded as an error, never as a pass."""
    detector = SlowGateDetector(at_risk=False, **GATES[failure])
    policy: dict[str, Any] = {"detector_timeout": 0.1, "on_detector_error": wish}
    async with stage(says(FINE), detector=detector, **policy) as on:
        response, _ = await on.chat()
        assert response.headers["x-candor-action"] == ("error" if wish == "release" else "block")
        assert response.headers["x-candor-skipped"] == "detector_error"
        await asyncio.sleep(0.3 if failure == "too slow" else 0)
