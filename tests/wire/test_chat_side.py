"""Side calls, a replaced last turn, and a correction at the end of a stream."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from candor_guard.errors import InvalidRequestError
from candor_guard.regeneration.strategies import Edit
from candor_guard.surface import GuardedRequest, SideAnswer
from candor_guard.testing import chat_body, chat_stream
from candor_guard.wire.chat import ChatSurface
from candor_guard.wire.sse import frames_of

SURFACE = ChatSurface()
TURNS = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "I feel low. 7?"}]
ASKED = [{"role": "system", "content": "Check."}, {"role": "user", "content": "Is 7 prime?"}]
SCHEMA = {"type": "object"}


def request(stream: bool = True, **fields: Any) -> GuardedRequest:
    payload = {"model": "m", "messages": TURNS, "stream": stream, **fields}
    return SURFACE.parse(json.dumps(payload).encode())


# -- a replaced turn ------------------------------------------------------------------------------

IMAGE = {"type": "image_url", "image_url": {"url": "data:"}}
NEW, NOTE = {"type": "text", "text": "NEW"}, {"type": "text", "text": "NOTE"}
REPLACED: dict[str, tuple[Any, Any]] = {
    "text": ("old", "NEW\n\nNOTE"),
    "null": (None, "NEW\n\nNOTE"),
    "parts": ([{"type": "text", "text": "old"}, IMAGE, "old"], [IMAGE, NEW, NOTE]),
    "other dialect": ([{"type": "input_text", "text": "old"}], [NEW, NOTE]),
    "no text": ([IMAGE], [IMAGE, NEW, NOTE]),
}


@pytest.mark.parametrize(("content", "expected"), REPLACED.values(), ids=REPLACED)
def test_replacement(content: Any, expected: Any) -> None:
    """A replacement takes the place of the turn's text; whatever is no text stays."""
    last = {"role": "user", "content": content, "name": "ann"}
    edit = Edit("reframe", "reframe-1", "NOTE", "NEW")
    written = json.loads(SURFACE.edit(request(messages=[TURNS[0], last]), edit))
    assert written["messages"] == [TURNS[0], {**last, "content": expected}]
    assert written["model"] == "m"


# -- side calls -----------------------------------------------------------------------------------


def side(*, model: str | None = None, schema: Any = None, bare: bool = False, **fields: Any) -> Any:
    return json.loads(
        SURFACE.side_request(request(**fields), ASKED, model=model, schema=schema, bare=bare)
    )


def test_side_call() -> None:
    """A side call has the request's model and nothing of its conversation, tools or stream."""
    body = side(
        temperature=1.5, tools=[{"type": "function"}], n=3, logprobs=True, seed=1, stop=["x"],
        response_format={"type": "json_object"}, stream_options={"include_usage": True},
    )  # fmt: skip
    assert body == {"model": "m", "messages": ASKED, "temperature": 0, "max_tokens": 4000}


def test_how_to_think_is_kept() -> None:
    """What tells the model to think, or not to, goes along with a side call, the barest included."""
    wishes: dict[str, Any] = {
        "chat_template_kwargs": {"enable_thinking": False}, "thinking": {"type": "disabled"},
        "reasoning": {"enabled": False}, "enable_thinking": False, "think": False,
    }  # fmt: skip
    for bare in (False, True):
        body = side(bare=bare, **wishes)
        assert {key: body[key] for key in wishes} == wishes


def test_side_call_with_a_schema() -> None:
    """The schema is asked for as OpenAI's servers take it."""
    wanted = side(schema=SCHEMA)["response_format"]
    assert wanted["type"] == "json_schema"
    assert wanted["json_schema"]["schema"] == SCHEMA
    assert wanted["json_schema"]["strict"] is True


def test_bare_side_call() -> None:
    """Bare means: nothing that an upstream may refuse."""
    assert side(schema=SCHEMA, bare=True) == {"model": "m", "messages": ASKED}


def test_side_call_of_another_model() -> None:
    """Another model can be asked; a request that names none gets none."""
    assert side(model="small")["model"] == "small"
    silent = SURFACE.parse(json.dumps({"messages": TURNS}).encode())
    assert "model" not in json.loads(SURFACE.side_request(silent, ASKED, model=None, schema=None))


@pytest.mark.parametrize("field", ["max_completion_tokens", "reasoning_effort"])
def test_limit_of_models_that_think(field: str) -> None:
    """Where the client uses the newer limit, so does the side call, with room for thinking."""
    fields: dict[str, Any] = {field: "low" if field == "reasoning_effort" else 100}
    body = side(**fields)
    assert body["max_completion_tokens"] >= 2000
    assert "max_tokens" not in body


def test_temperature_of_models_that_think() -> None:
    """A model that is told how hard to think is given a temperature only where the client gave one."""
    assert "temperature" not in side(reasoning_effort="low")
    assert side(reasoning_effort="none", temperature=0.7)["temperature"] == 0
    assert side(max_completion_tokens=9)["temperature"] == 0


def test_what_concerns_the_account_is_kept() -> None:
    """Whose call it is, and by which route it goes, is the same; a stored trace gets no probes."""
    kept: dict[str, Any] = {
        "user": "u",
        "safety_identifier": "s",
        "service_tier": "flex",
        "provider": {"a": 1},
    }
    body = side(**kept, metadata={"trace": "1"})
    assert {name: body[name] for name in kept} == kept
    assert body["metadata"] == {"trace": "1"}
    assert "metadata" not in side(metadata={"trace": "1"}, store=True)
    assert "store" not in side(store=True)


def test_side_call_that_cannot_be_written() -> None:
    """What is nested too deeply is a failed probe, not a crash."""
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    asked = replace(request(), payload={**request().payload, "provider": deep})
    with pytest.raises(InvalidRequestError, match="nested too deeply"):
        SURFACE.side_request(asked, ASKED, model=None, schema=None)


USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
ANSWERS: dict[str, tuple[bytes, SideAnswer]] = {
    "text": (chat_body("Yes."), SideAnswer("Yes.", USAGE)),
    "no text": (chat_body(None, refusal="No."), SideAnswer("", USAGE)),
    "no parts": (b'{"choices":[{"message":{"content":[]}}]}', SideAnswer("")),
    "parts": (
        b'{"choices":[{"message":{"content":[{"type":"thinking"},{"type":"text","text":"Yes."}]}}]}',
        SideAnswer("Yes."),
    ),
    "no message": (b'{"choices":[{}]}', SideAnswer("")),
    "no choice": (b'{"choices":[]}', SideAnswer("")),
    "two choices": (b'{"choices":[{},{}]}', SideAnswer("")),
    "no object": (b"[]", SideAnswer("")),
    "no JSON": (b"oops", SideAnswer("")),
    "nothing": (b"", SideAnswer("")),
}


@pytest.mark.parametrize(("body", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_side_answer(body: bytes, expected: SideAnswer) -> None:
    """An answer is its text and its usage; whatever has no text is an empty answer."""
    assert SURFACE.side_answer(body) == expected


# -- corrections ----------------------------------------------------------------------------------


def tail_of(raw: bytes, frames: int) -> bytes:
    """The last frames of a stream."""
    return b"".join(frame.raw for frame in frames_of(raw)[-frames:])


def chunks(raw: bytes) -> list[Any]:
    return [json.loads(f.data) for f in frames_of(raw) if f.data not in (None, b"[DONE]")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_correction(end: bytes) -> None:
    """The new chunk is like its neighbours, comes before the finish, and changes nothing else."""
    tail = tail_of(chat_stream(["a", "b"], usage=True).replace(b"\n", end), 3)
    corrected = SURFACE.correct(request(), tail, " Correction: c")
    assert corrected is not None
    assert corrected.endswith(tail)
    (added,) = chunks(corrected.removesuffix(tail))
    finish = chunks(tail)[0]
    assert added["choices"] == [
        {"index": 0, "delta": {"content": " Correction: c"}, "finish_reason": None}
    ]
    assert {**added, "choices": 0} == {**finish, "choices": 0}
    assert corrected.replace(end, b"").count(b"\n") == 0


def test_correction_of_a_finish_with_text() -> None:
    """Text that comes with the finish stays before the correction."""
    choice = {"index": 0, "delta": {"content": "last"}, "finish_reason": "stop"}
    chunk = {"id": "1", "choices": [choice], "usage": USAGE}
    tail = b"data: " + json.dumps(chunk).encode() + b"\n\ndata: [DONE]\n\n"
    corrected = SURFACE.correct(request(), tail, " more")
    assert corrected is not None
    added, finish = chunks(corrected)
    assert added["choices"][0]["delta"] == {"content": "last more"}
    assert "usage" not in added
    assert finish["choices"][0] == {**choice, "delta": {"content": ""}}
    assert finish["usage"] == USAGE


def test_correction_of_a_finish_with_parts() -> None:
    """Where the finish brings a list of parts the correction is one more part of it."""
    part = {"type": "text", "text": "last"}
    choice = {"index": 0, "delta": {"content": [part]}, "finish_reason": "stop"}
    tail = b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"
    corrected = SURFACE.correct(request(), tail, " more")
    assert corrected is not None
    added, finish = (chunk["choices"][0] for chunk in chunks(corrected))
    assert added["delta"] == {"content": [part, {"type": "text", "text": " more"}]}
    assert finish == {**choice, "delta": {"content": []}}


NO_PLACE: dict[str, bytes] = {
    "no finish": tail_of(chat_stream(["a"], finish=None), 2),
    "no chunk": b": hi\n\ndata: [DONE]\n\n",
    "nothing": b"",
}


@pytest.mark.parametrize("tail", NO_PLACE.values(), ids=NO_PLACE)
def test_no_place_for_a_correction(tail: bytes) -> None:
    """Where there is no finish chunk nothing is added; neither is to a body that is no stream."""
    assert SURFACE.correct(request(), tail, "x") is None
    assert SURFACE.correct(request(stream=False), chat_body("a"), "x") is None
