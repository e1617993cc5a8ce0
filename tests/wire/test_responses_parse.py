"""Responses requests: what is read from them, and which are never judged."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.wire.responses_kit import CALL, REASONING, message

from candor_guard.errors import InvalidRequestError
from candor_guard.surface import GuardedRequest
from candor_guard.wire.responses import ResponsesSurface

ASKED: dict[str, Any] = {"role": "user", "content": "Is it?"}
TEXT = {"type": "input_text", "text": "x"}
IMAGE = {"type": "input_image", "image_url": "data:"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "42"}


def parse(payload: object) -> GuardedRequest:
    return ResponsesSurface().parse(json.dumps(payload).encode())


def turns(*items: Any, **fields: Any) -> list[tuple[str, str, bool]]:
    request = parse({"input": list(items), **fields})
    assert request.skip != "unreadable"
    return [(m.role, m.text, m.media) for m in request.conversation.messages]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'{"input": "\xff"}', b'{"input":' + b"[" * 99]
)
def test_refused(body: bytes) -> None:
    """Only a body that is no JSON object is refused."""
    with pytest.raises(InvalidRequestError):
        ResponsesSurface().parse(body)


def test_text() -> None:
    """An input that is text is the user's turn, and the instructions stand before it."""
    request = parse({"input": "No.", "instructions": "Be kind."})
    assert [(m.role, m.text) for m in request.conversation.messages] == [
        ("system", "Be kind."),
        ("user", "No."),
    ]
    assert request.skip is None


ITEMS: dict[str, tuple[Any, list[tuple[str, str, bool]]]] = {
    "easy message": (ASKED, [("user", "Is it?", False)]),
    "typed message": ({"type": "message", **ASKED}, [("user", "Is it?", False)]),
    "developer": ({"role": "developer", "content": "x"}, [("developer", "x", False)]),
    "parts": ({"role": "user", "content": [TEXT, TEXT]}, [("user", "x\nx", False)]),
    "image": ({"role": "user", "content": [TEXT, IMAGE]}, [("user", "x", True)]),
    "file": ({"role": "user", "content": [{"type": "input_file"}]}, [("user", "", True)]),
    "earlier reply": (message("Yes."), [("assistant", "Yes.", False)]),
    "earlier reply in phases": (
        {**message("Yes."), "phase": "final_answer"},
        [("assistant", "Yes.", False)],
    ),
    "no content": ({"role": "user", "content": None}, [("user", "", False)]),
    "call": (CALL, [("assistant", "", False)]),
    "hosted call": ({"type": "web_search_call", "id": "1"}, [("assistant", "", False)]),
    "approval asked": ({"type": "mcp_approval_request"}, [("assistant", "", False)]),
    "approval given": ({"type": "mcp_approval_response"}, [("tool", "", False)]),
    "program": ({"type": "program"}, [("assistant", "", False)]),
    "output": (OUTPUT, [("tool", "42", False)]),
    "output in parts": ({**OUTPUT, "output": [TEXT]}, [("tool", "x", False)]),
    "output of another kind": (
        {"type": "computer_call_output", "output": {"type": "computer_screenshot"}},
        [("tool", "", False)],
    ),
    "reasoning": (REASONING, []),
    "tools": ({"type": "mcp_list_tools"}, []),
    "settings": ({"type": "configuration_update"}, []),
}


@pytest.mark.parametrize(("item", "expected"), ITEMS.values(), ids=ITEMS)
def test_items(item: Any, expected: list[tuple[str, str, bool]]) -> None:
    """Messages are turns, calls and their outputs are turns without or with text, thoughts none."""
    assert turns(item, ASKED) == [*expected, ("user", "Is it?", False)]


UNREADABLE: dict[str, Any] = {
    "input is a number": {"input": 7},
    "input is an object": {"input": {"role": "user"}},
    "instructions are items": {"input": "x", "instructions": [ASKED]},
    "item is text": {"input": ["x"]},
    "item is null": {"input": [None]},
    "item of an unknown type": {"input": [ASKED, {"type": "hologram"}]},
    "item of no type": {"input": [{"content": "x"}]},
    "type is a list": {"input": [{"type": []}]},
    "unknown role": {"input": [{"role": "wizard", "content": "x"}]},
    "role is a list": {"input": [{"role": ["user"], "content": "x"}]},
    "content is a number": {"input": [{"role": "user", "content": 7}]},
    "part is a number": {"input": [{"role": "user", "content": [7]}]},
    "compaction is wanted": {"input": [ASKED, {"type": "compaction_trigger"}]},
}


@pytest.mark.parametrize("payload", UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_input_is_not_refused(payload: Any) -> None:
    """An input that only upstream may understand is passed on, never judged."""
    request = parse(payload)
    assert request.skip == "unreadable"
    assert request.conversation.messages == ()


SKIPPED: dict[str, tuple[dict[str, Any], str | None]] = {
    "plain": ({}, None),
    "not in the background": ({"background": False}, None),
    "background": ({"background": True}, "background"),
    "previous response": ({"previous_response_id": "resp_0"}, "no_history"),
    "no previous response": ({"previous_response_id": None}, None),
    "conversation": ({"conversation": "conv_1"}, "no_history"),
    "conversation as an object": ({"conversation": {"id": "conv_1"}}, "no_history"),
    "template": ({"prompt": {"id": "pmpt_1"}}, "no_history"),
    "template alone": ({"prompt": {"id": "pmpt_1"}, "input": None}, "no_history"),
    "reference": ({"input": [{"type": "item_reference", "id": "msg_1"}, ASKED]}, "no_history"),
    "reference without a type": ({"input": [{"id": "msg_1"}, ASKED]}, "no_history"),
    "compacted": ({"input": [{"type": "compaction"}, ASKED]}, "no_history"),
    "background before all": ({"background": True, "previous_response_id": "x"}, "background"),
    "logprobs": ({"top_logprobs": 3}, "logprobs"),
    "no logprobs": ({"top_logprobs": 0, "include": None}, None),
    "logprobs included": ({"include": ["message.output_text.logprobs"]}, "logprobs"),
    "something else included": ({"include": ["reasoning.encrypted_content"]}, None),
    "image in last turn": ({"input": [{"role": "user", "content": [IMAGE]}]}, "media"),
    "image earlier": ({"input": [{"role": "user", "content": [IMAGE]}, ASKED]}, None),
    "tool's output last": ({"input": [ASKED, CALL, OUTPUT]}, "no_user_turn"),
    "prefill": ({"input": [ASKED, message("It")]}, "no_user_turn"),
    "reminder last": ({"input": [ASKED, {"role": "developer", "content": "x"}]}, None),
    "thoughts last": ({"input": [ASKED, REASONING]}, None),
    "no input": ({"input": None}, "no_user_turn"),
    "empty input": ({"input": []}, "no_user_turn"),
}


@pytest.mark.parametrize(("fields", "skip"), SKIPPED.values(), ids=SKIPPED)
def test_skip(fields: dict[str, Any], skip: str | None) -> None:
    """What cannot be judged or replaced is known from the request, with its reason."""
    assert parse({"model": "m", "input": [ASKED], **fields}).skip == skip


@pytest.mark.parametrize(
    ("value", "stream"), [(True, True), (False, False), (None, False), (1, True)]
)
def test_stream(value: object, stream: bool) -> None:
    """A true asks for a stream, and what servers take for one."""
    assert parse({"input": "x", "stream": value}).stream is stream


def test_the_client_bytes_are_kept() -> None:
    """The body is forwarded as the client wrote it, spaces and duplicates included."""
    body = b'{ "input" : "\\u00fc", "x": 1, "x": 2 }'
    request = ResponsesSurface().parse(body)
    assert request.body == body
    assert request.conversation.messages[0].text == "ü"
