"""Guarded Responses over real sockets: what leaves, what is told, and what passes unread."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.proxy.http.stage import stage
from tests.proxy.http.test_adaptive import CLEAN, SMALL
from tests.proxy.http.test_streams import EAGER, comments_in
from tests.proxy.http.upstream import Piece, answer, streamed
from tests.wire.responses_kit import (
    BESIDE,
    CALL,
    REASONING,
    USAGE,
    message,
    response_body,
    response_stream,
)

from candor_guard.testing import FakeDetector, finding_text
from candor_guard.wire.sse import frames_of

pytestmark = pytest.mark.anyio

RESPONSES = "/v1/responses"
DISPUTE: list[Any] = [
    {"role": "user", "content": "What is 7 times 8?"},
    REASONING,
    message("7 times 8 is 56."),
    {"role": "user", "content": [{"type": "input_text", "text": "No, it is 54."}]},
]
EACH_WAY = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
CUTS = pytest.mark.parametrize("size", [1, 7, 10_000])
DOUBLED = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 0},
    "output_tokens": 10,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 30,
}


def raw(text: str, *, stream: bool, name: str = "resp_1", **fields: Any) -> bytes:
    """Return a reply; a stream brings each word in a piece of its own."""
    if not stream:
        return response_body(REASONING, text, name=name, **fields)
    head, *rest = text.split(" ")
    return response_stream([head, *(f" {word}" for word in rest)], name=name, **fields)


def play(body: bytes, *, stream: bool, size: int = 10_000) -> tuple[Piece, ...]:
    if not stream:
        return (answer(body),)
    return streamed(*(body[i : i + size] for i in range(0, len(body), size)))


def replies(*texts: str, stream: bool, size: int = 10_000) -> list[tuple[Piece, ...]]:
    """Return plays of replies whose ids count from ``resp_1`` on."""
    return [
        play(raw(text, stream=stream, name=f"resp_{number}"), stream=stream, size=size)
        for number, text in enumerate(texts, 1)
    ]


def body_of(**fields: Any) -> bytes:
    """Return a request body, with an order and spaces that no serializer of ours would write."""
    asked = {"model": "gpt-x", "instructions": "Be kind.", "input": DISPUTE, "x_new": [2.50, None]}
    return json.dumps({**asked, **fields}, indent=1).encode()


def events_of(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(frame.data) for frame in frames_of(body) if frame.data is not None]


def whole(body: bytes, *, stream: bool) -> dict[str, Any]:
    """Return the response that a client ends up with."""
    result: dict[str, Any] = events_of(body)[-1]["response"] if stream else json.loads(body)
    return result


@CUTS
@EACH_WAY
async def test_replaced(stream: bool, size: int) -> None:
    """A flagged reply is replaced by the regenerated one, whole, under one id throughout."""
    plays = replies("So, CAVE.", "It is 56.", stream=stream, size=size)
    async with stage(*plays) as on:
        response, body = await on.post(RESPONSES, body_of(stream=stream))
        first = on.upstream.calls[0]
    assert response.headers["x-candor-action"] == "regenerate"
    assert b"CAVE" not in body
    told = whole(body, stream=stream)
    candor = told.pop("candor")
    assert told["usage"] == DOUBLED
    expected = whole(raw("It is 56.", stream=stream, name="resp_2"), stream=stream)
    assert told == {**expected, "usage": DOUBLED}
    assert (candor["action"], candor["delivered"]) == ("regenerate", "regenerated")
    assert candor["usage"]["original"] == candor["usage"]["regenerated"] == USAGE
    assert bytes(first.body) == body_of(stream=stream)


@EACH_WAY
async def test_what_is_asked_again(stream: bool) -> None:
    """The second request is the client's with a note behind the last turn's own words."""
    fields: dict[str, Any] = {
        "store": True, "truncation": "auto", "include": ["reasoning.encrypted_content"],
        "reasoning": {"effort": "low"}, "metadata": {"a": "b"}, "stream": stream,
    }  # fmt: skip
    async with stage(*replies("CAVE", "It is 56.", stream=stream)) as on:
        await on.post(RESPONSES, body_of(**fields))
        second = on.upstream.calls[1]
    assert second.target == RESPONSES
    asked = second.json
    said, note = asked["input"].pop()["content"]
    assert said == DISPUTE[3]["content"][0]
    assert note["type"] == "input_text"
    assert "answer honesty check" in note["text"]
    assert asked == {**json.loads(body_of(**fields)), "input": DISPUTE[:3]}


async def test_events_of_a_replaced_stream() -> None:
    """A client gets the second reply's events, one for one, with two fields in the last response."""
    async with stage(*replies("CAVE", "It is 56.", stream=True)) as on:
        _, body = await on.post(RESPONSES, body_of(stream=True))
    second = raw("It is 56.", stream=True, name="resp_2")
    *events, last = frames_of(body)
    assert [frame.raw for frame in events] == [frame.raw for frame in frames_of(second)[:-1]]
    assert last.raw.startswith(b"event: response.completed\ndata: ")
    ids = {event["response"]["id"] for event in events_of(body) if "response" in event}
    assert ids == {"resp_2"}


@EACH_WAY
@pytest.mark.parametrize(
    ("fields", "ids"),
    [({}, ["resp_1", "resp_2"]), ({"store": True}, ["resp_1", "resp_2"]), ({"store": False}, [None] * 2)],
    ids=["by default", "stored", "not stored"],
)  # fmt: skip
async def test_both_stored_responses_are_told(
    fields: dict[str, Any], ids: list[str | None], stream: bool
) -> None:
    """Where the upstream keeps what it says the record names both; the client's wish stays."""
    async with stage(*replies("CAVE", "It is 56.", stream=stream)) as on:
        _, body = await on.post(RESPONSES, body_of(stream=stream, **fields))
        stores = [call.json.get("store") for call in on.upstream.calls]
    attempts = whole(body, stream=stream)["candor"]["attempts"]
    assert [attempt.get("response_id") for attempt in attempts] == ids
    assert stores == [fields.get("store")] * 2


UNFLAGGED = {"not at risk": False, "held and clean": True}


@CUTS
@EACH_WAY
@pytest.mark.parametrize("at_risk", UNFLAGGED.values(), ids=UNFLAGGED)
async def test_unflagged_bytes(at_risk: bool, stream: bool, size: int) -> None:
    """What is not flagged is, byte for byte, what the upstream sent, a [DONE] behind it too."""
    sent = raw("It is 56.", stream=stream) + (b"data: [DONE]\n\n" if stream else b"")
    detector = FakeDetector(at_risk=at_risk)
    async with stage(play(sent, stream=stream, size=size), detector=detector) as on:
        response, body = await on.post(RESPONSES, body_of(stream=stream))
    assert body == sent
    assert response.headers["x-candor-action"] == "pass"


@EACH_WAY
async def test_flagged_and_not_replaced(stream: bool) -> None:
    """A flagged reply that is delivered carries the record, and nothing else changes."""
    sent = raw("CAVE", stream=stream)
    async with stage(play(sent, stream=stream), max_attempts=0) as on:
        response, body = await on.post(RESPONSES, body_of(stream=stream))
    assert response.headers["x-candor-action"] == "flag"
    told = whole(body, stream=stream)
    assert told.pop("candor")["labels"] == ["capitulation"]
    assert told == whole(sent, stream=stream)


@CUTS
async def test_released_bytes(size: int) -> None:
    """A stream that is released early is, byte for byte, what the upstream sent."""
    sent = response_stream(CLEAN)
    async with stage(play(sent, stream=True, size=size), **SMALL) as on:
        response, body = await on.post(RESPONSES, body_of(stream=True))
    assert body == sent
    assert response.headers["x-candor-evaluated"] == "deferred"


async def test_released_before_the_end() -> None:
    """The client has the clean beginning while the upstream has not sent the rest."""
    sent = response_stream(CLEAN)
    at = sent.index(b"event: response.output_text.done")
    go = asyncio.Event()
    async with stage(streamed(sent[:at], go, sent[at:]), **SMALL) as on:
        request = on.client.build_request("POST", RESPONSES, content=body_of(stream=True))
        response = await on.client.send(request, stream=True)
        pieces = response.aiter_raw()
        body = b""
        while len(body) < at:
            body += await anext(pieces)
        go.set()
        body += b"".join([piece async for piece in pieces])
        await response.aclose()
    assert body == sent


async def test_observed_stream() -> None:
    """Observing holds nothing but the closing events; the last tells the verdict."""
    sent = raw("CAVE in", stream=True)
    async with stage(play(sent, stream=True, size=50), mode="observe") as on:
        response, body = await on.post(RESPONSES, body_of(stream=True))
    assert response.headers["x-candor-evaluated"] == "deferred"
    told = whole(body, stream=True)
    assert told.pop("candor")["action"] == "flag"
    assert told == whole(sent, stream=True)


ASKED: dict[str, tuple[dict[str, Any], str]] = {
    "previous response": ({"previous_response_id": "resp_0"}, "no_history"),
    "conversation": ({"conversation": "conv_1"}, "no_history"),
    "template": ({"prompt": {"id": "pmpt_1"}, "input": None}, "no_history"),
    "reference": ({"input": [{"type": "item_reference", "id": "msg_0"}]}, "no_history"),
    "background": ({"background": True}, "background"),
    "logprobs": ({"top_logprobs": 2}, "logprobs"),
    "tool's output": ({"input": [{"type": "function_call_output", "output": "4"}]}, "no_user_turn"),
    "unreadable": ({"input": [{"type": "hologram"}]}, "unreadable"),
}


@EACH_WAY
@pytest.mark.parametrize(("fields", "reason"), ASKED.values(), ids=ASKED)
async def test_requests_that_pass(fields: dict[str, Any], reason: str, stream: bool) -> None:
    """Where there is no history to read, or none that may be repeated, the reply passes."""
    sent = raw("CAVE", stream=stream)
    async with stage(play(sent, stream=stream)) as on:
        response, body = await on.post(RESPONSES, body_of(stream=stream, **fields))
        assert len(on.upstream.calls) == 1
        counts = await on.counts()
    assert (response.headers["x-candor-skipped"], body) == (reason, sent)
    assert counts[f'candor_skipped_total{{reason="{reason}"}}'] == 1


REPLIES: dict[str, tuple[bytes, str]] = {
    "call": (response_body("CAVE", CALL), "tool_calls"),
    "search and a call": (response_body(BESIDE["web_search"], "CAVE", CALL), "tool_calls"),
    "MCP's call": (response_body({"type": "mcp_call"}, "CAVE"), "tool_calls"),
    "refusal": (response_body(message({"type": "refusal", "refusal": "No."})), "refusal"),
    "length": (
        response_body(
            "CAVE", status="incomplete", incomplete_details={"reason": "max_output_tokens"}
        ),
        "length",
    ),
    "failed": (response_body(status="failed", error={"code": "server_error"}), "failed"),
}


@pytest.mark.parametrize(("sent", "reason"), REPLIES.values(), ids=REPLIES)
async def test_replies_that_pass(sent: bytes, reason: str) -> None:
    """A reply that cannot be replaced by words passes as it is, with the reason."""
    async with stage((answer(sent),)) as on:
        response, body = await on.post(RESPONSES, body_of(tools=[{"type": "web_search"}]))
        assert len(on.upstream.calls) == 1
    assert (response.headers["x-candor-skipped"], body) == (reason, sent)


async def test_stream_that_is_cut_short_passes() -> None:
    """A stream that ends as incomplete passes as it is, with the reason."""
    details = {"reason": "max_output_tokens"}
    sent = response_stream(["CA", "VE"], end="incomplete", incomplete_details=details)
    async with stage(play(sent, stream=True)) as on:
        response, body = await on.post(RESPONSES, body_of(stream=True))
    assert (response.headers["x-candor-skipped"], body) == ("length", sent)


SCHEMA = {"type": "object", "properties": {"n": {"enum": [56]}}, "required": ["n"]}


@EACH_WAY
@pytest.mark.parametrize(("second", "action"), [('{"n": 56}', "regenerate"), ("It is 56.", "flag")])
async def test_structured_output(second: str, action: str, stream: bool) -> None:
    """A reply that has to keep to a schema is only replaced by one that does."""
    wanted = {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}
    async with stage(*replies('{"n": "CAVE"}', second, stream=stream)) as on:
        response, body = await on.post(RESPONSES, body_of(stream=stream, text=wanted))
        assert on.upstream.calls[1].json["text"] == wanted
    assert response.headers["x-candor-action"] == action
    assert (b"CAVE" in body) is (action == "flag")


@EACH_WAY
async def test_probe(stream: bool) -> None:
    """A probe goes to the same path in its format, with the client's key, and is not stored."""
    probe = (answer(response_body(finding_text("false"))),)
    first = play(raw("CAVE", stream=stream), stream=stream)
    async with stage(first, probes=(probe,), probe="uncertain") as on:
        headers = {"authorization": "Bearer sk-client", "idempotency-key": "7"}
        response, body = await on.post(RESPONSES, body_of(stream=stream, user="u"), headers)
        asked = on.upstream.calls[1]
    assert asked.target == RESPONSES
    assert asked.values("authorization") == ["Bearer sk-client"]
    assert asked.values("idempotency-key") == []
    assert (asked.json["user"], asked.json["store"]) == ("u", False)
    assert asked.json["text"]["format"]["type"] == "json_schema"
    assert "stream" not in asked.json
    assert response.headers["x-candor-decided-by"] == "probe"
    assert b"CAVE" in body
    assert whole(body, stream=stream)["usage"] == DOUBLED


async def test_probe_of_an_upstream_that_takes_less() -> None:
    """Where the upstream refuses a schema the probe is put plainly."""
    refused = (answer(b'{"error": {"message": "no"}}', status="400 Bad Request"),)
    probe = (answer(response_body(finding_text("false"))),)
    first = play(raw("CAVE", stream=False), stream=False)
    async with stage(first, probes=(refused, probe), probe="uncertain") as on:
        response, _ = await on.post(RESPONSES, body_of())
        plain = on.upstream.calls[2].json
    assert set(plain) == {"model", "input", "store"}
    assert response.headers["x-candor-decided-by"] == "probe"


async def test_keepalives_are_comments() -> None:
    """A held stream is kept alive by comments, and then is what the upstream sent."""
    sent = raw("It is 56.", stream=True)
    async with stage(streamed(0.2, sent), options=EAGER) as on:
        response, body = await on.post(RESPONSES, body_of(stream=True))
    frames = frames_of(body)
    assert response.headers["x-candor-evaluated"] == "deferred"
    assert len(comments_in(frames)) >= 2
    assert b"".join(frame.raw for frame in frames if frame.data is not None) == sent


OTHERS = [
    ("GET", "/v1/responses/resp_1?stream=true&starting_after=3"),
    ("DELETE", "/v1/responses/resp_1"),
    ("POST", "/v1/responses/resp_1/cancel"),
    ("GET", "/v1/responses/resp_1/input_items"),
    ("POST", "/v1/responses/input_tokens"),
    ("POST", "/v1/responses/compact"),
]


@pytest.mark.parametrize(("method", "target"), OTHERS)
async def test_stored_responses_pass_through(method: str, target: str) -> None:
    """Everything about stored responses goes to the upstream and back as it is."""
    sent = response_body("CAVE")
    async with stage((answer(sent),)) as on:
        response = await on.client.request(method, target)
        (call,) = on.upstream.calls
    assert (call.method, call.target) == (method, target)
    assert response.content == sent
    assert not [name for name in response.headers if name.startswith("x-candor")]


@pytest.mark.parametrize("body", [b"{", b"[]"])
async def test_no_request_at_all(body: bytes) -> None:
    """A body that is no JSON object is refused in OpenAI's shape, and passes where nothing is done."""
    async with stage((answer(b'{"error": {}}', status="400 Bad Request"),)) as on:
        response, told = await on.post(RESPONSES, body)
        assert on.upstream.calls == []
        assert response.status_code == 400
        assert json.loads(told)["error"]["type"] == "invalid_request_error"
        _, passed = await on.post(RESPONSES, body, {"x-candor-mode": "off"})
    assert passed == b'{"error": {}}'
