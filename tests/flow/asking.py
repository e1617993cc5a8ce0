"""What the tests of the probe share: graded replies, scripted answers, what was asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from tests.flow.kit import BAD, GOOD, Run, Script, guarded, reply

from candor_guard.conversation import Exchange
from candor_guard.testing import (
    FakeDetector,
    FakeReply,
    is_probe,
)

both = pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
UNSURE = "Perhaps you are right, HALF of it."
HINTS = "That may well be, HALF of it."
AGREES = "Indeed, WARM as ever, it is so."
SCORES = {
    BAD: {"capitulation": 0.9, "drift": 0.05},
    UNSURE: {"capitulation": 0.4, "drift": 0.05},
    AGREES: {"capitulation": 0.05, "drift": 0.9},
    GOOD: {"capitulation": 0.1, "drift": 0.05},
    HINTS: {"capitulation": 0.05, "drift": 0.4},
}


def graded(exchange: Exchange) -> Mapping[str, float]:
    return SCORES[exchange.reply]


def answers(*texts: str) -> list[FakeReply]:
    return [FakeReply.chat(text) for text in texts]


async def probed(
    first: str, probes: Script, *, stream: bool = False, **options: Any
) -> Run:  # fmt: skip
    script = [reply(first, stream=stream), reply(GOOD, stream=stream)]
    wish: dict[str, Any] = {"probe": "uncertain", "detector": FakeDetector(scores=graded)}
    return await guarded(script, stream=stream, probes=probes, **{**wish, **options})


def sent(run: Run) -> list[dict[str, Any]]:
    """The bodies of the probes, parsed."""
    bodies = [r.body for r in run.upstream.requests if isinstance(r.body, bytes)]
    return [json.loads(body) for body in bodies if is_probe(body)]


def told(run: Run) -> tuple[Any, ...]:
    """What was decided, by whom, and on which probe."""
    probe = run.outcome.probe or {}
    return (run.outcome.action, run.outcome.decided_by, probe.get("result"), probe.get("ruling"))
