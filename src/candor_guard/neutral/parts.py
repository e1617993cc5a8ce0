"""The pieces of a user turn by what they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["claim", "evidence", "question", "feeling", "identity", "stake", "pressure", "other"]


@dataclass(frozen=True, slots=True)
class Part:
    """A sentence, or one clause of a sentence that mixes kinds.

    Attributes:
        text: As the user wrote it.
        kind: What it does: claim (says that something is so), evidence (could be checked: a
            source, a figure with its origin, a calculation, code, a quotation), question (asks,
            or asks for, something), feeling, identity (who the user is), stake (what depends on
            the answer), pressure (doubts, disputes or insists without a claim), other.
    """

    text: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Sifted:
    """All parts of a turn, in their order."""

    parts: tuple[Part, ...]

    def of(self, *kinds: Kind) -> tuple[str, ...]:
        """Return the texts of the parts of these kinds, in their order."""
        return tuple(part.text for part in self.parts if part.kind in kinds)
