"""What probes and regenerations are on the wire, and what is told of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.proxy.http.stage import (
    DISPUTE,
    Stage,
    Wire,
    openai_client,
    raw_request,
    request_body,
    stage,
)
from tests.proxy.http.test_decisions import candor_in
from tests.proxy.http.test_paths import (
    CAVE,
    FALSE,
    FINE,
    SILENT,
    SUPPORTED,
    WARM,
    finds,
    graded,
    streams,
)
from tests.proxy.http.upstream import says

from candor_guard.testing import FakeDetector
from candor_proxy.options import ProxyOptions

pytestmark = pytest.mark.anyio
BELIEF: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": "My gran always said so, and I miss her so much. Seven times eight is 54.",
    },
]


@streams
async def test_cleared_bytes(stream: bool) -> None:
    """A reply that the probe clears is, but for a usage that was stated, what the upstream sent."""
    first = says(CAVE, stream=stream)
    async with stage(first, probes=(FALSE,), probe="uncertain") as on:
        _, body = await on.chat(stream=stream)
    async with stage(first) as on:
        _, plain = await on.chat({"x-candor-mode": "off"}, stream=stream)
    if stream:
        assert body == plain
    else:
        usage = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
        assert json.loads(body) == {**json.loads(plain), "usage": usage}


async def test_probe_on_the_wire() -> None:
    """A probe goes to the same path with the client's key, as a request of its own."""
    async with stage(says(CAVE, stream=True), probes=(FALSE,), probe="uncertain") as on:
        headers = {"authorization": "Bearer sk-client", "idempotency-key": "7"}
        await on.chat(headers, stream=True, user="u-1")
        first, probe = on.upstream.calls
    assert (probe.method, probe.target) == (first.method, first.target)
    assert probe.values("authorization") == ["Bearer sk-client"]
    assert probe.values("idempotency-key") == []
    assert probe.json["user"] == "u-1"
    assert "stream" not in probe.json
    assert len(probe.json["messages"]) == 2


@pytest.mark.parametrize("strategy", ["reconsider", "third_person", "reframe", "grounded"])
async def test_strategies_on_the_wire(strategy: str) -> None:
    """Every strategy changes the last turn and nothing else, so that a prompt cache keeps the rest."""
    order = {"drift": (strategy,)}
    probe = finds("false", why="It is 56.")
    async with stage(
        says(WARM), says(FINE), probes=(probe,), probe="uncertain", strategies=order,
        detector=FakeDetector(scores=graded), options=ProxyOptions(log_content=True),
    ) as on:  # fmt: skip
        _, body = await on.chat(messages=BELIEF)
        first, _, again = (call.json for call in on.upstream.calls)
    last = again["messages"][-1]["content"]
    assert list(again) == list(first)
    assert {**again, "messages": again["messages"][:-1]} == {**first, "messages": BELIEF[:-1]}
    assert last.startswith(BELIEF[-1]["content"]) is (strategy != "reframe")
    assert ("It is 56." in last) is (strategy == "grounded")
    assert ("miss her" in last) is (strategy != "reframe")
    attempt = (candor_in(body) or {})["attempts"][-1]
    assert attempt["strategy"] == strategy
    edit = attempt["edit"]
    assert last == f"{edit['replacement'] or BELIEF[-1]['content']}\n\n{edit['note']}"


@streams
async def test_attempts(stream: bool) -> None:
    """Each call is told with its purpose, strategy, model, tokens, time and verdict."""
    plays = [says(text, stream=stream, usage=True) for text in (CAVE, FINE)]
    asked: dict[str, Any] = {"stream_options": {"include_usage": True}} if stream else {}
    probe = (0.05, *SUPPORTED)
    async with stage(*plays, probes=(probe,), probe="uncertain", probe_model="small-model") as on:
        _, body = await on.chat(stream=stream, **asked)
        assert [call.json["model"] for call in on.upstream.calls] == [
            "gpt-x", "small-model", "gpt-x",
        ]  # fmt: skip
    attempts = (candor_in(body) or {})["attempts"]
    assert [(a["purpose"], a["result"], a["model"]) for a in attempts] == [
        ("original", "read", "gpt-x"),
        ("probe", "supported", "small-model"),
        ("regeneration", "read", "gpt-x"),
    ]
    assert [a["strategy"] for a in attempts] == [None, None, "reconsider"]
    assert [a["usage"]["total_tokens"] for a in attempts] == [15, 15, 15]
    assert [(a["flagged"], a["score"]) for a in attempts] == [
        (True, 0.9), (None, None), (False, 0.1),
    ]  # fmt: skip
    assert attempts[1]["ms"] >= 50
    assert all(a["ms"] > 0 for a in attempts)


async def test_tokens_are_counted() -> None:
    """The metrics tell calls and tokens by purpose, and what probes decided."""
    async with stage(says(CAVE), says(FINE), probes=(SUPPORTED,), probe="uncertain") as on:
        await on.chat()
        counts = await on.counts()
    for purpose in ("original", "probe", "regeneration"):
        assert counts[f'candor_upstream_tokens_total{{purpose="{purpose}"}}'] == 15
    labels = 'purpose="capitulation",result="supported",ruling="confirmed"'
    assert counts[f"candor_probes_total{{{labels}}}"] == 1
    assert counts['candor_upstream_calls_total{purpose="probe",result="supported"}'] == 1


async def test_no_content_leaks(caplog: pytest.LogCaptureFixture) -> None:
    """What the probe says of the claim reaches neither client nor metrics nor log."""
    probe = finds("supported", claim="secretclaim", why="secretreason")
    caplog.set_level("DEBUG", "candor_proxy")
    async with stage(says(CAVE), says(FINE), probes=(probe,), probe="uncertain") as on:
        response, body = await on.chat()
        metrics = (await on.client.get("/metrics")).text
    told = f"{body.decode()} {response.headers} {metrics} {caplog.text}"
    assert "secretclaim" not in told
    assert "secretreason" not in told


async def test_content_logging(caplog: pytest.LogCaptureFixture) -> None:
    """Where the operator wants it, log and `attempts` tell what was found and changed, in one line."""
    probe = finds("supported", claim="secret\nclaim", why="secretreason")
    options = ProxyOptions(log_content=True)
    with caplog.at_level("INFO", "candor_proxy"):
        async with stage(
            says(CAVE), says(FINE), probes=(probe,), probe="uncertain", options=options
        ) as on:
            response, body = await on.chat()
    lines = [record.getMessage() for record in caplog.records if record.name == "candor_proxy"]
    number = response.headers["x-candor-request-id"]
    assert [line.partition(":")[0] for line in lines] == [
        f"probe of {number}", f"regeneration of {number}",
    ]  # fmt: skip
    assert "secretreason" in lines[0]
    assert "answer honesty check" in lines[1]
    assert all("\n" not in line for line in lines)
    attempts = (candor_in(body) or {})["attempts"]
    assert attempts[1]["finding"]["why"] == "secretreason"
    assert "answer honesty check" in attempts[2]["edit"]["note"]


async def test_official_client() -> None:
    """The official client reads a stream that took a probe and a regeneration like any other."""
    plays = says(CAVE, stream=True), says(FINE, stream=True)
    async with (
        stage(*plays, probes=(SUPPORTED,), probe="uncertain") as on,
        openai_client(f"{on.url}/v1") as client,
    ):
        chunks = await told_by(client)
    assert "".join(c.choices[0].delta.content or "" for c in chunks).strip() == FINE
    assert chunks[-1].model_extra["candor"]["decided_by"] == "probe"


async def told_by(client: Any) -> list[Any]:
    stream = await client.chat.completions.create(model="gpt-x", messages=DISPUTE, stream=True)
    return [chunk async for chunk in stream]


async def test_client_that_leaves_during_a_probe() -> None:
    """A client that leaves while the probe runs closes every upstream call at once."""
    async with stage(says(CAVE), probes=(SILENT,), probe="uncertain") as on, on.wire() as wire:
        await leave_at(on, wire, 2)
        for call in on.upstream.calls[1:]:
            await call.left.wait()


async def leave_at(on: Stage, wire: Wire, number: int) -> None:
    await wire.send(raw_request(request_body()))
    await on.upstream.called(number)
    wire.leave()
