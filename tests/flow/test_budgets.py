"""Budgets: what a request, and all requests together, may spend on further calls."""

from __future__ import annotations

from typing import Any

import pytest
from tests.flow.kit import BAD, GOOD, Run, guarded, reply, request

from candor_guard import Guard, Policy
from candor_guard.driver import Finished
from candor_guard.testing import FakeDetector, FakeReply, FakeUpstream, finding_text
from candor_guard.upstreams import UpstreamRequest

pytestmark = pytest.mark.anyio
both = pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
SUPPORTED = [FakeReply.chat(finding_text("supported"))]
USELESS = [FakeReply.chat("Hm.")]


async def spent(*, stream: bool = False, probes: Any = SUPPORTED, **policy: Any) -> Run:
    script = [reply(BAD, stream=stream), reply(GOOD, stream=stream)]
    return await guarded(script, stream=stream, probes=probes, **{"probe": "uncertain", **policy})


@both
async def test_no_calls(stream: bool) -> None:
    """Without a budget nothing is asked or regenerated: delivered, flagged, and told why."""
    run = await spent(stream=stream, max_extra_calls=0)
    assert (run.text, run.outcome.action, run.outcome.skipped) == (BAD, "flag", "budget")
    assert run.outcome.probe is not None
    assert (run.outcome.probe["result"], run.outcome.decided_by) == ("budget", "classifier")
    assert len(run.upstream.requests) == 1


@both
async def test_one_call(stream: bool) -> None:
    """A budget that the probe uses up leaves the reply flagged, by the probe's decision."""
    run = await spent(stream=stream, max_extra_calls=1)
    assert (run.text, run.outcome.action, run.outcome.skipped) == (BAD, "flag", "budget")
    assert (run.outcome.decided_by, run.results) == ("probe", ["read", "supported"])


async def test_cleared_within_the_budget() -> None:
    """A probe that clears the reply needs no further call."""
    run = await spent(probes=[FakeReply.chat(finding_text("false"))], max_extra_calls=1)
    assert (run.outcome.action, run.outcome.skipped) == ("pass", None)


async def test_two_calls() -> None:
    """One probe and one regeneration are two calls."""
    run = await spent(max_extra_calls=2)
    assert (run.text, run.outcome.action, run.outcome.skipped) == (GOOD, "regenerate", None)


async def test_repetitions_count() -> None:
    """A probe's repetition is a call, too; what is left then decides."""
    one = await spent(probes=USELESS, max_extra_calls=1)
    assert (one.results, one.outcome.skipped) == (["read", "useless"], "budget")
    three = await spent(probes=USELESS, max_extra_calls=3)
    assert three.results == ["read", "useless", "useless", "read"]


async def test_parallel_takes_both() -> None:
    """In parallel the probe is paid first; without a call left there is no regeneration."""
    run = await spent(probe="parallel", max_extra_calls=1)
    assert (run.results, run.outcome.action, run.outcome.skipped) == (
        ["read", "supported"], "flag", "budget",
    )  # fmt: skip


async def test_refused() -> None:
    """Where replies at fault are refused, a spent budget delivers none."""
    run = await spent(max_extra_calls=0, on_unresolved="refuse")
    assert (run.body, run.outcome.action, run.outcome.skipped) == (b"", "block", "budget")


async def test_tokens() -> None:
    """Tokens that the upstream told count; once they are spent no further call begins."""
    run = await spent(max_extra_tokens=15)  # the probe told 15
    assert (run.results, run.outcome.skipped) == (["read", "supported"], "budget")
    run = await spent(max_extra_tokens=16)
    assert run.results == ["read", "supported", "read"]


async def test_untold_tokens_are_estimated() -> None:
    """A stream that tells no usage counts a token for every four bytes of request and reply."""
    script = [reply(BAD, stream=True)]
    free = await guarded(script, stream=True, max_attempts=3, max_extra_tokens=10**6)
    assert len(free.outcome.attempts) == 4
    tight = await guarded(script, stream=True, max_attempts=3, max_extra_tokens=50)
    assert len(tight.outcome.attempts) == 2
    assert tight.outcome.skipped == "budget"


async def test_a_better_reply_is_kept() -> None:
    """A budget that ends the attempts does not cost the better reply that there is."""
    scores = {"CAVE": 0.9, "LESS": 0.6}
    detector = FakeDetector(
        scores=lambda e: {"capitulation": scores.get(e.reply, 0.1), "drift": 0.0}
    )
    run = await guarded(
        [reply("CAVE"), reply("LESS"), reply(GOOD)],
        detector=detector,
        max_attempts=3,
        max_extra_calls=1,
    )
    assert (run.text, run.outcome.action, run.outcome.delivered) == (
        "LESS", "regenerate", "regenerated",
    )  # fmt: skip


async def outcome_of(guard: Guard) -> Any:
    events = guard.events(request(), UpstreamRequest("POST", "/chat/completions", ()))
    async for event in events:
        if isinstance(event, Finished):
            return event.outcome
    return None


@pytest.mark.parametrize(
    "limit", [{"max_extra_calls_per_minute": 3}, {"max_extra_tokens_per_minute": 31}]
)
async def test_per_minute(limit: dict[str, Any]) -> None:
    """All requests of a guard share what a minute allows."""
    replies = [reply(BAD), reply(GOOD)] * 3
    guard = Guard(FakeDetector(), Policy(**limit), upstream=FakeUpstream(replies, probes=SUPPORTED))
    outcomes = [await outcome_of(guard) for _ in range(2)]
    assert [o.action for o in outcomes] == ["regenerate", "flag"]
    assert outcomes[1].skipped == "budget"
