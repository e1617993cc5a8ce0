"""Writing Messages: the repeated request, the annotated reply, the correction."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.wire.messages_kit import (
    PING,
    REMINDER,
    STOP,
    THOUGHT,
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

from candor_guard.regeneration.strategies import Edit
from candor_guard.surface import Annotation, GuardedRequest
from candor_guard.wire.messages import MessagesStreamReader, MessagesSurface

SURFACE = MessagesSurface()
EARLIER = [
    {"role": "user", "content": [{**text("Is 7 prime?"), "cache_control": {"type": "ephemeral"}}]},
    {"role": "assistant", "content": [THOUGHT, text("Yes.")]},
]
NOTE = Edit("reconsider", "reconsider-1", "NOTE")
NEW = Edit("reframe", "reframe-1", "NOTE", "NEW")
CANDOR = {"action": "flag", "labels": ["drift"]}
SUM = {**USAGE, "input_tokens": 21, "cache_read_input_tokens": 6, "output_tokens": 9}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "42"}
MARK = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}


def request(stream: bool = False, **fields: Any) -> GuardedRequest:
    messages = [*EARLIER, {"role": "user", "content": "No."}]
    payload = {"model": "m", "max_tokens": 9, "messages": messages, "stream": stream, **fields}
    return SURFACE.parse(json.dumps(payload).encode())


def repeated(edit: Edit = NOTE, **fields: Any) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(SURFACE.edit(request(**fields), edit))
    return written


# -- the repeated request -------------------------------------------------------------------------

CONTENTS: dict[str, tuple[Any, Any, Any]] = {
    "text": ("No.", "No.\n\nNOTE", "NEW\n\nNOTE"),
    "empty": ("", "\n\nNOTE", "NEW\n\nNOTE"),
    "blocks": ([text("No.")], [text("No."), text("NOTE")], [text("NEW"), text("NOTE")]),
    "marked blocks": (
        [{**text("a"), **MARK}, text("b")],
        [{**text("a"), **MARK}, text("b"), text("NOTE")],
        [{**text("NEW"), **MARK}, text("NOTE")],
    ),
    "reminders of the app": (
        [{**REMINDER, **MARK}, text("No."), REMINDER],
        [{**REMINDER, **MARK}, text("No."), REMINDER, text("NOTE")],
        [{**REMINDER, **MARK}, REMINDER, text("NEW"), text("NOTE")],
    ),
    "tool's result": (
        [RESULT, REMINDER, {**text("No."), **MARK}],
        [RESULT, REMINDER, {**text("No."), **MARK}, text("NOTE")],
        [RESULT, REMINDER, {**text("NEW"), **MARK}, text("NOTE")],
    ),
    "marked result": (
        [{**RESULT, **MARK}, text("No.")],
        [{**RESULT, **MARK}, text("No."), text("NOTE")],
        [{**RESULT, **MARK}, text("NEW"), text("NOTE")],
    ),
}


@pytest.mark.parametrize(("content", "noted", "replaced"), CONTENTS.values(), ids=CONTENTS)
def test_last_turn(content: Any, noted: Any, replaced: Any) -> None:
    """The last turn ends with the note, alone or behind other words; cache marks stay."""
    last = {"role": "user", "content": content}
    for edit, expected in ((NOTE, noted), (NEW, replaced)):
        written = repeated(edit, messages=[*EARLIER, last], system=[{**text("Be kind."), **MARK}])
        assert written["messages"] == [*EARLIER, {"role": "user", "content": expected}]
        assert written["system"] == [{**text("Be kind."), **MARK}]


def test_reminder_behind_the_turn() -> None:
    """The note goes into the user's turn where a system message stands behind it."""
    reminder = {"role": "system", "content": "Be brief."}
    written = repeated(messages=[*EARLIER, {"role": "user", "content": "No."}, reminder])
    assert written["messages"][2:] == [{"role": "user", "content": "No.\n\nNOTE"}, reminder]


def test_other_fields_survive() -> None:
    """Whatever else the request says, known or not, is said again."""
    fields: dict[str, Any] = {
        "thinking": {"type": "adaptive"}, "metadata": {"user_id": "u"}, "stop_sequences": ["x"],
        "output_config": {"effort": "low"}, "x_new": [1, None], "cache_control": MARK,
    }  # fmt: skip
    written = repeated(**fields)
    assert {key: written[key] for key in fields} == fields
    assert "tool_choice" not in written


@pytest.mark.parametrize("choice", [{}, {"tool_choice": {"type": "auto"}}])
def test_tool_choice(choice: dict[str, Any]) -> None:
    """A reply in words is asked for in words, where there are tools at all."""
    tools = [{"name": "f", "input_schema": {}}]
    assert repeated(tools=tools, **choice)["tool_choice"] == {"type": "none"}
    assert repeated(tools=tools, **choice)["tools"] == tools


# -- what a regenerated reply must keep -----------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FORMAT = {"type": "json_schema", "schema": SCHEMA}
FORMATS: dict[str, tuple[dict[str, Any], str, bool]] = {
    "no demand": ({}, "Yes.", True),
    "effort alone": ({"output_config": {"effort": "low"}}, "Yes.", True),
    "fits": ({"output_config": {"format": FORMAT}}, '{"a": 1}', True),
    "does not fit": ({"output_config": {"format": FORMAT}}, '{"a": "x"}', False),
    "no JSON": ({"output_config": {"format": FORMAT}}, "Yes.", False),
    "older name": ({"output_format": FORMAT}, '{"a": "x"}', False),
    "unknown format": ({"output_config": {"format": {"type": "xml"}}}, "<a/>", False),
}


@pytest.mark.parametrize(("fields", "words", "fits"), FORMATS.values(), ids=FORMATS)
def test_structured(fields: dict[str, Any], words: str, fits: bool) -> None:
    """A text is accepted when it keeps to the format that the request demands."""
    assert SURFACE.accepts(request(**fields), words) is fits


# -- the annotated reply --------------------------------------------------------------------------


def test_annotated_body() -> None:
    """A JSON body gets the record and the sum of usage on its top level, and nothing else."""
    raw = body(THOUGHT, "Yes.")
    written = json.loads(SURFACE.annotate(request(), raw, Annotation(CANDOR, SUM)))
    assert written == {**json.loads(raw), "candor": CANDOR, "usage": SUM}


def annotated(raw: bytes, annotation: Annotation) -> bytes:
    return SURFACE.annotate(request(stream=True), raw, annotation)


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_annotated_stream(newline: bytes) -> None:
    """The record is on the event that says why the reply stopped; all other bytes stay."""
    raw = frames(opening(), *thought_of(), *block_of(["Yes."], 1), stopped(), STOP)
    raw = raw.replace(b"\n", newline)
    written = annotated(raw, Annotation(CANDOR))
    events = events_of(raw)
    events[-2]["candor"] = CANDOR
    assert events_of(written) == events
    before = raw.index(b"event: message_delta")
    assert written[:before] == raw[:before]
    assert written.endswith(raw[raw.index(b"event: message_stop") :])


def test_sum_of_usage_in_a_stream() -> None:
    """Input counts are summed at the start, output counts at the finish, and input there too."""
    events = events_of(annotated(stream(["Yes."]), Annotation(None, SUM)))
    assert events[0]["message"]["usage"] == {**SUM, "output_tokens": 1}
    inputs = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    told = {key: SUM[key] for key in (*inputs, "output_tokens")}
    assert events[-2]["usage"] == told
    assert all("candor" not in event for event in events)


def test_usage_is_not_invented() -> None:
    """Where the upstream tells no usage, none is told."""
    raw = frames(opening(usage=None), *block_of(["x"]), {**stopped(), "usage": {}}, STOP)
    assert annotated(raw, Annotation(None, SUM)) == raw


TARGETS: dict[str, tuple[list[Any], int | None]] = {
    "finish": ([PING, stopped(), STOP], 1),
    "two of them": ([stopped(None), stopped(), STOP], 1),
    "no reason": ([stopped(None), stopped(None), STOP], 1),
    "none": ([ended(), STOP], None),
}


@pytest.mark.parametrize(("events", "target"), TARGETS.values(), ids=TARGETS)
def test_place_of_the_record(events: list[Any], target: int | None) -> None:
    """One event carries the record: the first with a reason to stop, or the last without."""
    written = events_of(annotated(frames(*events), Annotation(CANDOR)))
    assert [i for i, event in enumerate(written) if "candor" in event] == (
        [] if target is None else [target]
    )


def test_comments_stay() -> None:
    """Frames that hold no object stay as they are."""
    raw = b": hi\n\ndata: {\n\n" + frames(stopped())
    assert annotated(raw, Annotation(CANDOR)).startswith(b": hi\n\ndata: {\n\n")


@pytest.mark.parametrize("stream", [False, True])
def test_reply_that_cannot_be_written(stream: bool) -> None:
    """A reply with a number that JSON cannot express stays as it came."""
    one = json.dumps({**stopped(), "x": "NUMBER"}) if stream else body("x", x="NUMBER").decode()
    raw = one.replace('"NUMBER"', "1e999").encode()
    raw = b"data: " + raw + b"\n\n" if stream else raw
    assert SURFACE.annotate(request(stream), raw, Annotation(CANDOR)) == raw


# -- the correction -------------------------------------------------------------------------------


def tail_of(raw: bytes) -> bytes:
    reader = MessagesStreamReader(10_000)
    reader.feed(raw)
    reader.end()
    return raw[reader.safe :]


WHERE: dict[str, tuple[list[Any], int]] = {
    "one block": (block_of(["x"]), 0),
    "two blocks": ([*block_of(["x"]), *block_of(["y"], 1)], 1),
    "thought first": ([*thought_of(), *block_of(["y"], 1)], 1),
    "thought between": ([*block_of(["x"]), *thought_of(1), *block_of(["y"], 2)], 2),
    "ping behind": ([*block_of(["x"]), PING], 0),
}


@pytest.mark.parametrize("whole", [False, True], ids=["tail", "whole"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize(("blocks", "place"), WHERE.values(), ids=WHERE)
def test_correction(blocks: list[Any], place: int, newline: bytes, whole: bool) -> None:
    """The correction is one more delta of the last block of text, before that block ends."""
    raw = frames(opening(), *blocks, stopped(), STOP).replace(b"\n", newline)
    tail = raw if whole else tail_of(raw)
    written = SURFACE.correct(request(stream=True), tail, " No: content_block_stop")
    assert written is not None
    new = said(" No: content_block_stop", place)
    before = events_of(tail)
    at = before.index(ended(place))
    assert events_of(written) == [*before[:at], new, *before[at:]]
    assert written.count(newline + newline) == tail.count(newline + newline) + 1
    names = [line[7:] for line in written.decode().splitlines() if line.startswith("event: ")]
    assert names == [event["type"] for event in events_of(written)]


NOWHERE: dict[str, list[Any]] = {
    "no finish": [ended(), STOP],
    "no block": [stopped(), STOP],
    "block never ended": [begun(text("x")), stopped(), STOP],
    "thought alone": [*thought_of(), stopped(), STOP],
}


@pytest.mark.parametrize("events", NOWHERE.values(), ids=NOWHERE)
def test_no_place_for_a_correction(events: list[Any]) -> None:
    """Without a block of text that ends before a finish there is no correction."""
    assert SURFACE.correct(request(stream=True), frames(*events), "x") is None
    assert SURFACE.correct(request(), body("x"), "x") is None


def test_no_correction_behind_a_thought() -> None:
    """A block of text that has left before a thought is not changed any more, nor is the thought."""
    raw = frames(opening(), *block_of(["x"]), *thought_of(1), stopped(), STOP)
    assert SURFACE.correct(request(stream=True), tail_of(raw), "x") is None


def test_correction_that_cannot_be_written() -> None:
    """A block whose number JSON cannot express gets no correction."""
    raw = frames(ended(), stopped()).replace(b'"index": 0', b'"index": 1e999')
    assert SURFACE.correct(request(stream=True), raw, "x") is None
