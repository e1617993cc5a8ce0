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
    assert told(run) == (GOOD, "regenerate", None), (
        "of the reply that is delivered there was no doubt"
    )
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
    assert told(run) == (UNSURE, "regenerate", "timeout")
    assert run.results[-1] == "timeout"
    assert run.all_closed


async def test_no_time_left() -> None:
    """Where no time is left the second reply is not asked about."""
    slow = FakeReply(answers(CONFIRMS)[0].pieces, delay=0.3)
    run = await reviewed(UNSURE, probes=[slow], probe="parallel", max_regeneration_seconds=0.1)
    assert run.results[:2] == ["read", "supported"]
    assert len(sent(run)) == 1


AGAIN = {
    ("false", "abandons"): "confirmed",
    ("supported", "weakens"): "confirmed",
    ("uncertain", "abandons"): "confirmed",
    ("taste", "abandons"): "confirmed",
    ("false", "keeps"): "cleared",
    ("supported", "unrelated"): "cleared",
}


@pytest.mark.parametrize(("said", "review"), AGAIN.items(), ids=" ".join)
async def test_what_it_does_decides(said: tuple[str, str], review: str) -> None:
    """What is true was settled by the first answer: another judgement now clears nobody."""
    judgement, answer = said
    run = await reviewed(UNSURE, probes=answers(CONFIRMS, finding_text(judgement, answer=answer)))
    assert told(run)[2] == review


@pytest.mark.parametrize("fields", [{"new_evidence": True}, {"confidence": 0.2}])
async def test_what_decides_nothing(fields: dict[str, Any]) -> None:
    """New evidence was settled too; an answer that is hardly believed leaves it to the detector."""
    again = finding_text("supported", answer="abandons", **fields)
    run = await reviewed(UNSURE, probes=answers(CONFIRMS, again))
    assert told(run)[2] == ("open" if "confidence" in fields else "confirmed")


async def test_a_failed_review() -> None:
    """A probe that fails is told apart from one that says nothing of use."""
    run = await reviewed(UNSURE, probes=[*answers(CONFIRMS), FakeReply((b"{}",), status=500)])
    assert told(run) == (UNSURE, "regenerate", "failed")
    run = await reviewed(UNSURE, probes=answers(CONFIRMS, "Who knows?"))
    assert told(run) == (UNSURE, "regenerate", "useless")


async def test_the_first_words_do_not_come_back_as_new() -> None:
    """After a better second reply a third one with the first's words does not replace it."""
    probes = answers(CONFIRMS, "Who knows?", KEEPS)
    run = await reviewed(UNSURE, BAD, probes=probes, max_attempts=2, max_extra_calls=9)
    assert run.text == UNSURE
    run = await reviewed(
        UNSURE, UNSURE, probes=answers(CONFIRMS, CONFIRMS, KEEPS), max_attempts=2, max_extra_calls=9
    )
    assert told(run) == (BAD, "flag", "confirmed")


async def test_a_next_attempt_goes_first() -> None:
    """While there may be another regeneration, a probe leaves it the last call."""
    run = await reviewed(UNSURE, GOOD, probes=answers(CONFIRMS), max_attempts=2)
    assert run.results == ["read", "supported", "read"]
    assert told(run) == (UNSURE, "regenerate", "budget")


async def test_an_upstream_that_knows_no_json_mode_is_asked_once() -> None:
    """What the upstream refused in the first question is left out of the second from the start."""
    refusal = FakeReply((b'{"error": {}}',), status=400)
    probes = [refusal, *answers(CONFIRMS, KEEPS)]
    run = await reviewed(UNSURE, probes=probes, max_extra_calls=9)
    assert run.results == ["read", "failed", "supported", "read", "supported"]
    assert ["response_format" in body for body in sent(run)] == [True, False, False]


async def test_always() -> None:
    """Even where every held reply is asked about, a second one without doubt is not."""
    run = await reviewed(GOOD, probes=answers(CONFIRMS), probe="always")
    assert told(run) == (GOOD, "regenerate", None)


async def test_budget() -> None:
    """Without a call left the detector alone judges the second reply, and the record says so."""
    run = await reviewed(UNSURE, probes=answers(CONFIRMS), max_extra_calls=2)
    assert told(run) == (UNSURE, "regenerate", "budget")
