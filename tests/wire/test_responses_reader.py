"""Reading responses: text, usage, ids and reasons to skip, whatever the pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.wire.responses_kit import (
    BESIDE,
    CALL,
    CITED,
    REASONING,
    USAGE,
    done_by_the_provider,
    message,
    part,
    response,
    response_body,
    response_stream,
    saying,
    thinking,
    written,
)
from tests.wire.test_chat_reader import fed

from candor_guard.surface import ReplyReader
from candor_guard.wire.responses import ResponsesSurface
from candor_guard.wire.responses.read import ResponsesBodyReader, ResponsesStreamReader

PLENTY = 10_000
REFUSAL = {"type": "refusal", "refusal": "I can't."}
LENGTH = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
FILTER = {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
BROKEN = {"status": "failed", "error": {"code": "server_error", "message": "no"}}

BODIES: dict[str, tuple[bytes, str, str | None]] = {
    "text": (response_body("Yes."), "Yes.", None),
    "thoughts first": (response_body(REASONING, "Yes."), "Yes.", None),
    "thoughts alone": (response_body(REASONING), "", "no_text"),
    "compaction": (response_body("Yes.", {"type": "compaction"}), "Yes.", None),
    "text in parts": (response_body(message("It is.", " Yes.")), "It is. Yes.", None),
    "content is text": (response_body({"type": "message", "content": "Yes."}), "Yes.", None),
    "two messages": (response_body("Look.", message("Yes.", name="msg_2")), "Look.\n\nYes.", None),
    "an empty message": (response_body(message(), "Yes."), "Yes.", None),
    "function call": (response_body("Hm.", CALL), "Hm.", "tool_calls"),
    "search": (response_body({"type": "web_search_call"}, "Yes."), "Yes.", None),
    "everything that the provider does": (response_body(*BESIDE.values(), "Yes."), "Yes.", None),
    "search between": (
        response_body("Look.", BESIDE["web_search"], message("Yes.", name="msg_2")),
        "Look.\n\nYes.", None,
    ),
    "search alone": (response_body(BESIDE["web_search"]), "", "no_text"),
    "search and a call": (response_body(BESIDE["web_search"], "Hm.", CALL), "Hm.", "tool_calls"),
    "MCP's call": (response_body({"type": "mcp_call"}, "Yes."), "", "tool_calls"),
    "approval asked": (response_body("Hm.", {"type": "mcp_approval_request"}), "Hm.", "tool_calls"),
    "shell": (response_body({"type": "shell_call"}, "Yes."), "", "tool_calls"),
    "a picture made": (response_body({"type": "image_generation_call"}, "Yes."), "", "tool_calls"),
    "citations": (response_body(message({**part("Yes."), "annotations": [CITED]})), "Yes.", None),
    "refusal": (response_body(message(REFUSAL)), "", "refusal"),
    "no refusal": (response_body(message({"type": "refusal", "refusal": ""}, "Yes.")), "Yes.", None),
    "picture": (response_body(message({"type": "output_image"})), "", "media"),
    "length": (response_body("Ye", **LENGTH), "Ye", "length"),
    "content filter": (response_body("Ye", **FILTER), "Ye", "content_filter"),
    "incomplete": (response_body("Ye", status="incomplete"), "Ye", "incomplete"),
    "other incomplete": (
        response_body("Ye", status="incomplete", incomplete_details={"reason": "steered"}),
        "Ye", "incomplete",
    ),
    "failed": (response_body(**BROKEN), "", "failed"),
    "error alone": (b'{"error": {"message": "no"}}', "", "failed"),
    "queued": (response_body(status="queued"), "", "unfinished"),
    "no status": (response_body("Yes.", status=None), "Yes.", None),
    "no text": (response_body(), "", "no_text"),
    "blank text": (response_body(" \n"), " \n", "no_text"),
    "unknown item": (response_body("Yes.", {"type": "hologram"}), "Yes.", "unreadable"),
    "item is text": (b'{"output": ["Yes."]}', "", "unreadable"),
    "item of no type": (b'{"output": [{"content": "x"}]}', "", "unreadable"),
    "text is a number": (response_body(message({"type": "output_text", "text": 7})), "", "unreadable"),
    "no output": (b'{"status": "completed"}', "", "no_text"),
    "output is text": (b'{"output": "Yes."}', "", "no_text"),
    "html": (b"<html>", "", "unreadable"),
    "cut off": (response_body("Yes.")[:-9], "", "unreadable"),
    "empty": (b"", "", "unreadable"),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "text", "skip"), BODIES.values(), ids=BODIES)
def test_body(raw: bytes, text: str, skip: str | None) -> None:
    """A JSON body gives its messages' text, or why it cannot be judged; byte by byte too."""
    for pieces in ([raw], [raw[i : i + 1] for i in range(len(raw))]):
        reader = fed(ResponsesBodyReader(PLENTY), pieces)
        assert (reader.text, reader.skip, reader.over) == (text, skip, False)


def ended(kind: str = "completed", *output: Any, **fields: Any) -> dict[str, Any]:
    whole = response(*output, **{"status": kind, **fields})
    return {"type": f"response.{kind}", "response": whole}


def named(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", **fields}


SAID = saying(["Ye", "s."])
ADDED = "output_item.added"
STREAMS: dict[str, tuple[bytes, str, str | None]] = {
    "text": (response_stream(["Ye", "s."]), "Yes.", None),
    "crlf": (response_stream(["a", "b"]).replace(b"\n", b"\r\n"), "ab", None),
    "emoji": (response_stream(["ü", "😀"]), "ü😀", None),
    "done marker": (response_stream(["a"]) + b"data: [DONE]\n\n", "a", None),
    "done marker alone": (written(*SAID) + b"data: [DONE]\n\n", "Yes.", None),
    "unclosed last frame": (response_stream(["a"]).rstrip(), "a", None),
    "comments and junk": (b": hi\n\ndata: null\n\ndata: {\n\n" + response_stream(["a"]), "a", None),
    "no end": (written(*SAID), "Yes.", None),
    "two messages": (
        written(*saying(["Look."]), *saying(["Yes."], place=1, name="msg_2"), ended()),
        "Look.\n\nYes.", None,
    ),
    "no deltas": (written(named("created", response=response()), ended("completed", "Yes.")), "Yes.", None),
    "nothing but the end": (written(ended("completed", REASONING)), "", "no_text"),
    "nothing": (b"", "", "no_text"),
    "places that are null": (
        written(*[{**event, "output_index": None} for event in SAID], ended("completed", "Yes.")),
        "Yes.", None,
    ),
    "empty output at the end": (written(*SAID, ended()), "Yes.", None),
    "call at the end only": (written(*SAID, ended("completed", "Yes.", CALL)), "Yes.", "tool_calls"),
    "function call": (
        written(*SAID, named(ADDED, output_index=1, item={**CALL, "status": "in_progress"}), ended()),
        "Yes.", "tool_calls",
    ),
    "call without an item": (written(named("function_call_arguments.delta"), *SAID), "", "tool_calls"),
    "everything that the provider does": (
        written(*done_by_the_provider(), *saying(["Ye", "s."], place=5), ended("completed", "Yes.")),
        "Yes.", None,
    ),
    "search between": (
        written(*saying(["Look."]), *done_by_the_provider(1),
                *saying(["Yes."], place=6, name="msg_2"), ended()),
        "Look.\n\nYes.", None,
    ),
    "search and a call": (
        written(*done_by_the_provider(), *saying(["Hm."], place=5),
                named(ADDED, output_index=6, item=CALL), ended()),
        "Hm.", "tool_calls",
    ),
    "MCP's call": (written(named("mcp_call.in_progress"), *SAID), "", "tool_calls"),
    "MCP's arguments": (written(named("mcp_call_arguments.delta"), *SAID), "", "tool_calls"),
    "the client's own tool": (
        written(named("custom_tool_call_input.delta"), *SAID), "", "tool_calls",
    ),
    "shell": (written(named("shell_call_command.delta"), *SAID), "", "tool_calls"),
    "refusal": (written(named("refusal.delta", delta="I"), *SAID), "", "refusal"),
    "audio": (written(named("audio.delta", delta="AAAA"), *SAID), "", "audio"),
    "length": (written(*SAID, ended("incomplete", **LENGTH)), "Yes.", "length"),
    "content filter": (written(*SAID, ended("incomplete", **FILTER)), "Yes.", "content_filter"),
    "incomplete, no details": (written(*SAID, named("incomplete")), "Yes.", "incomplete"),
    "failed": (written(*SAID, ended("failed", **BROKEN)), "Yes.", "failed"),
    "completed, but incomplete": (
        written(*SAID, {**ended("incomplete", **LENGTH), "type": "response.completed"}),
        "Yes.", "length",
    ),
    "error": (written({"type": "error", "code": "x", "message": "no"}, *SAID), "", "error_frame"),
    "bare error": (b'data: {"error": {"message": "no"}}\n\n', "", "error_frame"),
    "error null": (written(*[{**event, "error": None} for event in SAID], ended()), "Yes.", None),
    "unknown event": (written(named("aura.delta", delta="?"), *SAID, ended()), "Yes.", None),
    "unknown item": (written(named(ADDED, item={"type": "hologram"}), *SAID), "", "unreadable"),
    "delta is a number": (written({**SAID[2], "delta": 7}), "", "unreadable"),
    "type is a number": (b'data: {"type": 7}\n\n' + response_stream(["a"]), "a", None),
    "response is text": (written(*SAID, named("completed", response="x")), "Yes.", None),
    "thoughts aloud": (
        written(*thinking(), named("reasoning_text.delta", delta="CAVE?"), *SAID, ended()),
        "Yes.", None,
    ),
    "after the end": (response_stream(["a"]) + response_stream(["b"]), "a", None),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "text", "skip"), STREAMS.values(), ids=STREAMS)
def test_stream(raw: bytes, text: str, skip: str | None) -> None:
    """A stream gives the folded text, or why it cannot be judged; byte by byte too."""
    for pieces in ([raw], [raw[i : i + 1] for i in range(len(raw))]):
        reader = fed(ResponsesStreamReader(PLENTY), pieces)
        assert (reader.text, reader.skip, reader.over) == (text, skip, False)


ENDINGS: dict[str, tuple[bytes, bool, bool]] = {
    "completed": (response_stream(["a"]), True, True),
    "incomplete": (response_stream(["a"], end="incomplete"), True, True),
    "done marker alone": (written(*SAID) + b"data: [DONE]\n\n", True, False),
    "broken off": (written(*SAID), False, False),
}


@pytest.mark.parametrize(("raw", "done", "finished"), ENDINGS.values(), ids=ENDINGS)
def test_end(raw: bytes, done: bool, finished: bool) -> None:
    """A stream is over with its last event; only that says that the reply is finished."""
    reader = fed(ResponsesStreamReader(PLENTY), [raw])
    assert (reader.done, reader.finished) == (done, finished)


USAGES: dict[str, tuple[ReplyReader, bytes, Any]] = {
    "body": (ResponsesBodyReader(PLENTY), response_body("a"), USAGE),
    "body without": (ResponsesBodyReader(PLENTY), response_body("a", usage=None), None),
    "stream": (ResponsesStreamReader(PLENTY), response_stream(["a"]), USAGE),
    "stream without": (ResponsesStreamReader(PLENTY), response_stream(["a"], usage=None), None),
    "no counts": (ResponsesBodyReader(PLENTY), response_body("a", usage={"a": 10**400}), None),
}


@pytest.mark.parametrize(("reader", "raw", "usage"), USAGES.values(), ids=USAGES)
def test_usage(reader: ReplyReader, raw: bytes, usage: Any) -> None:
    """Usage is what the last response states, or None."""
    assert fed(reader, [raw]).usage == usage


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("fields", "expected"), [({}, "resp_9"), ({"store": True}, "resp_9"), ({"store": False}, None)]
)
def test_id(fields: dict[str, Any], expected: str | None, stream: bool) -> None:
    """A reply's id is told where the upstream may store it, which it does unless told not to."""
    surface = ResponsesSurface()
    request = surface.parse(json.dumps({"input": "x", "stream": stream, **fields}).encode())
    raw = response_stream(["a"], name="resp_9") if stream else response_body("a", name="resp_9")
    assert fed(surface.reader(request, PLENTY), [raw]).response_id == expected


def test_id_is_known_from_the_beginning() -> None:
    """A stream that is broken off was stored under an id all the same."""
    reader = ResponsesStreamReader(PLENTY, stored=True)
    reader.feed(response_stream(["a"]).partition(b"\n\n")[0] + b"\n\n")
    assert reader.response_id == "resp_1"


@pytest.mark.parametrize("raw", [b"{}", b'{"id": 7, "output": []}'])
def test_no_id(raw: bytes) -> None:
    """A reply without an id has none."""
    assert fed(ResponsesBodyReader(PLENTY, stored=True), [raw]).response_id is None


TEXT = "aü€😀z"  # 1 + 2 + 3 + 4 + 1 bytes


@pytest.mark.parametrize("limit", range(1, 13))
def test_limit(limit: int) -> None:
    """The limit is a byte position of the text, however it is cut; no character is cut in two."""
    expected = TEXT.encode()[:limit].decode("utf-8", "ignore")
    readers = [fed(ResponsesBodyReader(limit), [response_body(TEXT)])]
    for cut in range(len(TEXT) + 1):
        stream = response_stream([TEXT[:cut], TEXT[cut:]])
        readers.append(fed(ResponsesStreamReader(limit), [stream]))
    assert {(r.text, r.over) for r in readers} == {(expected, limit < len(TEXT.encode()))}


def test_nothing_counts_after_the_limit() -> None:
    """Whatever ends a reply after the limit is ignored."""
    raws = [
        written(*saying(["abcd"]), ended("incomplete", **LENGTH)),
        written(*saying(["abcd"]), named(ADDED, item=CALL), ended()),
        written(ended("incomplete", "abcd", **LENGTH)),
    ]
    readers: list[ReplyReader] = [fed(ResponsesStreamReader(3), [raw]) for raw in raws]
    bodies = (response_body("abcd", **LENGTH), response_body("abcd", CALL))
    readers += [fed(ResponsesBodyReader(3), [raw]) for raw in bodies]
    assert {(r.text, r.over, r.skip) for r in readers} == {("abc", True, None)}
    assert all(reader.done for reader in readers[:3])


@pytest.mark.parametrize("text", [" " * 8, "  😀xx"])
def test_blank_up_to_the_limit(text: str) -> None:
    """A text that is blank only as far as it was read is no reply without text."""
    readers = [
        fed(ResponsesStreamReader(5), [response_stream([text])]),
        fed(ResponsesBodyReader(5), [response_body(text)]),
    ]
    assert [(r.text.strip(), r.over, r.skip) for r in readers] == [("", True, None)] * 2


NOISY = response_stream(["a", "b"]).replace(
    b"event: response.content_part.done", b": hi\n\nevent: response.content_part.done"
)
TWICE = [*saying(["a"]), *saying(["b"], place=1, name="msg_2"), ended()]
SAFE = {
    "up to the text's end": (response_stream(["a", "b"]), b"event: response.output_text.done"),
    "comments at the end": (NOISY, b"event: response.output_text.done"),
    "comments before": (
        b": hi\n\n" + response_stream(["a"]),
        b"event: response.output_text.done",
    ),
    "no text": (
        written(*thinking(), ended("completed", REASONING)),
        b"event: response.output_item.done",
    ),
    "two messages": (
        written(*TWICE),
        written(*TWICE)[written(*TWICE).rindex(b"event: response.output_text.done") :],
    ),
    "search behind": (
        written(*SAID, *done_by_the_provider(1)[:-1], ended()),
        b"event: response.completed",
    ),
    "done marker": (written(*SAID[:3]) + b"data: [DONE]\n\n", b"data: [DONE]"),
}


@pytest.mark.parametrize(("raw", "marker"), SAFE.values(), ids=SAFE)
def test_safe(raw: bytes, marker: bytes) -> None:
    """What may leave early ends before the events that a correction and the record go into."""
    for pieces in ([raw], [raw[i : i + 1] for i in range(len(raw))]):
        assert fed(ResponsesStreamReader(PLENTY), pieces).safe == raw.index(marker)


def test_safe_counts_complete_frames_only() -> None:
    """Half a frame may not leave."""
    raw = response_stream(["a", "b"])
    first = raw.index(b"\n\n") + 2
    reader = ResponsesStreamReader(PLENTY)
    for end in range(first):
        reader.feed(raw[end : end + 1])
        assert reader.safe == (first if end == first - 1 else 0)
