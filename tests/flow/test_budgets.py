"""Budgets: what a request, and all requests together, may spend on further calls."""

from __future__ import annotations

from typing import Any

import anyio
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
    """The only call there is goes into the repair, not into a probe; the detector decides."""
    run = await spent(stream=stream, max_extra_calls=1)
    assert (run.text, run.outcome.action, run.outcome.skipped) == (GOOD, "regenerate", None)
    assert run.outcome.probe is not None
    assert (run.outcome.probe["result"], run.outcome.decided_by) == ("budget", "classifier")


async def test_one_call_and_no_attempt() -> None:
    """Where nothing is ever regenerated no call is kept for it."""
    run = await spent(max_extra_calls=1, max_attempts=0)
    assert (run.results, run.outcome.action) == (["read", "supported"], "flag")
    assert (run.outcome.decided_by, run.outcome.skipped) == ("probe", None)


async def test_cleared_within_the_budget() -> None:
    """A probe that clears the reply needs no further call."""
    run = await spent(probes=[FakeReply.chat(finding_text("false"))], max_extra_calls=2)
    assert (run.outcome.action, run.outcome.skipped) == ("pass", None)


async def test_two_calls() -> None:
    """One probe and one regeneration are two calls."""
    run = await spent(max_extra_calls=2)
    assert (run.text, run.outcome.action, run.outcome.skipped) == (GOOD, "regenerate", None)


async def test_repetitions_count() -> None:
    """A probe's repetition is a call, too, and leaves one to the repair as the first does."""
    two = await spent(probes=USELESS, max_extra_calls=2)
    assert (two.results, two.text) == (["read", "useless", "read"], GOOD)
    three = await spent(probes=USELESS, max_extra_calls=3)
    assert three.results == ["read", "useless", "useless", "read"]


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_refused_calls_are_free(status: int) -> None:
    """A question that the upstream refuses, and asks to be put plainer, costs nothing."""
    refusal = FakeReply((b'{"error": {}}',), status=status)
    run = await spent(
        probes=[refusal, *SUPPORTED], max_extra_calls=2, max_extra_tokens=16,
        max_extra_calls_per_minute=2,
    )  # fmt: skip
    assert run.results == ["read", "failed", "supported", "read"]
    assert (run.text, run.outcome.decided_by) == (GOOD, "probe")


@both
async def test_refused_regenerations_are_free(stream: bool) -> None:
    """A regeneration that the upstream refuses leaves its call to the next attempt."""
    refusal = FakeReply((b"{}",), status=400)
    run = await guarded(
        [reply(BAD, stream=stream), refusal, reply(GOOD, stream=stream)],
        stream=stream, max_attempts=2, max_extra_calls=1, max_extra_tokens=1,
    )  # fmt: skip
    assert run.results == ["read", "regeneration_failed", "read"]
    assert run.text == GOOD


async def test_failed_calls_are_not_free() -> None:
    """A call that fails in any other way may have cost something."""
    run = await spent(probes=[FakeReply((b"{}",), status=500)], max_attempts=2, max_extra_calls=2)
    assert run.results == ["read", "failed", "read"]
    run = await guarded(
        [reply(BAD), FakeReply((b"{}",), status=302)], max_attempts=3, max_extra_calls=1
    )
    assert (run.results, run.outcome.skipped) == (["read", "regeneration_failed"], "budget")


async def test_parallel_takes_both() -> None:
    """In parallel the only call there is goes into the repair, too."""
    run = await spent(probe="parallel", max_extra_calls=1)
    assert (run.results, run.outcome.action) == (["read", "read"], "regenerate")
    run = await spent(probe="parallel", max_extra_calls=2)
    assert run.results == ["read", "supported", "read"]


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
    "limit",
    [
        {"max_extra_calls_per_minute": 3},
        {"max_extra_tokens_per_minute": 31},
    ],
)
async def test_per_minute(limit: dict[str, Any]) -> None:
    """All requests of a guard share what a minute allows."""
    replies = [reply(BAD), reply(GOOD)] * 3
    guard = Guard(FakeDetector(), Policy(**limit), upstream=FakeUpstream(replies, probes=SUPPORTED))
    outcomes = [await outcome_of(guard) for _ in range(2)]
    assert [o.action for o in outcomes] == ["regenerate", "flag"]
    assert outcomes[1].skipped == "budget"


async def test_seconds_per_minute() -> None:
    """The time that further calls took is shared too; the call that goes over it is completed."""
    late = FakeReply(reply(GOOD).pieces, delay=0.2)
    upstream = FakeUpstream([reply(BAD), late, reply(BAD)], probes=SUPPORTED)
    guard = Guard(FakeDetector(), Policy(max_extra_seconds_per_minute=0.2), upstream=upstream)
    outcomes = [await outcome_of(guard) for _ in range(2)]
    assert [o.action for o in outcomes] == ["regenerate", "flag"]
    assert [o.probe["result"] for o in outcomes] == ["supported", "budget"]


@pytest.mark.parametrize("hangs", ["probe", "regeneration"])
async def test_a_client_that_leaves_is_counted(hangs: str) -> None:
    """Time and tokens of a call that is under way count when the client leaves."""
    endless = FakeReply((), delay=3600.0)
    probes = [endless] if hangs == "probe" else SUPPORTED
    upstream = FakeUpstream([reply(BAD), endless], probes=probes)
    guard = Guard(FakeDetector(), Policy(max_extra_seconds_per_minute=0.05), upstream=upstream)
    with anyio.move_on_after(0.3):
        await outcome_of(guard)
    again = guard.with_upstream(FakeUpstream([reply(BAD)], probes=SUPPORTED))
    outcome = await outcome_of(again)
    assert (outcome.action, outcome.skipped) == ("flag", "budget")
