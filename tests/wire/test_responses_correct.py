"""Correcting a Responses stream: one more delta, and all that repeats the text with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.wire.responses_kit import (
    REASONING,
    message,
    response_body,
    response_stream,
    saying,
    written,
)
from tests.wire.test_chat_reader import fed
from tests.wire.test_responses_write import PLAIN, SURFACE, events, request

from candor_guard.wire.responses.read import ResponsesStreamReader
from candor_guard.wire.sse import frames_of


def tail_of(raw: bytes) -> bytes:
    return raw[fed(ResponsesStreamReader(10_000), [raw]).safe :]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_correction(end: bytes) -> None:
    """One more delta comes before the text's end; all that repeats the text has the longer one."""
    raw = response_stream(["a", "b"]).replace(b"\n", end)
    tail = tail_of(raw)
    corrected = SURFACE.correct(request(stream=True), tail, " more")
    assert corrected is not None
    delta, *closing = events(corrected)
    text_done, part_done, item_done, completed = closing
    first = events(tail)[0]["sequence_number"]
    assert [event["sequence_number"] for event in (delta, *closing)] == list(
        range(first, first + 5)
    )
    assert delta == {
        "type": "response.output_text.delta", "item_id": "msg_1", "output_index": 1,
        "content_index": 0, "delta": " more", "logprobs": [], "sequence_number": first,
    }  # fmt: skip
    assert text_done["text"] == part_done["part"]["text"] == "ab more"
    assert item_done["item"]["content"][0]["text"] == "ab more"
    assert completed["response"]["output"][0] == REASONING
    assert completed["response"]["output"][1]["content"][0]["text"] == "ab more"
    assert frames_of(corrected)[0].raw.startswith(b"event: response.output_text.delta" + end)
    assert corrected.replace(end, b"").count(b"\n") == 0
    whole = raw.removesuffix(tail) + corrected
    assert fed(ResponsesStreamReader(10_000), [whole]).text == "ab more"


def bare(body: bytes) -> bytes:
    """Return a stream as servers write it that tell no places and no numbers."""
    left_out = {"output_index", "content_index", "sequence_number"}
    told = [{key: each[key] for key in each if key not in left_out} for each in events(body)]
    return "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in told).encode()


def elsewhere(body: bytes) -> bytes:
    """Return a stream whose last response does not have the thoughts that its events told of."""
    return body.replace(json.dumps(REASONING).encode() + b", ", b"")


@pytest.mark.parametrize("write", [bare, elsewhere])
def test_correction_finds_its_message(write: Callable[[bytes], bytes]) -> None:
    """Where places are left out, or are others in the last response, ids tell the message."""
    tail = tail_of(write(response_stream(["a", "b"])))
    corrected = SURFACE.correct(request(stream=True), tail, "!")
    assert corrected is not None
    *_, item, whole = events(corrected)
    assert item["item"]["content"][0]["text"] == "ab!"
    assert whole["response"]["output"][-1]["content"][0]["text"] == "ab!"


LITTLE: list[Any] = [{}, {"response": "x"}, {"response": {}}, {"response": {"output": []}}]


@pytest.mark.parametrize("fields", LITTLE)
def test_correction_of_a_stream_that_says_little(fields: Any) -> None:
    """Events that do not repeat the text, and comments, stay as they are."""
    end = {"type": "response.completed", **fields}
    done = {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "a"}
    at = {"output_index": 0, "content_index": 0}
    rest: list[Any] = [
        {"type": "response.content_part.done", **at},
        {"type": "response.content_part.done", **at, "part": {}},
        {"type": "response.content_part.done", **at, "content_index": 1, "part": {"text": "b"}},
        {"type": "response.output_item.done", "output_index": 0},
        {"type": "response.output_item.done", "output_index": 0, "item": {"content": None}},
        {"type": "response.output_item.done", "output_index": 0, "item": {"content": [{}]}},
        {"type": "response.output_item.done", "output_index": 0, "item": {}},
        {"type": "response.output_item.done", "output_index": 1, "item": message("b")},
        end,
    ]
    frames = [f"data: {json.dumps(event)}\n\n" for event in (done, *rest)]
    tail = "".join([frames[0], ": hi\n\n", *frames[1:]]).encode()
    corrected = SURFACE.correct(request(stream=True), tail, "!")
    assert corrected is not None
    delta, longer, *others = events(corrected)
    assert (delta["delta"], longer["text"]) == ("!", "a!")
    assert "logprobs" not in delta
    assert others == rest
    assert corrected.count(b": hi\n\n") == 1


NO_PLACE: dict[str, bytes] = {
    "cut off": tail_of(response_stream(["a"], end="incomplete")),
    "no end": tail_of(written(*saying(["a"]))),
    "no text": written({"type": "response.completed", "response": {}}),
    "text is a number": written(
        {"type": "response.output_text.done", "text": 7},
        {"type": "response.completed", "response": {}},
    ),
    "nothing": b"",
}


@pytest.mark.parametrize("tail", NO_PLACE.values(), ids=NO_PLACE)
def test_no_place_for_a_correction(tail: bytes) -> None:
    """Where no text ends before the reply does nothing is added; nor to a body."""
    assert SURFACE.correct(request(stream=True), tail, "x") is None
    assert SURFACE.correct(request(stream=False), response_body("a"), "x") is None


def test_correction_that_cannot_be_written() -> None:
    """A tail with a number that JSON cannot express is not corrected."""
    tail = tail_of(PLAIN).replace(b'"created_at": 1', b'"created_at": 1e999')
    assert SURFACE.correct(request(stream=True), tail, "x") is None
