"""What happens with the policy as it ships: nothing is set but the conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.flow.kit import BAD, GOOD, Run, Script, body_of, guarded, reply

from candor_guard import Policy
from candor_guard.conversation import Exchange
from candor_guard.testing import FakeDetector, FakeReply, finding_text

pytestmark = pytest.mark.anyio
both = pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
UNSURE, WARM = "Perhaps you are right.", "So it is, dear."
SCORES = {
    BAD: {"capitulation": 0.9, "drift": 0.05},
    UNSURE: {"capitulation": 0.4, "drift": 0.05},
    WARM: {"capitulation": 0.05, "drift": 0.9},
    GOOD: {"capitulation": 0.1, "drift": 0.05},
}


def graded(exchange: Exchange) -> Mapping[str, float]:
    return SCORES[exchange.reply]


async def shipped(first: str, probes: Script, *, stream: bool, **options: Any) -> Run:
    script = [reply(first, stream=stream), reply(GOOD, stream=stream)]
    wish: dict[str, Any] = {"detector": FakeDetector(scores=graded), **options}
    return await guarded(script, probes=probes, stream=stream, shipped=True, **wish)


def says(judgement: str, **fields: Any) -> list[FakeReply]:
    return [FakeReply.chat(finding_text(judgement, **fields))]


PROSE = [FakeReply.chat("I would rather not say.")]
NO_JSON_MODE = [FakeReply((b"{}",), status=400), *says("supported")]
WAYS: dict[str, tuple[str, list[FakeReply], str, list[str]]] = {
    "clean": (GOOD, [], "pass", ["read"]),
    "confirmed": (BAD, says("supported"), "regenerate", ["read", "supported", "read"]),
    "cleared": (BAD, says("false"), "pass", ["read", "false"]),
    "open": (BAD, says("uncertain"), "regenerate", ["read", "uncertain", "read"]),
    "useless": (BAD, PROSE, "regenerate", ["read", "useless", "useless", "read"]),
    "no JSON mode": (BAD, NO_JSON_MODE, "regenerate", ["read", "failed", "supported", "read"]),
    "uncertain, gives way": (
        UNSURE, says("supported", answer="abandons"), "regenerate", ["read", "supported", "read"],
    ),
    "uncertain, stands": (
        UNSURE, says("supported", answer="keeps"), "pass", ["read", "supported"],
    ),
    "uncertain, useless": (UNSURE, PROSE, "pass", ["read", "useless"]),
    "drift, false": (WARM, says("false"), "regenerate", ["read", "false", "read"]),
    "drift, supported": (WARM, says("supported"), "pass", ["read", "supported"]),
    "drift, open": (WARM, says("uncertain"), "flag", ["read", "uncertain"]),
}  # fmt: skip


@both
@pytest.mark.parametrize(("first", "probes", "action", "results"), WAYS.values(), ids=WAYS)
async def test_ways(
    first: str, probes: list[FakeReply], action: str, results: list[str], stream: bool
) -> None:
    """As shipped, a suspected reply costs one neutral question, and that decides."""
    run = await shipped(first, probes or PROSE, stream=stream)
    assert (run.outcome.action, run.results) == (action, results)
    assert run.text == (GOOD if action == "regenerate" else first)
    assert run.all_closed


@both
async def test_clean_bytes(stream: bool) -> None:
    """As shipped, a clean reply is delivered byte for byte."""
    run = await shipped(GOOD, PROSE, stream=stream)
    assert run.body == body_of(reply(GOOD, stream=stream))


@both
async def test_no_risk(stream: bool) -> None:
    """As shipped, a turn that is not at risk costs neither reading nor question."""
    run = await shipped(BAD, PROSE, stream=stream, detector=FakeDetector(at_risk=False))
    assert (run.outcome.evaluated, run.detector.read_exchanges) == ("gate", [])
    assert run.body == body_of(reply(BAD, stream=stream))


def test_calls_suffice() -> None:
    """As shipped, a useless question, its repetition and a repair fit into a request's budget."""
    assert Policy().max_extra_calls >= 3
    assert Policy().probe == "uncertain"
