"""Messages requests: what is read from them, and which are never judged."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.wire.messages_kit import DISPUTE, HIDDEN, REMINDER, THOUGHT, TOOL, text

from candor_guard.errors import InvalidRequestError
from candor_guard.surface import GuardedRequest
from candor_guard.wire.messages import MessagesSurface

ASKED: list[Any] = [{"role": "user", "content": "Is it?"}]
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "42"}
IMAGE = {"type": "image", "source": {"type": "url", "url": "https://x"}}


def parse(payload: object) -> GuardedRequest:
    return MessagesSurface().parse(json.dumps(payload).encode())


def turns(*messages: Any, **fields: Any) -> list[tuple[str, str]]:
    read = parse({"messages": list(messages), **fields}).conversation.messages
    return [(message.role, message.text) for message in read]


REFUSED = {
    "broken": (b'{"messages": [', "not valid JSON", None),
    "list": (b"[]", "must be a JSON object", None),
    "messages missing": (b'{"model": "m"}', "non-empty list", "messages"),
    "messages empty": (b'{"messages": []}', "non-empty list", "messages"),
    "messages text": (b'{"messages": "hi"}', "non-empty list", "messages"),
}


@pytest.mark.parametrize(("body", "message", "param"), REFUSED.values(), ids=REFUSED)
def test_refused(body: bytes, message: str, param: str | None) -> None:
    """A body that no upstream could answer is refused, and the error says where."""
    with pytest.raises(InvalidRequestError, match=message) as caught:
        MessagesSurface().parse(body)
    assert caught.value.param == param


UNREADABLE: dict[str, dict[str, Any]] = {
    "unknown role": {"messages": [*ASKED, {"role": "wizard", "content": "x"}]},
    "chat's role": {"messages": [*ASKED, {"role": "developer", "content": "x"}]},
    "role is a list": {"messages": [*ASKED, {"role": ["user"], "content": "x"}]},
    "message is text": {"messages": [*ASKED, "x"]},
    "content is a number": {"messages": [*ASKED, {"role": "user", "content": 7}]},
    "block is a number": {"messages": [*ASKED, {"role": "user", "content": [7]}]},
    "system is a number": {"messages": ASKED, "system": 7},
    "result is a number": {
        "messages": [*ASKED, {"role": "user", "content": [{**RESULT, "content": 7}]}]
    },
}


@pytest.mark.parametrize("payload", UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_messages_are_not_refused(payload: dict[str, Any]) -> None:
    """Messages that only upstream may understand are passed on, never judged."""
    request = parse(payload)
    assert request.skip == "unreadable"
    assert request.conversation.messages == ()


SKIPPED: dict[str, tuple[list[Any], str | None]] = {
    "text": (ASKED, None),
    "blocks": ([{"role": "user", "content": [text("Is it?")]}], None),
    "image": ([{"role": "user", "content": [IMAGE, text("Is it?")]}], "media"),
    "document": ([{"role": "user", "content": [{"type": "document"}, text("?")]}], "media"),
    "search result": ([{"role": "user", "content": [{"type": "search_result"}]}], "media"),
    "odd block type": ([{"role": "user", "content": [{"type": []}]}], "media"),
    "image earlier": ([{"role": "user", "content": [IMAGE]}, *ASKED], None),
    "tool result last": ([*ASKED, {"role": "user", "content": [RESULT]}], "no_user_turn"),
    "tool result and words": ([*ASKED, {"role": "user", "content": [RESULT, text("So?")]}], None),
    "tool result and a blank": (
        [*ASKED, {"role": "user", "content": [RESULT, text(" \n")]}], "no_user_turn",
    ),
    "tool result and reminder": (
        [*ASKED, {"role": "user", "content": [RESULT, REMINDER]}], "no_user_turn",
    ),
    "tool result and image": (
        [*ASKED, {"role": "user", "content": [RESULT, IMAGE]}], "no_user_turn",
    ),
    "tool result, image and words": (
        [*ASKED, {"role": "user", "content": [RESULT, IMAGE, text("So?")]}], "media",
    ),
    "reminder beside words": ([{"role": "user", "content": [REMINDER, text("Is it?")]}], None),
    "prefill": ([*ASKED, {"role": "assistant", "content": "It"}], "no_user_turn"),
    "reminder last": ([*ASKED, {"role": "system", "content": "Be brief."}], None),
    "system only": ([{"role": "system", "content": "Be brief."}], "no_user_turn"),
}  # fmt: skip


@pytest.mark.parametrize(("messages", "skip"), SKIPPED.values(), ids=SKIPPED)
def test_skip(messages: list[Any], skip: str | None) -> None:
    """What cannot be judged or replaced is known from the request, with its reason."""
    assert parse({"model": "m", "messages": messages}).skip == skip


@pytest.mark.parametrize("system", ["Be kind.", [text("Be kind.")]])
def test_system_prompt(system: Any) -> None:
    """The system prompt, text or blocks, is the conversation's first message."""
    assert turns(*ASKED, system=system) == [("system", "Be kind."), ("user", "Is it?")]


def test_thoughts_and_calls_are_no_words() -> None:
    """Of an earlier turn only its text is what was said."""
    earlier = {"role": "assistant", "content": [THOUGHT, HIDDEN, text("It is."), TOOL]}
    assert turns(*ASKED, earlier, *ASKED)[1] == ("assistant", "It is.")


def test_results_are_a_tools_words() -> None:
    """What tools brought is theirs, and a reminder beside it is nobody's claim."""
    results = [RESULT, {**RESULT, "content": [text("43"), IMAGE]}, {"type": "tool_result"}]
    both = {"role": "user", "content": [*results, text(""), REMINDER]}
    assert turns(*ASKED, both)[1:] == [("tool", "42"), ("tool", "43"), ("tool", "")]


WORDS = [text("No, it is 54."), text("Sure.")]
BESIDE = {"behind": [RESULT, REMINDER, *WORDS], "before": [*WORDS, REMINDER, RESULT]}


@pytest.mark.parametrize("blocks", BESIDE.values(), ids=BESIDE)
def test_words_beside_results_are_the_users(blocks: list[Any]) -> None:
    """What a user says beside a tool's result is a turn of the user's, behind the tool's."""
    both = {"role": "user", "content": blocks}
    last = {"role": "assistant", "content": "It is 42."}
    expected = [("tool", "42"), ("user", "No, it is 54.\nSure.")]
    assert turns(both) == expected
    assert turns(*ASKED, both, last, *ASKED)[1:3] == expected


def test_reminders_are_not_the_users_words() -> None:
    """Blocks that an app marks as its reminders are left out; words that name the mark are not."""
    quoted = text("What is a <system-reminder>?")
    both = {"role": "user", "content": [REMINDER, quoted, REMINDER]}
    alone = {"role": "user", "content": [REMINDER]}
    assert turns(both, alone) == [("user", quoted["text"]), ("user", "")]


def test_plain_dispute() -> None:
    """A dispute in plain text is read turn by turn."""
    assert turns(*DISPUTE) == [(turn["role"], turn["content"]) for turn in DISPUTE]


STREAMS = [(True, True), (False, False), (None, False), (1, True), ("true", True), ("no", False)]


@pytest.mark.parametrize(("value", "stream"), STREAMS)
def test_stream(value: object, stream: bool) -> None:
    """A true asks for a stream, and what servers take for one."""
    assert parse({"messages": ASKED, "stream": value}).stream is stream


def test_the_client_bytes_are_kept() -> None:
    """The body is forwarded as the client wrote it, spaces and duplicates included."""
    body = b'{ "messages" : [ {"role":"user","content":"\\u00fc"} ], "x": 1, "x": 2 }'
    request = MessagesSurface().parse(body)
    assert request.body == body
    assert request.conversation.messages[0].text == "ü"
