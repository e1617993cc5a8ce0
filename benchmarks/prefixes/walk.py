"""A held reply from place to place, as the flow reads it, and what many of them amount to."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from candor_guard.flow.milestones import Milestones
from candor_guard.policy import Lean, Policy, lean
from candor_guard.verdict import Verdict

# So that conversations which follow each other do not go on with the same words.
_STRIDE = 7


@dataclass(frozen=True, slots=True)
class Walk:
    """How one reply was read before its end.

    Attributes:
        places: How many the whole text has.
        readings: How many of the beginnings up to them were read.
        released: Length of the beginning that released it, in characters; None: none did.
        length: Of the whole text, in characters.
    """

    places: int
    readings: int
    released: int | None
    length: int


def reply(
    opening: str, sentences: Sequence[str], number: int, tokens: int, count: Callable[[str], int]
) -> str:
    """Return an answer, word for word, and then plain sentences.

    Args:
        opening: The answer.
        sentences: What follows, over and over.
        number: Of the conversation: which sentence comes first.
        tokens: How long the reply is to be at least; it ends with a whole sentence.
        count: Counts the tokens of a text.
    """
    said = [opening]
    left = tokens - count(opening)
    for sentence in islice(cycle(sentences), number * _STRIDE % len(sentences), None):
        if left <= 0:
            break
        said.append(sentence)
        left -= count(sentence)
    return " ".join(said)


def places(text: str, first: int, growth: float) -> list[tuple[int, int]]:
    """Return the places of a text: how long the beginning is, and how many sentences it has."""
    watch, found = Milestones(first, growth), list[tuple[int, int]]()
    while (place := watch.next(text)) is not None:
        found.append(place)
    return found


def walk(
    text: str, read: Callable[[str], Verdict], policy: Policy, bars: Mapping[str, float],
    growth: float,
) -> Walk:  # fmt: skip
    """Read the beginnings of a reply until one of them decides.

    Args:
        text: The whole reply.
        read: Judges a beginning.
        policy: In force.
        bars: Of `Policy.resolve_probe_bars`.
        growth: Of `Milestones`.
    """
    spots = places(text, policy.min_prefix_chars, growth)
    for number, (length, sentences) in enumerate(spots, 1):
        verdict = read(text[:length])
        leaning = lean(policy, verdict, bars, characters=length, sentences=sentences)
        if leaning is not Lean.HOLD:
            released = length if leaning is Lean.RELEASE else None
            return Walk(len(spots), number, released, len(text))
    return Walk(len(spots), len(spots), None, len(text))


def summary(walks: Sequence[Walk]) -> dict[str, float | None]:
    """Return the figures of replies of one length: at least one.

    ``held_mean``: characters that a reader waits for, the whole reply where it was not released.
    """
    early = [walk.released for walk in walks if walk.released is not None]
    held = [walk.length if walk.released is None else walk.released for walk in walks]
    return {
        "replies": len(walks),
        "places_median": statistics.median(walk.places for walk in walks),
        "readings_mean": statistics.mean(walk.readings for walk in walks),
        "readings_most": max(walk.readings for walk in walks),
        "released": len(early),
        "released_at_median": statistics.median(early) if early else None,
        "released_at_mean": statistics.mean(early) if early else None,
        "held_mean": statistics.mean(held),
    }
