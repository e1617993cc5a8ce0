"""`POST /v1/messages` over real sockets: what passes, what is replaced, what is told."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest
from tests.proxy.http.stage import Stage, stage
from tests.proxy.http.upstream import Piece, answer, streamed
from tests.wire.messages_kit import (
    CITED,
    DISPUTE,
    HIDDEN,
    REMINDER,
    STOP,
    THOUGHT,
    TOOL,
    USAGE,
    begun,
    block_of,
    body,
    ended,
    events_of,
    frames,
    opening,
    said,
    stopped,
    stream,
    text,
    thought_of,
)

from candor_guard.testing import FakeDetector, finding_text
from candor_guard.wire.messages import MessagesSurface
from candor_proxy.options import ProxyOptions

pytestmark = pytest.mark.anyio

PATH = "/v1/messages"
EACH_WAY = pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
CUTS = pytest.mark.parametrize("size", [1, 7, 10_000])
HEADERS = {
    "x-api-key": "sk-ant-client", "anthropic-version": "2023-06-01", "anthropic-beta": "b-1,b-2",
}  # fmt: skip
CLEAN = ["Seven is a prime. ", "It has two divisors. ", "Those are one and seven. ", "That is all."]
LATE = [*CLEAN[:3], "But you insist. So CAVE."]
SMALL: dict[str, Any] = {"min_prefix_chars": 10, "min_release_chars": 30, "repair_ratio": 0.5}
EAGER = ProxyOptions(header_wait=0.05, keepalive_interval=0.05)


def asked(**fields: Any) -> bytes:
    """A request, with spaces and an order that no serializer of ours would write."""
    payload = {"model": "claude-x", "max_tokens": 99, "messages": DISPUTE, "x_unknown": [1, 2.50]}
    return json.dumps({**payload, **fields}, indent=1).encode()


async def ask(
    on: Stage, headers: dict[str, str] | None = None, **fields: Any
) -> tuple[httpx2.Response, bytes]:
    return await on.post(PATH, asked(**fields), HEADERS | (headers or {}))


def play(raw: bytes, *, streams: bool, size: int = 10_000) -> tuple[Piece, ...]:
    if not streams:
        return (answer(raw, "request-id: req_1"),)
    pieces = [raw[i : i + size] for i in range(0, len(raw), size)]
    return streamed(*pieces, headers=("request-id: req_1",))


def reply(*blocks: str, streams: bool) -> bytes:
    return stream(blocks) if streams else body(*blocks)


def says(words: str, *, streams: bool) -> tuple[Piece, ...]:
    return play(reply(words, streams=streams), streams=streams)


def words_in(raw: bytes, *, streams: bool) -> str:
    if not streams:
        return "".join(b.get("text", "") for b in json.loads(raw)["content"])
    deltas = [event.get("delta", {}) for event in events_of(raw)]
    return "".join(delta.get("text", "") for delta in deltas)


def candor_in(raw: bytes, *, streams: bool) -> Any:
    if not streams:
        return json.loads(raw).get("candor")
    found = [event for event in events_of(raw) if "candor" in event]
    assert [event["type"] for event in found] in ([], ["message_delta"])
    return found[0]["candor"] if found else None


@CUTS
@EACH_WAY
@pytest.mark.parametrize("at_risk", [False, True], ids=["at no risk", "held"])
async def test_unflagged_reply_passes_byte_for_byte(
    at_risk: bool, streams: bool, size: int
) -> None:
    """A reply that is not flagged is what the upstream sent, and so are its headers."""
    raw = reply("It is 56.", streams=streams)
    detector = FakeDetector(at_risk=at_risk)
    async with stage(play(raw, streams=streams, size=size), detector=detector) as on:
        response, got = await ask(on, stream=streams)
        (call,) = on.upstream.calls
    assert got == raw
    assert response.headers["x-candor-evaluated"] == ("full" if at_risk else "gate")
    assert response.headers["request-id"] == "req_1"
    assert (call.target, bytes(call.body)) == (PATH, asked(stream=streams))
    assert {name: call.values(name) for name in HEADERS} == {k: [v] for k, v in HEADERS.items()}


@CUTS
@EACH_WAY
async def test_flagged_reply_is_replaced(streams: bool, size: int) -> None:
    """A reply at fault is replaced whole; the record and the sum of usage stand with it."""
    plays = [play(reply("So, CAVE.", streams=streams), streams=streams, size=size)]
    better = reply("It is 56.", streams=streams)
    async with stage(*plays, play(better, streams=streams, size=size)) as on:
        response, got = await ask(on, stream=streams)
        counts = await on.counts()
        again = on.upstream.calls[1]
    assert (b"CAVE" in got, words_in(got, streams=streams)) == (False, "It is 56.")
    assert response.headers["x-candor-action"] == "regenerate"
    candor = candor_in(got, streams=streams)
    assert (candor["delivered"], candor["upstream_calls"]) == ("regenerated", 2)
    assert candor["usage"]["original"] == candor["usage"]["regenerated"] == USAGE
    told = events_of(got)[-2]["usage"] if streams else json.loads(got)["usage"]
    assert (told["input_tokens"], told["cache_read_input_tokens"]) == (20, 6)
    assert told["output_tokens"] == 10
    first, last = again.json["messages"][:-1], again.json["messages"][-1]
    assert first == DISPUTE[:-1]
    assert last["content"].startswith(DISPUTE[-1]["content"])
    assert "answer honesty check" in last["content"]
    labels = 'action="regenerate",evaluated="full",mode="enforce",surface="messages"'
    assert counts[f"candor_requests_total{{{labels}}}"] == 1
    assert counts['candor_upstream_tokens_total{purpose="regeneration"}'] == 18


@EACH_WAY
async def test_thoughts_are_carried_and_not_judged(streams: bool) -> None:
    """A thought is neither read as words nor changed where the reply is annotated."""
    raw = body(THOUGHT, HIDDEN, "So, CAVE.")
    if streams:
        hidden = [begun(HIDDEN, 1), ended(1)]
        said_then = block_of(["So, CAVE."], 2)
        raw = frames(opening(), *thought_of(), *hidden, *said_then, stopped(), STOP)
    detector = FakeDetector()
    async with stage(play(raw, streams=streams), detector=detector, max_attempts=0) as on:
        response, got = await ask(on, stream=streams)
    assert [exchange.reply for exchange in detector.read_exchanges] == ["So, CAVE."]
    assert response.headers["x-candor-action"] == "flag"
    if not streams:
        rest = json.loads(got)
        assert rest.pop("candor")["action"] == "flag"
        assert rest == json.loads(raw)
        return
    before = raw.index(b"event: message_delta")
    assert got[:before] == raw[:before]
    assert candor_in(got, streams=True)["action"] == "flag"


def of(*blocks: Any, stop: str = "end_turn") -> tuple[bytes, bytes]:
    """The same reply whole and as a stream."""
    events: list[Any] = []
    for index, block in enumerate(blocks):
        events += [begun(block, index), ended(index)]
    return body(*blocks, stop=stop), frames(opening(), *events, stopped(stop), STOP)


SKIPPED: dict[str, tuple[tuple[bytes, bytes], str]] = {
    "tool use": (of(text("CAVE"), TOOL, stop="tool_use"), "tool_calls"),
    "server tool": (of({**TOOL, "type": "server_tool_use"}, text("CAVE")), "tool_calls"),
    "citations": (of({**CITED, "text": "CAVE"}), "citations"),
    "upload": (of(text("CAVE"), {"type": "container_upload", "file_id": "f"}), "media"),
    "refusal": (of(text("CAVE"), stop="refusal"), "refusal"),
    "length": (of(text("CAVE"), stop="max_tokens"), "length"),
    "context": (of(text("CAVE"), stop="model_context_window_exceeded"), "length"),
    "pause": (of(text("CAVE"), stop="pause_turn"), "pause_turn"),
    "no text": (of(THOUGHT), "no_text"),
}


@EACH_WAY
@pytest.mark.parametrize("case", SKIPPED)
async def test_reply_that_cannot_be_judged_passes(case: str, streams: bool) -> None:
    """What is no finished reply in words passes as it is, with the reason."""
    both, reason = SKIPPED[case]
    raw = both[streams]
    async with stage(play(raw, streams=streams)) as on:
        response, got = await ask(on, stream=streams)
        counts = await on.counts()
        assert len(on.upstream.calls) == 1
    assert got == raw
    assert (response.headers["x-candor-action"], response.headers["x-candor-skipped"]) == (
        "pass", reason,
    )  # fmt: skip
    assert counts[f'candor_skipped_total{{reason="{reason}"}}'] == 1


RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "42"}
TURNS: dict[str, tuple[list[Any], str]] = {
    "image": ([{"type": "image", "source": {}}, text("No.")], "media"),
    "document": ([{"type": "document", "source": {}}, text("No.")], "media"),
    "tool's result": ([RESULT], "no_user_turn"),
    "reminder beside a result": ([RESULT, REMINDER], "no_user_turn"),
    "block is a number": ([7], "unreadable"),
}


@pytest.mark.parametrize("case", TURNS)
async def test_turn_that_cannot_be_judged_passes(case: str) -> None:
    """A last turn that is not all in words leads to a reply that passes, with the reason."""
    content, reason = TURNS[case]
    messages = [*DISPUTE[:2], {"role": "user", "content": content}]
    async with stage(says("CAVE", streams=False)) as on:
        response, got = await ask(on, messages=messages)
    assert (got, response.headers["x-candor-skipped"]) == (body("CAVE"), reason)


async def test_tools_may_be_offered() -> None:
    """A reply in words to a request with tools is replaced by one for which tools are off."""
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    async with stage(says("CAVE", streams=False), says("56.", streams=False)) as on:
        response, _ = await ask(on, tools=tools)
        again = on.upstream.calls[1].json
    assert response.headers["x-candor-action"] == "regenerate"
    assert (again["tools"], again["tool_choice"]) == (tools, {"type": "none"})


async def test_structured_reply_is_replaced_by_one_that_fits() -> None:
    """A regenerated reply that breaks the request's schema is not delivered."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    wish = {"format": {"type": "json_schema", "schema": schema}}
    for second, action in (('{"a": 56}', "regenerate"), ('{"b": 56}', "flag")):
        plays = says('{"a": "CAVE"}', streams=False), says(second, streams=False)
        async with stage(*plays) as on:
            response, _ = await ask(on, output_config=wish)
        assert response.headers["x-candor-action"] == action


@EACH_WAY
async def test_probe_on_the_wire(streams: bool) -> None:
    """A probe goes to the same path with the client's account, as a request of its own."""
    probe = (answer(body(finding_text("false"))),)
    first = reply("So, CAVE.", streams=streams)
    async with stage(play(first, streams=streams), probes=(probe,), probe="uncertain") as on:
        path, request = f"{PATH}?beta=true", asked(stream=streams, metadata={"user_id": "u"})
        response, got = await on.post(path, request, HEADERS)
        _, asking = on.upstream.calls
    assert (response.headers["x-candor-action"], response.headers["x-candor-probe"]) == (
        "pass", "false",
    )  # fmt: skip
    assert words_in(got, streams=streams) == "So, CAVE."
    assert (asking.method, asking.target) == ("POST", path)
    assert {name: asking.values(name) for name in HEADERS} == {k: [v] for k, v in HEADERS.items()}
    sent = asking.json
    assert (sent["model"], sent["metadata"]) == ("claude-x", {"user_id": "u"})
    assert "neutral claim check" in sent["system"]
    assert [turn["role"] for turn in sent["messages"]] == ["user"]
    assert sent["output_config"]["format"]["type"] == "json_schema"
    assert "stream" not in sent
    told = events_of(got)[-2]["usage"] if streams else json.loads(got)["usage"]
    assert (told["input_tokens"], told["output_tokens"]) == (20, 10)


async def test_probe_that_is_refused_is_put_plainly() -> None:
    """A server that knows no schema is asked once more without one."""
    refused = (answer(b'{"type": "error", "error": {}}', status="400 Bad Request"),)
    plain = (answer(body(finding_text("false"))),)
    async with stage(says("CAVE", streams=False), probes=(refused, plain), probe="uncertain") as on:
        response, _ = await ask(on)
        _, _, again = on.upstream.calls
    assert response.headers["x-candor-probe"] == "false"
    assert "output_config" not in again.json


async def test_pings_keep_a_held_stream_alive() -> None:
    """Headers wait for the decision, then leave as deferred, and pings follow."""
    slow = streamed(0.3, stream(["CAVE"]))
    async with stage(slow, says("It is 56.", streams=True), options=EAGER) as on:
        response, got = await ask(on, stream=True)
    assert response.headers["x-candor-evaluated"] == "deferred"
    assert got.startswith(MessagesSurface.keepalive * 2)
    assert events_of(got)[0] == {"type": "ping"}
    assert words_in(got, streams=True) == "It is 56."


@CUTS
async def test_observed_stream_leaves_as_it_comes(size: int) -> None:
    """Observing changes nothing but the event that says why the reply stopped."""
    raw = stream(["CAVE ", "in."])
    async with stage(play(raw, streams=True, size=size), mode="observe") as on:
        _, got = await ask(on, stream=True)
    events = events_of(got)
    assert events[-2].pop("candor")["action"] == "flag"
    assert events == events_of(raw)


@CUTS
async def test_released_stream_passes_byte_for_byte(size: int) -> None:
    """A stream whose beginning is clean is released and stays as it was sent."""
    raw = stream(CLEAN)
    async with stage(play(raw, streams=True, size=size), **SMALL) as on:
        response, got = await ask(on, stream=True)
    assert got == raw
    assert response.headers["x-candor-evaluated"] == "deferred"


async def test_released_before_the_end() -> None:
    """The client has the clean beginning while the upstream has not sent the rest."""
    raw = stream(CLEAN)
    at = raw.rindex(b"event: ", 0, raw.index(b"That is all."))
    go = asyncio.Event()
    async with stage(streamed(raw[:at], go, raw[at:]), **SMALL) as on:
        request = on.client.build_request("POST", PATH, content=asked(stream=True))
        response = await on.client.send(request, stream=True)
        pieces = response.aiter_raw()
        got = b""
        while len(got) < at:
            got += await anext(pieces)
        assert got == raw[:at]
        go.set()
        got += b"".join([piece async for piece in pieces])
        await response.aclose()
    assert got == raw


@CUTS
async def test_correction_is_one_more_delta(size: int) -> None:
    """A released reply at fault gets a correction at the end of its own block."""
    raw = stream(LATE)
    plays = play(raw, streams=True, size=size), says("It is 56.", streams=True)
    async with stage(*plays, after_release="correct", **SMALL) as on:
        _, got = await ask(on, stream=True)
    events, before = events_of(got), events_of(raw)
    candor = events[-2].pop("candor")
    assert (candor["corrected"], candor["skipped"]) == (True, "released")
    at = before.index(ended())
    assert events[:at] == before[:at]
    assert events[at] == said("\n\nCorrection: It is 56.")
    assert events[at + 1] == ended()
    assert events[at + 2]["usage"] == {
        "input_tokens": 20, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 6,
        "output_tokens": 10,
    }  # fmt: skip
    assert events[at + 3 :] == [STOP]


@pytest.mark.parametrize("path", ["/v1/messages/count_tokens", "/v1/messages/batches"])
async def test_neighbours_pass_through(path: str) -> None:
    """Counting and batches go through unread, with nothing added."""
    async with stage((answer(b'{"input_tokens": 7}'),)) as on:
        response, got = await on.post(path, asked(), HEADERS)
        (call,) = on.upstream.calls
    assert (got, call.target, bytes(call.body)) == (b'{"input_tokens": 7}', path, asked())
    assert not [name for name in response.headers if name.startswith("x-candor")]


async def test_key_of_the_operator() -> None:
    """The operator's key takes the place of the client's, in the header that the client used."""
    async with stage(says("56.", streams=False), upstream={"api_key": "sk-ant-own"}) as on:
        await ask(on)
        (call,) = on.upstream.calls
    assert (call.values("x-api-key"), call.values("authorization")) == (["sk-ant-own"], [])
