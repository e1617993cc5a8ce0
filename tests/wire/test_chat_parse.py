"""Chat Completions requests: what is read from them, and which are never judged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from candor_guard.errors import InvalidRequestError
from candor_guard.surface import GuardedRequest
from candor_guard.wire.chat import ChatSurface

ASKED: list[dict[str, Any]] = [{"role": "user", "content": "Is it?"}]


def parse(payload: object) -> GuardedRequest:
    return ChatSurface().parse(json.dumps(payload).encode())


REFUSED = {
    "empty": (b"", "not valid JSON", None),
    "broken": (b'{"messages": [', "not valid JSON: .* line 1 column", None),
    "not UTF-8": (b'{"messages": "\xff"}', "not valid JSON: not UTF-8", None),
    "number out of bounds": (b'{"n": ' + b"9" * 5000 + b"}", "a value is out of bounds", None),
    "too deep": (b'{"messages":' + b"[" * 100_000, "a value is out of bounds", None),
    "list": (b"[]", "must be a JSON object, not list", None),
    "null": (b"null", "must be a JSON object, not NoneType", None),
    "messages missing": (b'{"model": "m"}', "non-empty list", "messages"),
    "messages null": (b'{"messages": null}', "non-empty list", "messages"),
    "messages empty": (b'{"messages": []}', "non-empty list", "messages"),
    "messages text": (b'{"messages": "hi"}', "non-empty list", "messages"),
    "messages object": (b'{"messages": {"role": "user"}}', "non-empty list", "messages"),
}


@pytest.mark.parametrize(("body", "message", "param"), REFUSED.values(), ids=REFUSED)
def test_refused(body: bytes, message: str, param: str | None) -> None:
    """A body that no upstream could answer is refused, and the error says where."""
    with pytest.raises(InvalidRequestError, match=message) as caught:
        ChatSurface().parse(body)
    assert caught.value.param == param


UNREADABLE = {
    "unknown role": {"role": "wizard", "content": "x"},
    "no role": {"content": "x"},
    "role is a list": {"role": ["user"], "content": "x"},
    "role is an object": {"role": {}, "content": "x"},
    "message is text": "x",
    "message is null": None,
    "content is a number": {"role": "user", "content": 7},
    "content is an object": {"role": "user", "content": {"text": "x"}},
    "part is a number": {"role": "user", "content": [7]},
}


@pytest.mark.parametrize("message", UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_messages_are_not_refused(message: object) -> None:
    """Messages that only upstream may understand are passed on, never judged."""
    request = parse({"messages": [*ASKED, message]})
    assert request.skip == "unreadable"
    assert request.conversation.messages == ()


SKIPPED: dict[str, tuple[dict[str, Any], str | None]] = {
    "plain": ({}, None),
    "one choice": ({"n": 1}, None),
    "n null": ({"n": None}, None),
    "two choices": ({"n": 2}, "n"),
    "logprobs": ({"logprobs": True}, "logprobs"),
    "no logprobs": ({"logprobs": False}, None),
    "text modality": ({"modalities": ["text"]}, None),
    "audio modality": ({"modalities": ["text", "audio"]}, "audio"),
    "odd modality": ({"modalities": [{}]}, "media"),
    "image modality": ({"modalities": ["image", "text"]}, "media"),
    "modalities null": ({"modalities": None}, None),
    "audio before n": ({"modalities": ["audio"], "n": 2}, "audio"),
    "text parts": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
        None,
    ),
    "odd part type": ({"messages": [{"role": "user", "content": [{"type": []}]}]}, "media"),
    "image in last turn": (
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        "media",
    ),
    "image earlier": (
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, *ASKED]},
        None,
    ),
    "tool result last": (
        {"messages": [*ASKED, {"role": "tool", "tool_call_id": "1", "content": "42"}]},
        "no_user_turn",
    ),
    "prefill": ({"messages": [*ASKED, {"role": "assistant", "content": "It"}]}, "no_user_turn"),
    "reminder last": ({"messages": [*ASKED, {"role": "system", "content": "Be brief."}]}, None),
    "developer message last": ({"messages": [*ASKED, {"role": "developer", "content": "x"}]}, None),
    "image, then a reminder": (
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url"}]},
                {"role": "system", "content": "x"},
            ]
        },
        "media",
    ),
    "prefill, then a reminder": (
        {
            "messages": [
                *ASKED,
                {"role": "assistant", "content": "It"},
                {"role": "system", "content": "x"},
            ]
        },
        "no_user_turn",
    ),
    "system only": ({"messages": [{"role": "system", "content": "x"}]}, "no_user_turn"),
    "n and unreadable": ({"n": 3, "messages": [{"role": "wizard"}]}, "n"),
}


@pytest.mark.parametrize(("fields", "skip"), SKIPPED.values(), ids=SKIPPED)
def test_skip(fields: dict[str, Any], skip: str | None) -> None:
    """What cannot be judged or replaced is known from the request, with its reason."""
    assert parse({"model": "m", "messages": ASKED, **fields}).skip == skip


STREAMS = [
    (True, True), (False, False), (None, False), (1, True), ("true", True), ("false", False), (0, False), ("", False),
]  # fmt: skip


@pytest.mark.parametrize(("value", "stream"), STREAMS)
def test_stream(value: object, stream: bool) -> None:
    """A true asks for a stream, and what servers take for one."""
    assert parse({"messages": ASKED, "stream": value}).stream is stream


def test_the_client_bytes_are_kept() -> None:
    """The body is forwarded as the client wrote it, spaces and duplicates included."""
    body = b'{ "messages" : [ {"role":"user","content":"\\u00fc"} ], "x": 1, "x": 2 }'
    request = ChatSurface().parse(body)
    assert request.body == body
    assert request.payload["x"] == 2
    assert request.conversation.messages[0].text == "ü"
