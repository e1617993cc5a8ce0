"""What the probe says of a regenerated reply, where it found the first one at fault."""

from __future__ import annotations

from typing import Any

import pytest
from tests.flow.asking import AGREES, HINTS, UNSURE, answers, both, graded, sent
from tests.flow.kit import BAD, GOOD, Run, guarded, reply

from candor_guard.testing import FakeDetector, FakeReply, finding_text

pytestmark = pytest.mark.anyio

CONFIRMS = finding_text("supported", answer="abandons")
KEEPS = finding_text("supported", answer="keeps")


async def reviewed(
    *seconds: str, first: str = BAD, probes: list[FakeReply], stream: bool = False, **options: Any
) -> Run:
    """Guard a first reply that is at fault; regenerations bring the others."""
    script = [reply(text, stream=stream) for text in (first, *seconds)]
    wish: dict[str, Any] = {"probe": "uncertain", "detector": FakeDetector(scores=graded)}
    return await guarded(script, stream=stream, probes=probes, **{**wish, **options})


def told(run: Run) -> tuple[str, str, str | None]:
    return run.text, run.outcome.action, (run.outcome.probe or {}).get("regenerated")


@both
async def test_the_second_reply_is_shown(stream: bool) -> None:
    """The question is the first one's, with the regenerated reply to judge."""
    run = await reviewed(UNSURE, probes=answers(CONFIRMS, KEEPS), stream=stream)
    assert told(run) == (UNSURE, "regenerate", "cleared")
    first, second = (body["messages"][-1]["content"] for body in sent(run))
    assert "<given_answer>" not in first
    assert UNSURE in second.split("<given_answer>")[1]
    assert first in second
    assert run.results == ["read", "supported", "read", "supported"]


async def test_still_giving_way() -> None:
    """A lower score is worth nothing where the probe says that the reply gives way all the same."""
    run = await reviewed(UNSURE, probes=answers(CONFIRMS))
    assert told(run) == (BAD, "flag", "confirmed")


async def test_cleared_although_flagged() -> None:
    """A reply that the detector flags is delivered where the probe says that it does not give way."""
    detector = FakeDetector(scores=lambda e: {"capitulation": 0.9, "drift": 0.1})
    run = await reviewed(UNSURE, probes=answers(CONFIRMS, KEEPS), detector=detector)
    assert told(run) == (UNSURE, "regenerate", "cleared")
    assert run.candor["delivered_scores"]["capitulation"] == 0.9


async def test_clean_is_not_asked_about() -> None:
    """A regenerated reply that the detector finds clearly clean costs no further call."""
    run = await reviewed(GOOD, probes=answers(CONFIRMS))
    assert told(run) == (GOOD, "regenerate", None)
    assert len(sent(run)) == 1


async def test_the_same_words_are_not_asked_about() -> None:
    """The first reply once more costs no further call either."""
    run = await reviewed(BAD, probes=answers(CONFIRMS))
    assert told(run) == (BAD, "flag", None)
    assert len(sent(run)) == 1


async def test_the_next_attempt() -> None:
    """After a regenerated reply that still gives way the next one may do better."""
    run = await reviewed(UNSURE, GOOD, probes=answers(CONFIRMS), max_attempts=2, max_extra_calls=9)
    assert told(run) == (GOOD, "regenerate", "confirmed")
    assert run.results == ["read", "supported", "read", "supported", "read"]


async def test_without_a_finding() -> None:
    """Where no probe found the first reply at fault, the detector alone judges the second."""
    run = await reviewed(UNSURE, probes=answers(finding_text("uncertain")))
    assert told(run) == (UNSURE, "regenerate", None)
    assert len(sent(run)) == 1


async def test_about_drift() -> None:
    """Of drift it is asked too, with the words for what a reply does to a claim."""
    corrects = finding_text("false", answer="corrects")
    run = await reviewed(HINTS, first=AGREES, probes=answers(finding_text("false"), corrects))
    assert told(run) == (HINTS, "regenerate", "cleared")
    affirms = finding_text("false", answer="affirms")
    run = await reviewed(HINTS, first=AGREES, probes=answers(finding_text("false"), affirms))
    assert told(run) == (AGREES, "flag", "confirmed")


async def test_parallel() -> None:
    """A regeneration that was under way during the first probe is asked about like any other."""
    run = await reviewed(UNSURE, probes=answers(CONFIRMS, KEEPS), probe="parallel")
    assert told(run) == (UNSURE, "regenerate", "cleared")


async def test_within_the_time_of_regenerations() -> None:
    """A probe that does not end in time leaves the second reply to the detector."""
    silent = FakeReply((), delay=3600)
    run = await reviewed(
        UNSURE, probes=[*answers(CONFIRMS), silent], max_regeneration_seconds=0.2
    )  # fmt: skip
    assert told(run) == (UNSURE, "regenerate", "useless")
    assert run.results[-1] == "timeout"
    assert run.all_closed


async def test_budget() -> None:
    """Without a call left the detector alone judges the second reply, and the record says so."""
    run = await reviewed(UNSURE, probes=answers(CONFIRMS), max_extra_calls=2)
    assert told(run) == (UNSURE, "regenerate", "budget")
