"""Conversations: roles and text out of whatever messages hold."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from candor_guard.conversation import ROLES, Conversation, Message, text_of
from candor_guard.errors import InvalidRequestError


class SdkMessage(BaseModel):
    """A message as clients' packages return it."""

    role: str
    content: str


CONTENTS: dict[str, tuple[object, str, bool]] = {
    "text": ("hi", "hi", False),
    "empty": ("", "", False),
    "null": (None, "", False),
    "no parts": ([], "", False),
    "chat part": ([{"type": "text", "text": "hi"}], "hi", False),
    "input part": ([{"type": "input_text", "text": "hi"}], "hi", False),
    "output part": ([{"type": "output_text", "text": "hi"}], "hi", False),
    "bare strings": (["a", "b"], "a\nb", False),
    "tuple of parts": (({"type": "text", "text": "hi"},), "hi", False),
    "two parts": ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb", False),
    "image": ([{"type": "image_url"}], "", True),
    "text and image": ([{"type": "text", "text": "a"}, {"type": "image_url"}], "a", True),
    "part without type": ([{"text": "a"}], "", True),
    "type is no text": ([{"type": ["text"], "text": "a"}], "", True),
    "text is no text": ([{"type": "text", "text": 7}], "", True),
}


@pytest.mark.parametrize(("content", "text", "media"), CONTENTS.values(), ids=CONTENTS)
def test_text_of(content: object, text: str, media: bool) -> None:
    """Content gives its text parts joined by line breaks, and whether there was more."""
    assert text_of(content) == (text, media)


BAD: dict[str, tuple[object, str, str]] = {
    "text": ("hi", "must be a list, not str", "messages"),
    "bytes": (b"hi", "must be a list, not bytes", "messages"),
    "null": (None, "messages is missing", "messages"),
    "object": ({"role": "user"}, "must be a list, not dict", "messages"),
    "empty": ([], "must not be empty", "messages"),
    "entry is text": (["hi"], r"messages\.0 must be an object .* not str$", "messages.0"),
    "entry is an SDK's": (
        [{"role": "user"}, SdkMessage(role="assistant", content="hi")],
        r"not SdkMessage; pass its model_dump\(\)$", "messages.1",
    ),
    "unknown role": ([{"role": "bot"}], "'bot'; known roles: assistant, dev", "messages.0.role"),
    "no role": ([{"content": "x"}], "is None", "messages.0.role"),
    "unhashable role": ([{"role": []}], r"is \[\]", "messages.0.role"),
    "content is a number": (
        [{"role": "user", "content": 7}], "text or a list of parts, not int", "messages.0.content",
    ),
    "content is bytes": (
        [{"role": "user", "content": b"x"}], "not bytes", "messages.0.content",
    ),
    "part is a number": (
        [{"role": "user"}, {"role": "user", "content": ["a", 7]}],
        r"messages\.1\.content\.1 must be an object", "messages.1.content.1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("messages", "message", "param"), BAD.values(), ids=BAD)
def test_unreadable(messages: object, message: str, param: str) -> None:
    """What cannot be read is one error that says where."""
    with pytest.raises(InvalidRequestError, match=message) as caught:
        Conversation.parse(messages)
    assert caught.value.param == param


@pytest.mark.parametrize("role", sorted(ROLES))
def test_roles(role: str) -> None:
    """Every role of the wire format is read."""
    parsed = Conversation.parse([{"role": role, "content": "x"}])
    assert parsed.messages == (Message(role, "x"),)


def conversation(*turns: tuple[str, str]) -> Conversation:
    return Conversation(tuple(Message(role, text) for role, text in turns))


VIEWS: dict[str, tuple[Any, str | None, str, str]] = {
    "nothing": ((), None, "", ""),
    "one question": ((("user", "q"),), "q", "", ""),
    "pushback": ((("user", "q"), ("assistant", "a"), ("user", "p")), "p", "a", "q"),
    "latest reply counts": (
        (("user", "q"), ("assistant", "a"), ("assistant", "b"), ("user", "p")), "p", "b", "q",
    ),
    "silent turns do not count": (
        (("user", " "), ("user", "q"), ("assistant", "a"), ("assistant", ""), ("user", "p")),
        "p", "a", "q",
    ),
    "thoughts sent back": (
        (("user", "q"), ("assistant", "<think>\nb?\n</think>\n\na"), ("user", "p")), "p", "a", "q",
    ),
    "nothing but thoughts": (
        (("user", "q"), ("assistant", "a"), ("assistant", "<think>b"), ("user", "p")), "p", "a", "q",
    ),
    "tool result last": ((("user", "q"), ("tool", "7")), None, "", "q"),
    "prefill": ((("user", "q"), ("assistant", "a")), None, "a", "q"),
    "system first": ((("system", "s"), ("user", "q")), "q", "", ""),
    "system last": (
        (("user", "q"), ("assistant", "a"), ("user", "p"), ("system", "s")), "p", "a", "q",
    ),
    "reminders last": (
        (("user", "q"), ("user", "p"), ("developer", "s"), ("system", " ")), "p", "", "q",
    ),
    "one question and a reminder": ((("user", "q"), ("system", "s")), "q", "", ""),
    "tool result, then a reminder": ((("user", "q"), ("tool", "7"), ("system", "s")), None, "", "q"),
    "prefill, then a reminder": (
        (("user", "q"), ("assistant", "a"), ("developer", "s")), None, "a", "q",
    ),
    "system alone": ((("system", "s"), ("developer", "t")), None, "", ""),
}  # fmt: skip


@pytest.mark.parametrize(("turns", "last", "earlier", "opening"), VIEWS.values(), ids=VIEWS)
def test_views(turns: Any, last: str | None, earlier: str, opening: str) -> None:
    """The turn to answer, the position before it, and the question that began it all."""
    parsed = conversation(*turns)
    assert (parsed.last_user.text if parsed.last_user else None) == last
    place = parsed.last_user_index
    assert (None if place is None else parsed.messages[place]) is parsed.last_user
    assert parsed.earlier_reply == earlier
    assert parsed.answers[-1:] == ([earlier] if earlier else [])
    assert parsed.opening_question == opening
