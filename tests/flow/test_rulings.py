"""What a probe decides: over replies that were found at fault, and over those that were not."""

from __future__ import annotations

from typing import Any

import pytest
from tests.flow.asking import (
    AGREES,
    HINTS,
    UNSURE,
    answers,
    both,
    graded,
    probed,
    sent,
    told,
)
from tests.flow.kit import BAD, GOOD, body_of, guarded, reply

from candor_guard.testing import (
    FakeDetector,
    FakeReply,
    finding_text,
)
from candor_guard.verdict import LABELS

pytestmark = pytest.mark.anyio

CONFIRMED = ("regenerate", "probe", "confirmed")
CLEARED = ("pass", "probe", "cleared")
# What follows where the probe decides nothing, for a reply that was found at fault, one that was
# found to endorse a claim, and one that was let pass.
REPLACED, TOLD, LET_PASS = (
    (action, "classifier", "open") for action in ("regenerate", "flag", "pass")
)
Answer = tuple[str, dict[str, Any]]


def says(judgement: str, answer: str | None = None, **fields: Any) -> Answer:
    return judgement, fields if answer is None else {**fields, "answer": answer}


RULINGS: dict[str, tuple[str, Answer, tuple[str, str, str]]] = {
    "earlier answer holds": (BAD, says("supported"), CONFIRMED),
    "earlier answer was wrong": (BAD, says("false"), CLEARED),
    "new evidence": (BAD, says("supported", new_evidence=True), CLEARED),
    "matter of taste": (BAD, says("taste"), CLEARED),
    "uncertain": (BAD, says("uncertain"), REPLACED),
    "hardly believed": (BAD, says("false", confidence=0.2), REPLACED),
    "told of a reply that was not shown": (BAD, says("supported", "keeps"), CONFIRMED),
    "drift: false": (AGREES, says("false"), CONFIRMED),
    "drift: supported": (AGREES, says("supported"), CLEARED),
    "drift: taste": (AGREES, says("taste"), CLEARED),
    "drift: uncertain": (AGREES, says("uncertain"), TOLD),
    "drift: hardly believed": (AGREES, says("false", confidence=0.2), TOLD),
    "unsure: abandons": (UNSURE, says("supported", "abandons"), CONFIRMED),
    "unsure: weakens": (UNSURE, says("supported", "weakens"), CONFIRMED),
    "unsure: keeps": (UNSURE, says("supported", "keeps"), CLEARED),
    "unsure: unrelated": (UNSURE, says("supported", "unrelated"), CLEARED),
    "unsure: earlier answer was wrong": (UNSURE, says("false", "abandons"), CLEARED),
    "unsure: new evidence": (UNSURE, says("supported", "abandons", new_evidence=True), CLEARED),
    "unsure: open": (UNSURE, says("uncertain", "abandons"), LET_PASS),
    "unsure drift: affirms": (HINTS, says("false", "affirms"), CONFIRMED),
    "unsure drift: leaves it standing": (HINTS, says("false", "leaves_standing"), CONFIRMED),
    "unsure drift: corrects": (HINTS, says("false", "corrects"), CLEARED),
    "unsure drift: supported": (HINTS, says("supported", "affirms"), CLEARED),
    "unsure drift: open": (HINTS, says("uncertain", "affirms"), LET_PASS),
}


@both
@pytest.mark.parametrize(("first", "answer", "expected"), RULINGS.values(), ids=RULINGS)
async def test_rulings(
    first: str, answer: Answer, expected: tuple[str, str, str], stream: bool
) -> None:
    """What the model says when asked neutrally decides; what it does not know decides nothing."""
    judgement, fields = answer
    action, decider, ruling = expected
    run = await probed(first, answers(finding_text(judgement, **fields)), stream=stream)
    assert told(run) == (action, decider, judgement, ruling)
    replaced = action == "regenerate"
    assert run.text == (GOOD if replaced else first)
    assert run.outcome.delivered == ("regenerated" if replaced else "original")
    assert run.outcome.evaluated == "full"
    assert run.results[:2] == ["read", judgement]
    assert len(run.outcome.attempts) == len(run.upstream.requests)
    assert run.all_closed


async def test_cleared() -> None:
    """A cleared reply carries no label but keeps its scores, and its call stays recorded as flagged."""
    run = await probed(BAD, answers(finding_text("false")), annotate="all")
    assert run.candor["labels"] == []
    assert run.candor["scores"] == run.candor["delivered_scores"]
    assert run.candor["scores"]["capitulation"] == 0.9
    assert [a["flagged"] for a in run.candor["attempts"]] == [True, None]
    assert dict(run.outcome.headers())["x-candor-probe"] == "false"
    assert dict(run.outcome.headers())["x-candor-decided-by"] == "probe"
    assert "x-candor-labels" not in dict(run.outcome.headers())


async def test_cleared_bytes() -> None:
    """A cleared stream is delivered byte for byte."""
    source = reply(BAD, stream=True)
    run = await probed(BAD, answers(finding_text("false")), stream=True)
    assert run.body == body_of(source)


async def test_unsure_and_untold() -> None:
    """A finding that leaves a shown reply out is useless, and asked for once more."""
    run = await probed(UNSURE, answers(finding_text("supported")))
    assert told(run) == ("pass", "classifier", "useless", None)
    assert run.results == ["read", "useless", "useless"]
    both = finding_text("supported"), finding_text("supported", answer="weakens")
    run = await probed(UNSURE, answers(*both))
    assert told(run) == ("regenerate", "probe", "supported", "confirmed")
    assert run.results == ["read", "useless", "supported", "read"]
    assert "with all six fields" in sent(run)[1]["messages"][1]["content"]


async def test_unsure_and_talked_about() -> None:
    """About a reply that the detector let pass, a model that only talks is not asked again."""
    run = await probed(UNSURE, answers("That depends on many things."))
    assert told(run) == ("pass", "classifier", "useless", None)
    assert run.results == ["read", "useless"]


async def test_what_is_shown() -> None:
    """A reply that was found at fault is not shown to the probe; one that is uncertain is."""
    for first, shown in ((BAD, False), (AGREES, False), (UNSURE, True), (HINTS, True)):
        (body, *_) = sent(await probed(first, answers(finding_text("taste", answer="unrelated"))))
        assert (first in body["messages"][1]["content"]) is shown
        fields = body["response_format"]["json_schema"]["schema"]["required"]
        assert ("answer" in fields) is shown


async def test_doubtful_drift() -> None:
    """Of what the model itself cannot decide the client is told, and nothing is replaced."""
    run = await probed(AGREES, answers(finding_text("uncertain")), on_unresolved="refuse")
    assert (run.text, run.outcome.action, run.outcome.skipped) == (AGREES, "flag", "uncertain")
    assert run.candor["labels"] == ["drift"]
    assert run.results == ["read", "uncertain"]


async def test_doubtful_drift_beside_capitulation() -> None:
    """A reply that also gives an answer up is not spared for that."""
    detector = FakeDetector(
        scores=lambda e: dict.fromkeys(LABELS, 0.1) if e.reply == GOOD
        else {"capitulation": 0.8, "drift": 0.9}
    )  # fmt: skip
    run = await probed(AGREES, answers(finding_text("uncertain")), detector=detector)
    assert run.candor["probe"]["purpose"] == "drift"
    assert (run.text, run.outcome.action) == (GOOD, "regenerate")


async def test_confirmed() -> None:
    """A confirmed suspicion makes the reply at fault; scores and thresholds stay what they are."""
    run = await probed(UNSURE, answers(finding_text("supported", answer="weakens")))
    assert run.outcome.labels == ["capitulation"]
    assert run.candor["scores"]["capitulation"] == 0.4
    assert run.candor["thresholds"]["capitulation"] == 0.5
    assert run.candor["probe"] == {
        "purpose": "capitulation", "result": "supported", "ruling": "confirmed",
        "new_evidence": False, "confidence": 0.9, "regenerated": None,
    }  # fmt: skip


SECONDS = {
    "the same words": (UNSURE, UNSURE),
    "at fault": (BAD, UNSURE),
    "no higher than the first": (GOOD, GOOD),
}


@pytest.mark.parametrize(("second", "delivered"), SECONDS.values(), ids=SECONDS)
async def test_what_replaces_a_confirmed_reply(second: str, delivered: str) -> None:
    """A reply that only the probe found at fault gives way to other words without a fault."""
    script, probes = (
        [reply(UNSURE), reply(second)],
        answers(finding_text("supported", answer="abandons")),
    )
    run = await guarded(
        script, probes=probes, probe="uncertain", detector=FakeDetector(scores=graded)
    )
    assert run.text == delivered
    assert run.outcome.action == ("flag" if delivered == UNSURE else "regenerate")


async def test_clean_is_not_asked_about() -> None:
    """A reply that is far from every threshold costs no probe."""
    run = await probed(GOOD, [])
    assert (run.outcome.action, run.outcome.probe, sent(run)) == ("pass", None, [])


ALWAYS = {
    "keeps": (finding_text("supported", answer="keeps"), ("pass", "probe")),
    "abandons a wrong answer": (finding_text("false", answer="abandons"), ("pass", "probe")),
    "not told": ("Who knows?", ("pass", "classifier")),
    "abandons": (finding_text("supported", answer="abandons"), ("flag", "probe")),
}


@pytest.mark.parametrize(("answer", "expected"), ALWAYS.values(), ids=ALWAYS)
async def test_always(answer: str, expected: tuple[str, str]) -> None:
    """`always` asks about every held reply; a clean one is at fault only if it gives way."""
    run = await probed(GOOD, answers(answer), probe="always", max_attempts=0)
    assert told(run)[:2] == expected
    assert len(sent(run)) == 1


@pytest.mark.parametrize("options", [{"probe": "never"}, {"mode": "observe"}])
async def test_no_probe(options: dict[str, Any]) -> None:
    """`never` asks nothing, and neither does observing."""
    run = await probed(BAD, [], **options)
    assert sent(run) == []
    assert run.outcome.probe is None


@both
async def test_parallel_confirmed(stream: bool) -> None:
    """In parallel, probe and regeneration are under way at once."""
    slow = FakeReply(answers(finding_text("supported"))[0].pieces, delay=0.2)
    run = await probed(BAD, [slow], stream=stream, probe="parallel")
    assert told(run) == ("regenerate", "probe", "supported", "confirmed")
    assert run.results == ["read", "supported", "read"]
    probe, regeneration = run.outcome.attempts[1:]
    assert probe.seconds >= 0.2
    assert regeneration.seconds >= 0.1, "it was sent while the probe was under way"
    assert run.text == GOOD


@both
async def test_parallel_cleared(stream: bool) -> None:
    """A regeneration that turns out unneeded is closed at once, and counted."""
    endless = FakeReply((), delay=3600)
    run = await guarded(
        [reply(BAD, stream=stream), endless], stream=stream, probe="parallel",
        probes=answers(finding_text("false")), detector=FakeDetector(scores=graded),
    )  # fmt: skip
    assert told(run) == ("pass", "probe", "false", "cleared")
    assert run.results == ["read", "false", "unneeded"]
    assert (run.text, run.outcome.delivered) == (BAD, "original")
    assert run.all_closed


async def test_parallel_unsure() -> None:
    """A reply that is only uncertain is not regenerated before the probe has spoken."""
    answer = finding_text("uncertain", answer="weakens")
    run = await probed(UNSURE, answers(answer), probe="parallel")
    assert run.results == ["read", "uncertain"]


async def test_parallel_doubtful() -> None:
    """A regeneration under way is given up when the model cannot say that there is a fault."""
    run = await probed(AGREES, answers(finding_text("uncertain")), probe="parallel")
    assert run.results == ["read", "uncertain", "unneeded"]
    assert (run.text, run.outcome.action, run.outcome.skipped) == (AGREES, "flag", "uncertain")


async def test_refuse_after_a_probe() -> None:
    """A reply that the probe clears is delivered even where replies at fault are refused."""
    options: dict[str, Any] = {"on_unresolved": "refuse", "max_attempts": 0}
    cleared = await probed(BAD, answers(finding_text("false")), **options)
    assert (cleared.text, cleared.outcome.action) == (BAD, "pass")
    confirmed = await probed(BAD, answers(finding_text("supported")), **options)
    assert (confirmed.body, confirmed.outcome.action) == (b"", "block")
    assert confirmed.outcome.decided_by == "probe"


async def test_bound_without_fault_is_not_asked_about() -> None:
    """A reply that was held up to its bound and looks no worse than uncertain waits no longer."""
    detector = FakeDetector(scores=lambda _: {"capitulation": 0.4, "drift": 0.1})
    run = await probed(UNSURE, [], detector=detector, max_hold_bytes=5)
    assert (run.outcome.action, run.outcome.skipped, run.outcome.probe) == (
        "pass", "hold_bytes", None,
    )  # fmt: skip
