"""Reading replies: text, usage and reasons to skip, whatever the pieces."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from candor_guard.surface import ReplyReader
from candor_guard.testing import chat_body, chat_stream
from candor_guard.wire.chat import ChatBodyReader, ChatStreamReader

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
PLENTY = 10_000


def fed(reader: ReplyReader, pieces: Iterable[bytes]) -> ReplyReader:
    for piece in pieces:
        reader.feed(piece)
    reader.end()
    return reader


def body(*choices: Any, **fields: Any) -> bytes:
    return json.dumps({"choices": list(choices), **fields}).encode()


def frames(*chunks: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)


def said(delta: Any, finish: str | None = None, index: int = 0) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


TOOL = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
NOT_UTF8 = b'{"choices": [{"message": {"content": "\xff"}}]}'
THOUGHT_OUT: list[Any] = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "CAVE?"}]},
    {"type": "text", "text": "It is."},
    {"type": "reference", "reference_ids": [1]},
    {"type": "text", "text": " Yes."},
]
BODIES: dict[str, tuple[bytes, str, str | None]] = {
    "text": (chat_body("Yes."), "Yes.", None),
    "tool calls": (chat_body("Hm.", tool_calls=TOOL, finish="tool_calls"), "Hm.", "tool_calls"),
    "function call": (chat_body(None, function_call={"name": "f"}), "", "tool_calls"),
    "refusal": (chat_body(None, refusal="I can't."), "", "refusal"),
    "audio": (chat_body(None, audio={"id": "a"}), "", "audio"),
    "a picture beside the text": (chat_body("a", images=[{"type": "image_url"}]), "a", "media"),
    "thoughts in the text": (chat_body("<think>b</think>\n\na"), "a", None),
    "nothing but thoughts": (chat_body("<think>b"), "", "no_text"),
    "server's search": (
        chat_body("Yes.", provider_specific_fields={"citations": [], "web_search_results": [{}]}),
        "Yes.", "tool_calls",
    ),
    "citations": (
        chat_body("Yes.", provider_specific_fields={"citations": [[{}]]}), "Yes.", "citations",
    ),
    "thoughts beside": (
        chat_body("Yes.", provider_specific_fields={"citations": None, "thinking_blocks": [{}]}),
        "Yes.", None,
    ),
    "fields are text": (chat_body("Yes.", provider_specific_fields="x"), "Yes.", None),
    "length": (chat_body("Ye", finish="length"), "Ye", "length"),
    "content filter": (chat_body("Ye", finish="content_filter"), "Ye", "content_filter"),
    "error beside the text": (
        body({"message": {"content": "Ye"}}, error={"message": "no"}), "Ye", "failed",
    ),
    "error of the choice": (
        body({"message": {"content": "Ye"}, "error": {"code": 502}}), "Ye", "failed",
    ),
    "error null beside": (body({"message": {"content": "Ye"}, "error": None}, error=None), "Ye", None),
    "error empty beside": (body({"message": {"content": "Ye"}, "error": {}}, error=""), "Ye", None),
    "no text": (chat_body(None), "", "no_text"),
    "blank text": (chat_body(" \n"), " \n", "no_text"),
    "part without text": (body({"message": {"content": [{"type": "text"}]}}), "", "no_text"),
    "text in parts": (body({"message": {"content": THOUGHT_OUT}}), "It is. Yes.", None),
    "bare strings": (body({"message": {"content": ["It is.", " Yes."]}}), "It is. Yes.", None),
    "thoughts alone": (body({"message": {"content": THOUGHT_OUT[:1]}}), "", "no_text"),
    "refusal in parts": (
        body({"message": {"content": [{"type": "refusal", "refusal": "No."}]}}), "", "refusal",
    ),
    "picture in parts": (
        body({"message": {"content": [*THOUGHT_OUT, {"type": "image_url"}]}}),
        "It is. Yes.", "media",
    ),
    "part is a number": (body({"message": {"content": [7]}}), "", "unreadable"),
    "part's text is a number": (
        body({"message": {"content": [{"type": "text", "text": 7}]}}), "", "unreadable",
    ),
    "part without type": (body({"message": {"content": [{"text": "x"}]}}), "", "unreadable"),
    "content is a number": (body({"message": {"content": 7}}), "", "unreadable"),
    "content is an object": (body({"message": {"content": {"text": "x"}}}), "", "unreadable"),
    "index null": (body({"index": None, "message": {"content": "x"}}), "x", None),
    "index is text": (body({"index": "0", "message": {"content": "x"}}), "", "n"),
    "two choices": (body({"message": {}}, {"message": {}}), "", "n"),
    "second choice only": (body({"index": 1, "message": {"content": "x"}}), "", "n"),
    "no choices": (body(), "", "no_text"),
    "no message": (body({"index": 0}), "", "no_text"),
    "choice is no object": (body("x"), "", "n"),
    "error object": (b'{"error": {"message": "no"}}', "", "no_text"),
    "html": (b"<html>", "", "unreadable"),
    "list": (b"[]", "", "unreadable"),
    "cut off": (chat_body("Yes.")[:-9], "", "unreadable"),
    "not UTF-8": (NOT_UTF8, "", "unreadable"),
    "empty": (b"", "", "unreadable"),
    "lone surrogate": (body({"message": {"content": "\ud83d!"}}), "\ud83d!", None),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "text", "skip"), BODIES.values(), ids=BODIES)
def test_body(raw: bytes, text: str, skip: str | None) -> None:
    """A JSON body gives its one choice's text, or why it cannot be judged; byte by byte too."""
    for pieces in ([raw], [raw[i : i + 1] for i in range(len(raw))]):
        reader = fed(ChatBodyReader(PLENTY), pieces)
        assert (reader.text, reader.skip, reader.over) == (text, skip, False)
        assert reader.safe == 0


STREAMS: dict[str, tuple[bytes, str, str | None]] = {
    "text": (chat_stream(["Y", "es", "."]), "Yes.", None),
    "no finish chunk": (chat_stream(["Yes."], finish=None), "Yes.", None),
    "tool calls": (
        frames(said({"content": "Hm."}), said({"tool_calls": TOOL})),
        "Hm.",
        "tool_calls",
    ),
    "tool finish": (frames(said({"content": "x"}, "tool_calls")), "x", "tool_calls"),
    "function call": (frames(said({"function_call": {"name": "f"}})), "", "tool_calls"),
    "refusal": (frames(said({"refusal": "I"})), "", "refusal"),
    "audio": (frames(said({"audio": {"id": "a"}})), "", "audio"),
    "a picture": (frames(said({"images": [{"type": "image_url"}]})), "", "media"),
    "thoughts in the text": (
        frames(
            said({"content": "<thi"}), said({"content": "nk>b</think>"}), said({"content": "\na"})
        ),
        "a",
        None,
    ),
    "length": (chat_stream(["Ye"], finish="length"), "Ye", "length"),
    "content filter": (chat_stream(["Ye"], finish="content_filter"), "Ye", "content_filter"),
    "second choice": (frames(said({"content": "a"}), said({"content": "b"}, index=1)), "a", "n"),
    "two choices": (frames({"choices": [{"index": 0}, {"index": 1}]}), "", "n"),
    "error frame": (
        frames(said({"content": "a"}), {"error": {"message": "no"}}),
        "a",
        "error_frame",
    ),
    "nothing": (b"", "", "no_text"),
    "only done": (b"data: [DONE]\n\n", "", "no_text"),
    "blank": (chat_stream([" ", "\n"]), " \n", "no_text"),
    "null and junk frames": (
        b"data: null\n\ndata: 7\n\ndata: {\n\n" + chat_stream(["a"]),
        "a",
        None,
    ),
    "comments": (b": hi\n\n" + chat_stream(["a"]), "a", None),
    "no delta": (frames({"choices": [{"index": 0}]}, said({"content": "a"})), "a", None),
    "content is a number": (
        frames(said({"content": "a"}), said({"content": 7}), said({"content": "b"})),
        "a",
        "unreadable",
    ),
    "text in parts": (frames(*(said({"content": [p]}) for p in THOUGHT_OUT)), "It is. Yes.", None),
    "parts, then strings": (
        frames(
            said({"content": THOUGHT_OUT[:1]}),
            said({"content": "It is."}),
            said({"content": [{"type": "text", "text": " Yes."}]}, "stop"),
        ),
        "It is. Yes.",
        None,
    ),
    "picture in parts": (
        frames(said({"content": "a"}), said({"content": [{"type": "image_url"}]})),
        "a",
        "media",
    ),
    "citation": (
        frames(
            said({"content": "a"}),
            said({"provider_specific_fields": {"citation": {}}}),
            said({"provider_specific_fields": {"citation": {"cited_text": "a"}}}, "stop"),
        ),
        "a",
        "citations",
    ),
    "older error frame": (
        frames(said({"content": "a"}), {"object": "error", "message": "no", "code": 500}),
        "a",
        "error_frame",
    ),
    "error null": (
        frames({**said({"content": "a"}), "error": None}, {**said({}, "stop"), "error": None}),
        "a",
        None,
    ),
    "index null": (chat_stream(["a"]).replace(b'"index": 0', b'"index": null'), "a", None),
    "index missing": (chat_stream(["a"]).replace(b'"index": 0, ', b""), "a", None),
    "empty choices": (frames({"choices": []}, said({"content": "a"})), "a", None),
    "unclosed last frame": (frames(said({"content": "a"})).rstrip(), "a", None),
    "crlf": (chat_stream(["a", "b"]).replace(b"\n", b"\r\n"), "ab", None),
    "emoji": (chat_stream(["ü", "😀"]), "ü😀", None),
    "raw utf-8": ('data: {"choices":[{"delta":{"content":"ü😀"}}]}\n\n'.encode(), "ü😀", None),
}


@pytest.mark.parametrize(("raw", "text", "skip"), STREAMS.values(), ids=STREAMS)
def test_stream(raw: bytes, text: str, skip: str | None) -> None:
    """A stream gives the folded text, or why it cannot be judged; byte by byte too."""
    for pieces in ([raw], [raw[i : i + 1] for i in range(len(raw))]):
        reader = fed(ChatStreamReader(PLENTY), pieces)
        assert (reader.text, reader.skip, reader.over) == (text, skip, False)


FINISHES = {
    "model_length": "length", "MAX_TOKENS": "length", "content_filter: SAFETY": "content_filter",
    "sensitive": "content_filter", "error": "failed", "insufficient_system_resource": "failed",
    "abort": "failed", "stop": None, "eos_token": None, "": None,
}  # fmt: skip


@pytest.mark.parametrize(("reason", "skip"), FINISHES.items(), ids=FINISHES)
def test_finish_in_the_words_of_other_servers(reason: str, skip: str | None) -> None:
    """A reply that broke off is none to judge, or to deliver, whatever its server calls that."""
    whole = fed(ChatBodyReader(PLENTY), [chat_body("Ye", finish=reason)])
    streamed = fed(ChatStreamReader(PLENTY), [chat_stream(["Ye"], finish=reason)])
    assert whole.skip == streamed.skip == skip


def test_nothing_is_read_after_a_reason_to_skip() -> None:
    """Text after a refusal does not count."""
    reader = fed(ChatStreamReader(PLENTY), [frames(said({"refusal": "I"}), said({"content": "a"}))])
    assert reader.text == ""


USAGES: dict[str, tuple[ReplyReader, bytes, Any]] = {
    "body": (ChatBodyReader(PLENTY), chat_body("a"), USAGE),
    "body without": (ChatBodyReader(PLENTY), body({"message": {"content": "a"}}), None),
    "body empty usage": (ChatBodyReader(PLENTY), body(usage={}), None),
    "stream": (ChatStreamReader(PLENTY), chat_stream(["a"], usage=True), USAGE),
    "stream without": (ChatStreamReader(PLENTY), chat_stream(["a"]), None),
    "null until the end": (
        ChatStreamReader(PLENTY),
        frames({"usage": None}, {"usage": USAGE}),
        USAGE,
    ),
    "usage before the end": (
        ChatStreamReader(PLENTY),
        frames({"usage": USAGE}, said({"content": "a"})),
        USAGE,
    ),
    "no counts": (ChatBodyReader(PLENTY), body(usage={"a": {"b": [1, 10**400]}}), None),
    "endless counts": (ChatBodyReader(PLENTY), b'{"usage": {"a": 1, "b": -1e999}}', None),
    "counts that are none": (ChatBodyReader(PLENTY), b'{"usage": {"a": NaN}}', None),
    "counts too deep": (
        ChatBodyReader(PLENTY),
        b'{"usage":' + b'{"a":' * 99 + b"1" + b"}" * 100,
        None,
    ),
    "running usage": (
        ChatStreamReader(PLENTY),
        frames({"usage": {"a": 1}}, {"usage": USAGE}),
        USAGE,
    ),
}


@pytest.mark.parametrize(("reader", "raw", "usage"), USAGES.values(), ids=USAGES)
def test_usage(reader: ReplyReader, raw: bytes, usage: Any) -> None:
    """Usage is what upstream said last, or None."""
    assert fed(reader, [raw]).usage == usage


TEXT = "aü€😀z"  # 1 + 2 + 3 + 4 + 1 bytes


@pytest.mark.parametrize("limit", range(1, 13))
def test_limit(limit: int) -> None:
    """The limit is a byte position of the text, however it is cut; no character is cut in two."""
    expected = TEXT.encode()[:limit].decode("utf-8", "ignore")
    readers = [fed(ChatBodyReader(limit), [chat_body(TEXT)])]
    for cut in range(len(TEXT) + 1):
        stream = chat_stream([TEXT[:cut], TEXT[cut:]])
        readers.append(fed(ChatStreamReader(limit), [stream]))
    readers.append(fed(ChatStreamReader(limit), [chat_stream(list(TEXT))]))
    assert {(r.text, r.over) for r in readers} == {(expected, limit < len(TEXT.encode()))}


def test_nothing_counts_after_the_limit() -> None:
    """A finish reason after the limit is ignored, be it in the same chunk or in a later one."""
    together = frames(said({"content": "abcd"}, "length"))
    apart = frames(said({"content": "abcd"}), said({}, "length"))
    for raw in (together, apart):
        reader = fed(ChatStreamReader(3), [raw])
        assert (reader.text, reader.over, reader.skip) == ("abc", True, None)
    reader = fed(ChatBodyReader(3), [chat_body("abcd", finish="length")])
    assert (reader.text, reader.over, reader.skip) == ("abc", True, None)


@pytest.mark.parametrize("text", [" " * 8, "  😀xx"])
def test_blank_up_to_the_limit(text: str) -> None:
    """A text that is blank only as far as it was read is no reply without text."""
    raw = chat_stream([text])
    readers = [fed(ChatStreamReader(5), [raw]), fed(ChatBodyReader(5), [chat_body(text)])]
    assert [(r.text.strip(), r.over, r.skip) for r in readers] == [("", True, None)] * 2


def test_done() -> None:
    """A stream is over with its [DONE]; what comes after does not count."""
    reader = ChatStreamReader(PLENTY)
    raw = chat_stream(["a"])
    reader.feed(raw[:-2])
    assert not reader.done
    reader.feed(raw[-2:] + chat_stream(["b"]))
    assert (reader.done, reader.text) == (True, "a")


SAFE = {
    "up to the finish chunk": (chat_stream(["a", "b"], usage=True), b'"finish_reason": "stop"'),
    "up to done": (chat_stream(["a"], finish=None), b"[DONE]"),
    "frames after done": (chat_stream(["a"], finish=None) + frames({"x": 1}), b"[DONE]"),
}


@pytest.mark.parametrize(("raw", "marker"), SAFE.values(), ids=SAFE)
def test_safe(raw: bytes, marker: bytes) -> None:
    """What may leave early ends before the frame that an annotation goes into."""
    reader = fed(ChatStreamReader(PLENTY), [raw])
    assert reader.safe == raw.rindex(b"data: ", 0, raw.index(marker))


def test_safe_counts_complete_frames_only() -> None:
    """Half a frame may not leave."""
    raw = chat_stream(["a", "b"])
    first = raw.index(b"\n\n") + 2
    reader = ChatStreamReader(PLENTY)
    for end in range(first):
        reader.feed(raw[end : end + 1])
        assert reader.safe == (first if end == first - 1 else 0)
