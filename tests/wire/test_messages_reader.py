"""Reading Messages replies: text, usage and reasons to skip, whatever the pieces."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from tests.wire.messages_kit import (
    CITED,
    HIDDEN,
    PING,
    STOP,
    THOUGHT,
    TOOL,
    USAGE,
    begun,
    block_of,
    body,
    ended,
    frame,
    frames,
    opening,
    said,
    stopped,
    stream,
    text,
    thought_of,
)

from candor_guard.surface import ReplyReader
from candor_guard.wire.messages import (
    MessagesBodyReader,
    MessagesStreamReader,
    MessagesSurface,
)

PLENTY = 10_000
SEARCH = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}


def fed(reader: ReplyReader, pieces: Iterable[bytes]) -> ReplyReader:
    for piece in pieces:
        reader.feed(piece)
    reader.end()
    return reader


def ways(raw: bytes) -> list[list[bytes]]:
    return [[raw], [raw[i : i + 1] for i in range(len(raw))]]


BODIES: dict[str, tuple[bytes, str, str | None]] = {
    "text": (body("Yes."), "Yes.", None),
    "stop sequence": (body("Yes.", stop="stop_sequence"), "Yes.", None),
    "unknown stop": (body("Yes.", stop="new_reason"), "Yes.", None),
    "no stop": (body("Yes.", stop=None), "Yes.", None),
    "several blocks": (body("It is.", "", THOUGHT, "Yes."), "It is.\n\nYes.", None),
    "thoughts": (body(THOUGHT, HIDDEN, "Yes."), "Yes.", None),
    "thoughts alone": (body(THOUGHT), "", "no_text"),
    "tool use": (body("Hm.", TOOL, stop="tool_use"), "Hm.", "tool_calls"),
    "tool stop alone": (body("Hm.", stop="tool_use"), "Hm.", "tool_calls"),
    "server tool": (body(SEARCH, FOUND, "Yes."), "Yes.", "tool_calls"),
    "MCP tool": (body({"type": "mcp_tool_use"}, "Yes."), "Yes.", "tool_calls"),
    "citations": (body("So.", CITED), "So.\n\nYes.", "citations"),
    "no citations": (body({**CITED, "citations": []}), "Yes.", None),
    "upload": (body("x", {"type": "container_upload"}), "x", "media"),
    "length": (body("Ye", stop="max_tokens"), "Ye", "length"),
    "context": (body("Ye", stop="model_context_window_exceeded"), "Ye", "length"),
    "refusal": (body("Ye", stop="refusal"), "Ye", "refusal"),
    "pause": (body("Ye", stop="pause_turn"), "Ye", "pause_turn"),
    "stop is a list": (body("Yes.", stop_reason=[]), "Yes.", None),
    "no blocks": (body(), "", "no_text"),
    "blank text": (body(" \n"), " \n", "no_text"),
    "text null": (body({"type": "text", "text": None}), "", "no_text"),
    "bare content": (body(content="Yes."), "Yes.", None),
    "content null": (body(content=None), "", "no_text"),
    "content is an object": (body(content={"text": "x"}), "", "unreadable"),
    "block is a number": (body(7), "", "unreadable"),
    "block without type": (body({"text": "x"}), "", "unreadable"),
    "text is a number": (body({"type": "text", "text": 7}), "", "unreadable"),
    "error object": (b'{"type": "error", "error": {"message": "no"}}', "", "no_text"),
    "html": (b"<html>", "", "unreadable"),
    "cut off": (body("Yes.")[:-9], "", "unreadable"),
    "empty": (b"", "", "unreadable"),
    "lone surrogate": (body("\ud83d!"), "\ud83d!", None),
}


@pytest.mark.parametrize(("raw", "words", "skip"), BODIES.values(), ids=BODIES)
def test_body(raw: bytes, words: str, skip: str | None) -> None:
    """A JSON body gives its text, or why it cannot be judged; byte by byte too."""
    for pieces in ways(raw):
        reader = fed(MessagesBodyReader(PLENTY), pieces)
        assert (reader.text, reader.skip, reader.over) == (words, skip, False)
        assert reader.safe == 0


def deltas(*pieces: Any) -> bytes:
    return frames(opening(), begun(text("")), *pieces, ended(), stopped(), STOP)


def calls(block: Any) -> bytes:
    more = said("{}", 1, "input_json_delta", "partial_json")
    last = [more, ended(1), stopped("tool_use"), STOP]
    return frames(opening(), *block_of(["Hm."]), begun(block, 1), *last)


ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "no"}}
STREAMS: dict[str, tuple[bytes, str, str | None]] = {
    "text": (stream(["Y", "es", "."]), "Yes.", None),
    "stop sequence": (stream(["Yes."], "stop_sequence"), "Yes.", None),
    "no reason": (stream(["Yes."], None), "Yes.", None),
    "text at once": (
        frames(opening(), begun(text("Yes.")), ended(), stopped(), STOP), "Yes.", None,
    ),
    "several blocks": (
        frames(opening(), *block_of(["It", " is."]), *block_of([""], 1), *thought_of(2),
               *block_of(["", "Yes", "."], 3), stopped(), STOP),
        "It is.\n\nYes.", None,
    ),
    "thoughts": (
        frames(opening(), *thought_of(), begun(HIDDEN, 1), ended(1), *block_of(["Yes."], 2),
               stopped(), STOP),
        "Yes.", None,
    ),
    "thoughts alone": (frames(opening(), *thought_of(), stopped(), STOP), "", "no_text"),
    "tool use": (calls(TOOL), "Hm.", "tool_calls"),
    "server tool": (calls(SEARCH), "Hm.", "tool_calls"),
    "arguments alone": (deltas(said("{", 0, "input_json_delta", "partial_json")), "", "tool_calls"),
    "tool stop alone": (stream(["Hm."], "tool_use"), "Hm.", "tool_calls"),
    "citations": (
        deltas(said("Yes."), said({}, 0, "citations_delta", "citation"), said("No.")),
        "Yes.", "citations",
    ),
    "new delta": (deltas(said("Yes."), said("x", 0, "new_delta")), "Yes.", None),
    "length": (stream(["Ye"], "max_tokens"), "Ye", "length"),
    "context": (stream(["Ye"], "model_context_window_exceeded"), "Ye", "length"),
    "refusal": (stream(["Ye"], "refusal"), "Ye", "refusal"),
    "pause": (stream(["Ye"], "pause_turn"), "Ye", "pause_turn"),
    "compaction": (stream(["Ye"], "compaction"), "Ye", "pause_turn"),
    "error": (frames(opening(), begun(text("a")), ERROR), "a", "error_frame"),
    "foreign error": (frames(opening(), begun(text("a"))) + b'data: {"error": {}}\n\n', "a",
                      "error_frame"),
    "delta is text": (deltas({**said("x"), "delta": "x"}), "", "unreadable"),
    "text is a number": (deltas(said(7)), "", "unreadable"),
    "block without type": (deltas(begun({"text": "x"}, 1)), "", "unreadable"),
    "comments and unknown events": (
        b": hi\n\n" + frame(PING) + stream(["Yes."])[:-60] + frames({"type": "new"}, stopped()),
        "Yes.", None,
    ),
    "broken frames": (b"data: {\n\ndata: 7\n\n" + stream(["Yes."]), "Yes.", None),
    "nothing": (b"", "", "no_text"),
    "after the end": (stream(["Yes."]) + frames(*block_of(["No."])), "Yes.", None),
}  # fmt: skip


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize(("raw", "words", "skip"), STREAMS.values(), ids=STREAMS)
def test_stream(raw: bytes, words: str, skip: str | None, newline: bytes) -> None:
    """A stream gives its blocks' text, or why it cannot be judged; byte by byte too."""
    results = []
    for pieces in ways(raw.replace(b"\n", newline)):
        reader = fed(MessagesStreamReader(PLENTY), pieces)
        results.append((reader.text, reader.skip, reader.safe, reader.done, reader.finished))
    assert results[0] == results[1]
    assert results[0][:2] == (words, skip)


def test_last_frame_needs_no_blank_line() -> None:
    """A stream whose last blank line never came is read to its end."""
    reader = fed(MessagesStreamReader(PLENTY), [stream(["Yes."]).rstrip()])
    assert (reader.text, reader.done, reader.finished) == ("Yes.", True, True)


@pytest.mark.parametrize("limit", [3, 4, 5])
def test_limit(limit: int) -> None:
    """Text ends exactly at the limit, and what comes after it has no say, however it is cut."""
    raw = stream(["ab", "cdef"], "max_tokens")
    readers: list[ReplyReader] = [fed(MessagesStreamReader(limit), pieces) for pieces in ways(raw)]
    readers.append(fed(MessagesBodyReader(limit), [body("abcdef", stop="max_tokens")]))
    for reader in readers:
        assert (reader.text, reader.over, reader.skip) == ("abcdef"[:limit], True, None)


def test_usage_of_a_stream() -> None:
    """Input is told at the start and output at the end, where totals replace what was known."""
    last = stopped("end_turn", cache_read_input_tokens=7, server_tool_use=None)
    raw = frames(opening(), *block_of(["Yes."]), last, STOP)
    for pieces in ways(raw):
        reader = fed(MessagesStreamReader(PLENTY), pieces)
        assert reader.usage == {**USAGE, "cache_read_input_tokens": 7}


@pytest.mark.parametrize("usage", [None, {}, 7, {"input_tokens": 1e300}])
def test_usage_that_is_none(usage: Any) -> None:
    """Usage that holds no counts counts as not told."""
    assert fed(MessagesBodyReader(PLENTY), [body("x", usage=usage)]).usage is None
    raw = frames(opening(usage=usage), *block_of(["x"]), {**stopped(), "usage": usage}, STOP)
    assert fed(MessagesStreamReader(PLENTY), [raw]).usage is None


def test_usage_of_a_body() -> None:
    """A JSON body tells its usage as it is."""
    assert fed(MessagesBodyReader(PLENTY), [body("x")]).usage == USAGE


SAFE: dict[str, tuple[list[Any], list[Any]]] = {
    "one block": ([opening(), *block_of(["Yes."])[:-1]], [ended(), stopped(), STOP]),
    "ping at the end": ([opening(), *block_of(["x"])[:-1]], [ended(), PING, stopped(), STOP]),
    "two blocks": (
        [opening(), *block_of(["x"]), *block_of(["y"], 1)[:-1]],
        [ended(1), stopped(), STOP],
    ),
    "thought first": (
        [opening(), *thought_of(), *block_of(["x"], 1)[:-1]],
        [ended(1), stopped(), STOP],
    ),
    "thought last": ([opening(), *block_of(["x"]), *thought_of(1)], [stopped(), STOP]),
    "thought begun": ([opening(), *block_of(["x"]), *thought_of(1)[:-1]], []),
    "thought between": (
        [opening(), *block_of(["x"]), *thought_of(1), *block_of(["y"], 2)[:-1]],
        [ended(2), stopped(), STOP],
    ),
    "ping before a thought": ([opening(), *block_of(["x"]), PING, *thought_of(1)], [stopped()]),
    "end of another block": ([opening(), begun(text("x"), 1), ended(0)], [ended(1), stopped()]),
    "end of no block": ([opening(), ended()], [stopped(), STOP]),
    "no index": (
        [opening(), {"type": "content_block_start", "content_block": text("x")}],
        [{"type": "content_block_stop"}, stopped(), STOP],
    ),
    "no finish": ([opening(), *block_of(["x"])[:-1]], [ended()]),
    "block never ended": ([opening(), begun(text("x"))], [stopped(), STOP]),
}


@pytest.mark.parametrize(("free", "kept"), SAFE.values(), ids=SAFE)
def test_safe(free: list[Any], kept: list[Any]) -> None:
    """All may leave but the end of a block of text that nothing has begun after, and the finish."""
    raw = frames(*free, *kept)
    for pieces in ways(raw):
        assert fed(MessagesStreamReader(PLENTY), pieces).safe == len(frames(*free))


def test_reader_of_a_request() -> None:
    """A request for a stream gets a reader of streams."""
    surface = MessagesSurface()
    for wish, kind in ((True, MessagesStreamReader), (False, MessagesBodyReader)):
        turns = [{"role": "user", "content": "?"}]
        request = surface.parse(json.dumps({"messages": turns, "stream": wish}).encode())
        assert isinstance(surface.reader(request, 9), kind)
