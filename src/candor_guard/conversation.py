"""A conversation as the detectors see it: roles and plain text, whatever the wire format was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from candor_guard.errors import InvalidRequestError
from candor_guard.smalltalk import is_small_talk
from candor_guard.thoughts import length_of_thoughts

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_INSTRUCTIONS = frozenset({"system", "developer"})
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})


@dataclass(frozen=True, slots=True)
class Message:
    """One turn.

    Attributes:
        role: One of `ROLES`.
        text: The text parts, joined by line breaks; "" when there is none.
        media: Whether the turn also carries parts that are no text (images, audio, files).
    """

    role: str
    text: str
    media: bool = False

    @property
    def said(self) -> str:
        """The text; of an assistant turn without the thoughts in front, which apps send back with it."""
        return self.text[length_of_thoughts(self.text) :] if self.role == "assistant" else self.text

    @property
    def says_something(self) -> bool:
        """Whether there is more to the turn than thoughts and small talk."""
        said = self.said
        return bool(said.strip()) and not is_small_talk(said)


@dataclass(frozen=True, slots=True)
class Conversation:
    """The turns up to the one that is about to be answered."""

    messages: tuple[Message, ...]

    @classmethod
    def parse(cls, messages: object) -> Conversation:
        """Read an OpenAI-style list of messages (dicts with ``role`` and ``content``).

        Raises:
            InvalidRequestError: With ``param`` at the part that cannot be read.
        """
        if messages is None:
            raise InvalidRequestError("messages is missing", param="messages")
        if isinstance(messages, (str, bytes)) or not isinstance(messages, Sequence):
            kind = type(messages).__name__
            raise InvalidRequestError(f"messages must be a list, not {kind}", param="messages")
        if not messages:
            raise InvalidRequestError("messages must not be empty", param="messages")
        return cls(tuple([_message(entry, index) for index, entry in enumerate(messages)]))

    @property
    def last_user(self) -> Message | None:
        """The user turn that is about to be answered, or None when the last turn is no user's.

        System and developer messages behind it are no turns: many apps end with a reminder.
        """
        place = self.last_user_index
        return None if place is None else self.messages[place]

    @property
    def last_user_index(self) -> int | None:
        """Index of `last_user` among the messages, or None."""
        place = self._last_turn
        return place if place >= 0 and self.messages[place].role == "user" else None

    @property
    def before(self) -> tuple[Message, ...]:
        """The messages before the last turn, whose ever that is."""
        return self.messages[: max(0, self._last_turn)]

    @property
    def answers(self) -> list[str]:
        """What the assistant turns say, in order; small talk, and those that say nothing, are left out."""
        return [m.said for m in self.messages if m.role == "assistant" and m.says_something]

    @property
    def earlier_reply(self) -> str:
        """What the latest assistant turn that says something says, or ""."""
        return next(
            (m.said for m in reversed(self.messages) if m.role == "assistant" and m.says_something),
            "",
        )

    @property
    def opening_question(self) -> str:
        """Text of the first user turn, or "" when there is none before the last one."""
        return next((m.text for m in self.before if m.role == "user" and m.text.strip()), "")

    @property
    def _last_turn(self) -> int:
        """Index of the last message that is no system or developer message; -1: there is none."""
        place = len(self.messages) - 1
        while place >= 0 and self.messages[place].role in _INSTRUCTIONS:
            place -= 1
        return place


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a detector reads: a conversation and the reply that is about to be delivered."""

    conversation: Conversation
    reply: str

    @classmethod
    def parse(cls, messages: object, reply: object) -> Exchange:
        """Read the OpenAI list and the reply's text.

        Raises:
            InvalidRequestError: If either cannot be read.
        """
        if not isinstance(reply, str):
            why = (
                "it is missing; it stands beside messages, not in them, and one that only calls "
                "tools has nothing to judge"
            )
            told = why if reply is None else f"not {type(reply).__name__}"
            raise InvalidRequestError(f"reply must be text: {told}", param="reply")
        return cls(Conversation.parse(messages), reply)


def text_of(content: object, *, param: str = "content") -> tuple[str, bool]:
    """Return the text of a message's content and whether it holds other parts besides.

    Raises:
        InvalidRequestError: If the content is neither text, None nor a list of parts.
    """
    if content is None:
        return "", False
    if isinstance(content, str):
        return content, False
    if not isinstance(content, Sequence) or isinstance(content, bytes):
        kind = type(content).__name__
        raise InvalidRequestError(
            f"{param} must be text or a list of parts, not {kind}", param=param
        )
    return _join_parts(content, param)


def _join_parts(parts: Iterable[Any], param: str) -> tuple[str, bool]:
    texts: list[str] = []
    media = False
    for index, part in enumerate(parts):
        if isinstance(part, str):
            texts.append(part)
        elif not isinstance(part, Mapping):
            where = f"{param}.{index}"
            raise InvalidRequestError(f"{where} must be an object", param=where)
        elif str(part.get("type")) in _TEXT_PARTS and isinstance(part.get("text"), str):
            texts.append(part["text"])
        else:
            media = True
    return "\n".join(texts), media


def _message(entry: object, index: int) -> Message:
    if not isinstance(entry, (dict, Mapping)):  # nearly always a dict, which is told much faster
        where = f"messages.{index}"
        told = f"{where} must be an object with role and content, not {type(entry).__name__}"
        # An SDK's message has both, and is none: clients turn it into JSON, nobody does here.
        hint = "; pass its model_dump()" if hasattr(entry, "model_dump") else ""
        raise InvalidRequestError(told + hint, param=where)
    role, content = entry.get("role"), entry.get("content")
    if not isinstance(role, str) or role not in ROLES:
        where, known = f"messages.{index}.role", ", ".join(sorted(ROLES))
        raise InvalidRequestError(f"{where} is {role!r}; known roles: {known}", param=where)
    if isinstance(content, str):  # nearly all, and there may be hundreds
        return Message(role, content)
    return Message(role, *text_of(content, param=f"messages.{index}.content"))
