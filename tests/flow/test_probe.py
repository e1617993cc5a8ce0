"""The probe: what it is asked, what its answer decides, and that its failure decides nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from tests.flow.kit import BAD, GOOD, MESSAGES, ONE, THREE, Run, Script, body_of, guarded, reply
from typing_extensions import override

from candor_guard.conversation import Exchange
from candor_guard.errors import (
    InvalidRequestError,
    UpstreamError,
    UpstreamInterruptedError,
    UpstreamUnreachableError,
)
from candor_guard.testing import (
    FakeDetector,
    FakeReply,
    FakeResponse,
    FakeUpstream,
    finding_text,
    is_probe,
)
from candor_guard.upstreams import UpstreamRequest
from candor_guard.wire.chat import ChatSurface

pytestmark = pytest.mark.anyio
both = pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
UNSURE = "Perhaps you are right, HALF of it."
AGREES = "Indeed, WARM as ever, it is so."
SCORES = {
    BAD: {"capitulation": 0.9, "drift": 0.05},
    UNSURE: {"capitulation": 0.4, "drift": 0.05},
    AGREES: {"capitulation": 0.05, "drift": 0.9},
    GOOD: {"capitulation": 0.1, "drift": 0.05},
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


SURE = {"confidence": 0.9}
RULINGS: dict[str, tuple[str, str, tuple[Any, ...]]] = {
    "earlier answer holds": (BAD, finding_text("supported"),
        ("regenerate", "probe", "supported", "confirmed")),
    "earlier answer was wrong": (BAD, finding_text("false"),
        ("pass", "probe", "false", "cleared")),
    "new evidence": (BAD, finding_text("supported", new_evidence=True),
        ("pass", "probe", "supported", "cleared")),
    "matter of taste": (BAD, finding_text("taste"),
        ("pass", "probe", "taste", "cleared")),
    "uncertain": (BAD, finding_text("uncertain"),
        ("regenerate", "classifier", "uncertain", "open")),
    "hardly believed": (BAD, finding_text("false", confidence=0.2),
        ("regenerate", "classifier", "false", "open")),
    "drift: false": (AGREES, finding_text("false"),
        ("regenerate", "probe", "false", "confirmed")),
    "drift: supported": (AGREES, finding_text("supported"),
        ("pass", "probe", "supported", "cleared")),
    "drift: taste": (AGREES, finding_text("taste"),
        ("pass", "probe", "taste", "cleared")),
    "drift: uncertain": (AGREES, finding_text("uncertain"),
        ("regenerate", "classifier", "uncertain", "open")),
    "unsure: confirmed": (UNSURE, finding_text("supported"),
        ("regenerate", "probe", "supported", "confirmed")),
    "unsure: cleared": (UNSURE, finding_text("false"),
        ("pass", "probe", "false", "cleared")),
    "unsure: open": (UNSURE, finding_text("uncertain"),
        ("pass", "classifier", "uncertain", "open")),
}  # fmt: skip


@both
@pytest.mark.parametrize(("first", "answer", "expected"), RULINGS.values(), ids=RULINGS)
async def test_rulings(first: str, answer: str, expected: tuple[Any, ...], stream: bool) -> None:
    """What the model says when asked neutrally decides; what it does not know decides nothing."""
    run = await probed(first, answers(answer), stream=stream)
    assert told(run) == expected
    assert run.text == (GOOD if expected[0] == "regenerate" else first)
    assert run.outcome.delivered == ("regenerated" if expected[0] == "regenerate" else "original")
    assert run.outcome.evaluated == "full"
    assert run.results[:2] == ["read", expected[2]]
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


async def test_confirmed() -> None:
    """A confirmed suspicion makes the reply at fault, from its own score on."""
    run = await probed(UNSURE, answers(finding_text("supported")))
    assert run.outcome.labels == ["capitulation"]
    assert run.candor["thresholds"]["capitulation"] == 0.4
    assert run.candor["probe"] == {
        "purpose": "capitulation", "result": "supported", "ruling": "confirmed",
        "new_evidence": False, "confidence": 0.9,
    }  # fmt: skip


async def test_confirmed_wants_a_better_reply() -> None:
    """What replaces a confirmed reply has to do better than it; as good is not enough."""
    script = [reply(UNSURE), reply(UNSURE)]
    run = await guarded(
        script, probes=answers(finding_text("supported")), probe="uncertain",
        detector=FakeDetector(scores=graded),
    )  # fmt: skip
    assert (run.text, run.outcome.action, run.outcome.delivered) == (UNSURE, "flag", "original")


async def test_clean_is_not_asked_about() -> None:
    """A reply that is far from every threshold costs no probe."""
    run = await probed(GOOD, [])
    assert (run.outcome.action, run.outcome.probe, sent(run)) == ("pass", None, [])


async def test_always() -> None:
    """`always` asks about every held reply; a false belief alone makes no clean reply at fault."""
    for judgement in ("supported", "false", "taste"):
        run = await probed(GOOD, answers(finding_text(judgement)), probe="always")
        assert told(run) == ("pass", "classifier", judgement, "open")
        assert len(sent(run)) == 1


@pytest.mark.parametrize("options", [{"probe": "never"}, {"mode": "observe"}])
async def test_no_probe(options: dict[str, Any]) -> None:
    """`never` asks nothing, and neither does observing."""
    run = await probed(BAD, [], **options)
    assert sent(run) == []
    assert run.outcome.probe is None


HTML = (("content-type", "text/html"),)
FAILURES: dict[str, tuple[FakeReply | UpstreamError, list[str], str]] = {
    "server error": (FakeReply((b"{}",), status=500), ["failed"], "failed"),
    "rate limit": (FakeReply((b"{}",), status=429), ["failed"], "failed"),
    "unreachable": (UpstreamUnreachableError("no"), ["failed"], "failed"),
    "interrupted": (FakeReply((b"{", UpstreamInterruptedError("cut"))), ["failed"], "failed"),
    "html": (FakeReply((b"<p>",), headers=HTML), ["failed"], "failed"),
    "a stream": (reply(finding_text("false"), stream=True), ["failed"], "failed"),
    "late head": (FakeReply((), delay=30), ["timeout"], "timeout"),
    "late body": (FakeReply((b"{", 30.0)), ["timeout"], "timeout"),
    "prose": (FakeReply.chat("I would rather not say."), ["useless", "useless"], "useless"),
    "empty": (FakeReply.chat(""), ["useless", "useless"], "useless"),
    "no text": (FakeReply.chat(None, refusal="No."), ["useless", "useless"], "useless"),
    "no JSON": (FakeReply((b"oops",)), ["useless", "useless"], "useless"),
    "endless": (FakeReply((b"[" * 200_000,) * 3), ["useless", "useless"], "useless"),
}


@both
@pytest.mark.parametrize(("answer", "results", "result"), FAILURES.values(), ids=FAILURES)
async def test_failures(
    answer: FakeReply | UpstreamError, results: list[str], result: str, stream: bool
) -> None:
    """A probe that brings nothing is recorded, and the detector's verdict stands."""
    patience = 0.02 if result == "timeout" else 20
    run = await probed(BAD, [answer], stream=stream, max_probe_seconds=patience)
    assert told(run) == ("regenerate", "classifier", result, None)
    assert run.results == ["read", *results, "read"]
    assert run.text == GOOD
    assert run.all_closed
    run = await probed(UNSURE, [answer], stream=stream, max_probe_seconds=patience)
    assert told(run) == ("pass", "classifier", result, None)
    assert run.text == UNSURE


async def test_useless_once() -> None:
    """A useless answer is asked for once more, and the second answer counts."""
    run = await probed(BAD, answers("Hm.", finding_text("false")))
    assert told(run) == ("pass", "probe", "false", "cleared")
    assert run.results == ["read", "useless", "false"]
    first, second = sent(run)
    assert first != second


async def test_side_call() -> None:
    """The probe is a small call without stream, tools or the conversation; feelings stay out."""
    last = {"role": "user", "content": "I am so sad and lonely. No, it is not prime."}
    fields = {
        "messages": [*MESSAGES[:2], last], "tools": [{"type": "function"}], "temperature": 0.7,
        "stream_options": {"include_usage": True}, "seed": 7, "user": "u-1",
    }  # fmt: skip
    run = await probed(BAD, answers(finding_text("false")), stream=True, fields=fields)
    (body,) = sent(run)
    assert body["model"] == "m"
    assert body["user"] == "u-1"
    assert body["temperature"] == 0
    assert {"stream", "stream_options", "tools", "seed", "n"} & set(body) == set()
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert "lonely" not in json.dumps(body["messages"])
    assert body["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_json_mode_is_refused(status: int) -> None:
    """An upstream without a JSON mode is asked once more without it."""
    script = [FakeReply((b'{"error": {}}',), status=status), *answers(finding_text("false"))]
    run = await probed(BAD, script)
    first, second = sent(run)
    assert "response_format" in first
    assert set(second) == {"model", "messages"}
    assert told(run) == ("pass", "probe", "false", "cleared")
    assert run.results == ["read", "failed", "false"]


async def test_refused_twice() -> None:
    """An upstream that refuses the plain question too is not asked a third time."""
    run = await probed(BAD, [FakeReply((b"{}",), status=400)])
    assert run.results == ["read", "failed", "failed", "read"]


class _Picky(FakeUpstream):
    """Cannot express a schema."""

    @override
    async def open(self, request: UpstreamRequest) -> FakeResponse:
        if isinstance(request.body, bytes) and b"response_format" in request.body:
            raise InvalidRequestError("response_format is not supported", param="response_format")
        return await super().open(request)


async def test_json_mode_cannot_be_expressed() -> None:
    """The same holds where the upstream's adapter refuses the request itself."""
    picky = _Picky([reply(BAD), reply(GOOD)], probes=answers(finding_text("false")))
    run = await probed(BAD, [], upstream=picky)
    assert told(run) == ("pass", "probe", "false", "cleared")


async def test_request_that_cannot_be_put() -> None:
    """Where the question cannot even be written there is no probe, and no call is counted."""

    class _Mute(ChatSurface):
        @override
        def side_request(self, *_: Any, **__: Any) -> bytes:
            raise InvalidRequestError("nested too deeply")

    run = await probed(BAD, [], surface=_Mute())
    assert told(run) == ("regenerate", "classifier", "failed", None)
    assert run.results == ["read", "read"]


async def test_nothing_to_ask() -> None:
    """A turn that claims nothing, after an answer that was never given, leads to no question."""
    asked = {"messages": [{"role": "user", "content": "?"}]}
    run = await probed(BAD, [], fields=asked)
    assert (run.outcome.probe, run.results) == (None, ["read", "read"])


async def test_json_mode_off() -> None:
    """Where the operator knows better, the JSON mode is not asked for."""
    run = await probed(BAD, answers(finding_text("false")), probe_json=False)
    (body,) = sent(run)
    assert "response_format" not in body
    assert body["max_tokens"] > 0


async def test_another_model() -> None:
    """A cheaper model can be named; the record says which model was asked what."""
    run = await probed(BAD, answers(finding_text("supported")), probe_model="small")
    (body,) = sent(run)
    assert body["model"] == "small"
    assert [a["model"] for a in run.candor["attempts"]] == ["m", "small", "m"]


async def test_cost() -> None:
    """Usage is the sum over all calls, probes included, and the record splits it."""
    run = await probed(BAD, answers(finding_text("supported")))
    assert run.outcome.usage == THREE
    assert run.candor["usage"] == {"original": ONE, "probe": ONE, "regenerated": ONE}
    assert [a["purpose"] for a in run.candor["attempts"]] == ["original", "probe", "regeneration"]
    assert dict(run.outcome.headers())["x-candor-upstream-calls"] == "3"


async def test_a_cleared_reply_states_the_sum() -> None:
    """A client whose reply was cleared paid for the probe and is told so."""
    run = await probed(BAD, answers(finding_text("false")))
    assert json.loads(run.body)["usage"]["total_tokens"] == 30
    assert run.candor is None


async def test_strategies() -> None:
    """The finding of a confirmed probe is handed over; attempts go through the strategies."""
    script = [reply(AGREES), reply(AGREES), reply(GOOD)]
    run = await guarded(
        script, probes=answers(finding_text("false", why="SECRETREASON")), probe="uncertain",
        detector=FakeDetector(scores=graded), max_attempts=2, content=True,
    )  # fmt: skip
    assert [a.strategy for a in run.outcome.attempts[2:]] == ["grounded", "reconsider"]
    assert [a.instruction for a in run.outcome.attempts[2:]] == ["grounded-1", "reconsider-1"]
    edits = [a["edit"] for a in run.candor["attempts"][2:]]
    assert "SECRETREASON" in edits[0]["note"]
    assert run.candor["attempts"][1]["finding"]["why"] == "SECRETREASON"


async def test_an_open_finding_is_not_handed_over() -> None:
    """What the model does not know is no fact to weigh."""
    run = await probed(AGREES, answers(finding_text("uncertain")))
    assert run.outcome.attempts[-1].strategy == "reconsider"


async def test_configured_order() -> None:
    """The operator's order of strategies is followed; the last one is repeated."""
    script = [reply(BAD)]
    run = await guarded(
        script, max_attempts=3, strategies={"capitulation": ("third_person", "reconsider")}
    )
    ways = [a.strategy for a in run.outcome.attempts[1:]]
    assert ways == ["third_person", "reconsider", "reconsider"]


async def test_record_without_content() -> None:
    """Without content logging neither the edit nor the finding's words are in the record."""
    answer = finding_text("supported", claim="SECRETCLAIM", why="SECRETREASON")
    run = await probed(BAD, answers(answer), annotate="all")
    assert "SECRET" not in json.dumps(run.candor)
    assert all({"edit", "finding"}.isdisjoint(a) for a in run.candor["attempts"])


@both
async def test_parallel_confirmed(stream: bool) -> None:
    """In parallel, probe and regeneration are under way at once."""
    slow = FakeReply(answers(finding_text("supported"))[0].pieces, delay=0.05)
    run = await probed(BAD, [slow], stream=stream, probe="parallel")
    assert told(run) == ("regenerate", "probe", "supported", "confirmed")
    assert run.results == ["read", "supported", "read"]
    probe, regeneration = run.outcome.attempts[1:]
    assert regeneration.seconds >= 0.05
    assert probe.seconds >= 0.05
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
    run = await probed(UNSURE, answers(finding_text("uncertain")), probe="parallel")
    assert run.results == ["read", "uncertain"]


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
