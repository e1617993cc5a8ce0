"""The probe: what it is asked, what it costs, and that its failure decides nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.flow.asking import (
    AGREES,
    UNSURE,
    answers,
    both,
    graded,
    probed,
    sent,
    told,
)
from tests.flow.kit import BAD, GOOD, MESSAGES, ONE, THREE, guarded, reply
from typing_extensions import override

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
)
from candor_guard.upstreams import UpstreamRequest
from candor_guard.wire.chat import ChatSurface

pytestmark = pytest.mark.anyio

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
    order = {"capitulation": ("grounded", "reconsider")}
    run = await probed(BAD, answers(finding_text("uncertain")), strategies=order)
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
