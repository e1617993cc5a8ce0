"""What an adapter for a framework's model and the engine tell each other."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from candor_guard.conversation import Message
from candor_guard.integrations.hosting.surface import HostedSurface
from candor_guard.surface import GuardedRequest
from candor_guard.wire.json import dump

PieceT = TypeVar("PieceT")


@dataclass(frozen=True, slots=True)
class Original:
    """Call the model as the application did."""


@dataclass(frozen=True, slots=True)
class Edited:
    """Call it with another text in the last user turn; everything else stays.

    Attributes:
        text: The whole new text of that turn.
        note: What was appended to the old text, or None when the old text is gone.
    """

    text: str
    note: str | None


@dataclass(frozen=True, slots=True)
class Side:
    """Ask the model something of our own: one system and one user turn, no tools, no stream."""

    system: str
    user: str


Change = Original | Edited | Side


@dataclass(frozen=True, slots=True)
class Said:
    """What the engine has to know of a piece.

    Attributes:
        text: Its share of the reply's text.
        skip: Why a reply with it cannot be judged, in the record's words.
        finish: OpenAI's ``finish_reason``, on the piece that tells it.
        usage: OpenAI's ``usage`` object, on the piece that tells it.
    """

    text: str = ""
    skip: str | None = None
    finish: str | None = None
    usage: Mapping[str, Any] | None = None


class Host(Protocol[PieceT]):
    """One request of a framework."""

    def call(self, change: Change) -> AsyncGenerator[PieceT, None]:
        """Call the model: pieces as they come, or the whole reply as one piece."""
        ...

    def said(self, piece: PieceT) -> Said:
        """Read a piece."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the detectors read it.

    Attributes:
        turns: Up to the one that is answered.
        model: Its name, for the record.
        stream: Whether the caller wants pieces as they come.
        response_format: OpenAI's, where the framework has one; a regeneration must keep to it.
    """

    turns: Sequence[Message]
    model: str
    stream: bool = False
    response_format: Mapping[str, Any] | None = None

    def parsed(self) -> GuardedRequest:
        """Return the request in the engine's terms.

        Raises:
            InvalidRequestError: If there are no turns.
        """
        payload: dict[str, Any] = {
            "model": self.model,
            "messages": [_turn(turn) for turn in self.turns],
            "stream": self.stream,
        }
        if self.response_format is not None:
            payload["response_format"] = self.response_format
        return HostedSurface().parse(dump(payload))


@dataclass(frozen=True, slots=True)
class Piece(Generic[PieceT]):
    """A piece of the delivered reply, the framework's own object."""

    value: PieceT


@dataclass(frozen=True, slots=True)
class Spoken:
    """Text in the delivered reply that no piece of the model brought (an appended correction)."""

    text: str


def _turn(turn: Message) -> dict[str, Any]:
    if not turn.media:
        return {"role": turn.role, "content": turn.text}
    return {"role": turn.role, "content": [{"type": "text", "text": turn.text}, {"type": "media"}]}
