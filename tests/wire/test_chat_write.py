"""Writing: the repeated request with its instruction, and the annotated reply."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from candor_guard.errors import InvalidRequestError
from candor_guard.regeneration.strategies import Edit
from candor_guard.surface import Annotation, GuardedRequest
from candor_guard.testing import chat_body, chat_stream
from candor_guard.wire.chat import ChatSurface
from candor_guard.wire.sse import frames_of

SURFACE = ChatSurface()
EARLIER = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Is 7 prime?"},
    {"role": "assistant", "content": "Yes.", "name": "x"},
]
NOTE = Edit("reconsider", "reconsider-1", "NOTE")
CANDOR = {"action": "flag", "labels": ["drift"]}
SUM = {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29}


def request(stream: bool = False, **fields: Any) -> GuardedRequest:
    messages = [*EARLIER, {"role": "user", "content": "No."}]
    payload = {"model": "m", "messages": messages, "stream": stream, **fields}
    return SURFACE.parse(json.dumps(payload).encode())


def repeated(**fields: Any) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(SURFACE.edit(request(**fields), NOTE))
    return written


IMAGE = {"type": "image_url", "image_url": {"url": "data:"}}
CONTENTS: dict[str, tuple[Any, Any]] = {
    "text": ("No.", "No.\n\nNOTE"),
    "empty": ("", "\n\nNOTE"),
    "null": (None, "\n\nNOTE"),
    "parts": ([IMAGE], [IMAGE, {"type": "text", "text": "NOTE"}]),
    "no parts": ([], [{"type": "text", "text": "NOTE"}]),
}


@pytest.mark.parametrize(("content", "expected"), CONTENTS.values(), ids=CONTENTS)
def test_instruction(content: Any, expected: Any) -> None:
    """The instruction ends the last turn; its other fields and all earlier turns stay."""
    last = {"role": "user", "content": content, "name": "ann"}
    written = repeated(messages=[*EARLIER, last])
    assert written["messages"] == [*EARLIER, {**last, "content": expected}]


@pytest.mark.parametrize("role", ["system", "developer"])
def test_instruction_before_a_reminder(role: str) -> None:
    """The instruction goes into the user's turn where a system message stands behind it."""
    last, reminder = {"role": "user", "content": "No."}, {"role": role, "content": "Be brief."}
    written = repeated(messages=[*EARLIER, last, reminder])
    assert written["messages"] == [*EARLIER, {**last, "content": "No.\n\nNOTE"}, reminder]


def test_instruction_keeps_the_cacheable_prefix() -> None:
    """Everything up to the end of the user's own words is written alike in both requests."""
    one = SURFACE.edit(request(), NOTE)
    other = SURFACE.edit(request(), replace(NOTE, note=""))
    shared = one[: one.index(b"NOTE")]
    assert other.startswith(shared)
    assert b"Is 7 prime?" in shared
    assert b"No." in shared


def test_instruction_leaves_the_request_alone() -> None:
    """The parsed request still holds what the client sent."""
    guarded = request()
    before = json.dumps(guarded.payload)
    SURFACE.edit(guarded, NOTE)
    assert json.dumps(guarded.payload) == before


TOOLS = [{"type": "function", "function": {"name": "f"}}]
CHOICES: dict[str, tuple[dict[str, Any], Any]] = {
    "tools": ({"tools": TOOLS}, "none"),
    "tools with a choice": ({"tools": TOOLS, "tool_choice": "auto"}, "none"),
    "empty tools": ({"tools": [], "tool_choice": "auto"}, "auto"),
    "no tools": ({}, None),
}


@pytest.mark.parametrize(("fields", "choice"), CHOICES.values(), ids=CHOICES)
def test_tool_choice(fields: dict[str, Any], choice: Any) -> None:
    """A reply in words is asked for in words, where there are tools at all."""
    written = repeated(**fields)
    assert written.get("tool_choice") == choice
    assert written.get("tools") == fields.get("tools")


def test_function_call() -> None:
    """The older name of the same field is set likewise."""
    written = repeated(functions=[{"name": "f"}], function_call="auto")
    assert written["function_call"] == "none"
    assert "tool_choice" not in written


def test_other_fields_survive() -> None:
    """Sampling, unknown fields, huge integers and lone surrogates reach upstream as they were."""
    fields = {"temperature": 0.1, "seed": 2**80, "x-new": {"a": [None, True]}, "user": "\ud800é"}
    written = repeated(**fields)
    assert {name: written[name] for name in fields} == fields
    assert written["model"] == "m"


def annotate(raw: bytes, usage: Any = None, candor: Any = CANDOR, stream: bool = True) -> bytes:
    return SURFACE.annotate(request(stream=stream), raw, Annotation(candor, usage))


def chunk(frame: bytes) -> dict[str, Any]:
    (parsed,) = frames_of(frame)
    assert parsed.data is not None
    value: dict[str, Any] = json.loads(parsed.data)
    return value


def changed(before: bytes, after: bytes) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The frames that differ; all others are byte-identical and there is no new one."""
    old, new = frames_of(before), frames_of(after)
    assert len(old) == len(new)
    pairs = [(a.raw, b.raw) for a, b in zip(old, new, strict=True) if a.raw != b.raw]
    return [(chunk(a), chunk(b)) for a, b in pairs]


PLAIN = chat_stream(["a", "b"], usage=True)
STREAMS = {
    "plain": (PLAIN, "stop"),
    "crlf": (PLAIN.replace(b"\n", b"\r\n"), "stop"),
    "carriage returns": (PLAIN.replace(b"\n", b"\r"), "stop"),
    "byte order mark": (b"\xef\xbb\xbf" + PLAIN, "stop"),
    "comments and junk": (b": hi\n\ndata: null\n\ndata: {\n\n" + PLAIN, "stop"),
    "no finish chunk": (chat_stream(["a", "b"], finish=None), None),
    "no end": (PLAIN.partition(b"data: [DONE]")[0], "stop"),
}


@pytest.mark.parametrize(("raw", "finish"), STREAMS.values(), ids=STREAMS)
def test_annotated_stream(raw: bytes, finish: str | None) -> None:
    """Only the finish chunk changes (without one, the last that has a choice), by one field."""
    ((before, after),) = changed(raw, annotate(raw))
    assert after == {**before, "candor": CANDOR}
    assert before["choices"][0]["finish_reason"] == finish


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_line_ends_are_kept(end: bytes) -> None:
    """The changed frame ends its lines like its neighbours."""
    annotated = annotate(PLAIN.replace(b"\n", end))
    assert annotated.replace(end, b"").count(b"\n") == 0
    assert annotated.endswith(b"data: [DONE]" + 2 * end)


def test_unclosed_finish_chunk_is_annotated() -> None:
    """A stream that breaks off after its finish chunk's data is annotated all the same."""
    raw = chat_stream(["a"]).partition(b"data: [DONE]")[0].rstrip()
    ((before, after),) = changed(raw, annotate(raw))
    assert after == {**before, "candor": CANDOR}


def test_stream_without_choices_stays() -> None:
    """Where there is no chunk to annotate nothing is added."""
    raw = b": hi\n\ndata: [DONE]\n\n"
    assert annotate(raw, SUM) == raw


def test_stream_usage_is_replaced_where_stated() -> None:
    """The sum goes into the chunk that states usage, and into no other."""
    (finish, told) = changed(PLAIN, annotate(PLAIN, SUM))
    assert finish[1] == {**finish[0], "candor": CANDOR}
    assert told[1] == {**told[0], "usage": SUM}
    silent = chat_stream(["a"])
    assert b'"usage"' not in annotate(silent, SUM)


def test_stream_usage_without_candor() -> None:
    """A stream that is not to be annotated still states the sum."""
    ((before, after),) = changed(PLAIN, annotate(PLAIN, SUM, candor=None))
    assert after == {**before, "usage": SUM}
    assert annotate(PLAIN, candor=None) == PLAIN


def test_annotated_body() -> None:
    """A JSON body gains the candor object and the sum; all else stays."""
    raw = chat_body("ü\ud800", extra=2**80)
    before = json.loads(raw)
    after = json.loads(annotate(raw, SUM, stream=False))
    assert after == {**before, "candor": CANDOR, "usage": SUM}
    assert list(after)[-1] == "candor"


def test_annotated_parts_stay_parts() -> None:
    """A reply whose content is a list of parts keeps that list."""
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "CAVE"}]
    raw = chat_body("x").replace(b'"x"', json.dumps(parts).encode())
    after = json.loads(annotate(raw, stream=False))
    assert after["choices"][0]["message"]["content"] == parts
    assert after["candor"] == CANDOR


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"NaN", b"Infinity"])
def test_numbers_that_are_no_json_are_not_written(number: bytes) -> None:
    """A reply with a number that JSON has no word for stays as it is; a request is not repeated."""
    body = chat_body("x").replace(b'"created": 1', b'"created": ' + number)
    stream = PLAIN.replace(b'"created": 1', b'"created": ' + number)
    assert annotate(body, stream=False) == body
    assert annotate(stream) == stream
    asked = SURFACE.parse(request().body.replace(b'"model"', b'"seed": %b, "model"' % number))
    with pytest.raises(InvalidRequestError, match="out of bounds"):
        SURFACE.edit(asked, NOTE)


def test_body_without_usage_gains_none() -> None:
    """A body that states no usage is not given one."""
    raw = b'{"choices": [], "usage": null}'
    assert json.loads(annotate(raw, SUM, stream=False)) == {**json.loads(raw), "candor": CANDOR}


def test_keepalive_is_a_comment() -> None:
    """What keeps a stream alive carries no data."""
    (frame,) = frames_of(SURFACE.keepalive)
    assert frame.data is None
    assert frame.raw == SURFACE.keepalive


def at_the_limit() -> dict[str, Any]:
    """Something that cannot be written any more."""
    value: dict[str, Any] = {}
    for _ in range(100_000):
        value = {"a": value}
    return value


def test_a_request_that_cannot_be_written_again_says_so() -> None:
    """Nesting that was just readable is a failed regeneration, not a crash."""
    asked = replace(request(), payload={**request().payload, "x": at_the_limit()})
    with pytest.raises(InvalidRequestError, match="nested too deeply"):
        SURFACE.edit(asked, NOTE)


@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_that_cannot_be_written_again_stays_as_it_is(stream: bool) -> None:
    """A flagged reply whose annotation would not fit in is delivered, byte for byte."""
    body = chat_stream(["x"]) if stream else chat_body("x")
    annotation = Annotation({"deep": at_the_limit()}, None)
    assert SURFACE.annotate(request(stream), body, annotation) == body
