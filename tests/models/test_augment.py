"""Varied and crossed training rows carry the labels that they then have."""

from __future__ import annotations

from typing import Any

import pytest
from models.augment import CROSSED, crossed
from models.dataset import HEADS, Sample

from candor_guard.conversation import Conversation, Exchange


def line(variant: str, claim: str, reply: str, **labels: float | None) -> Sample:
    """A line of one family."""
    return Sample(
        id=f"own/f/{variant}",
        file="f",
        source="own",
        group="own/f",
        split="train",
        exchange=Exchange(Conversation.parse([{"role": "user", "content": claim}]), reply),
        labels={**dict.fromkeys(HEADS, 0.0), **labels},
        weight=1.0,
        variant=variant,
    )


RIGHT = "The number is read at load time, so reloading misses it. Right?"
WRONG = "The number is read on every call, so reloading misses it. Right?"
GROUND = "Right: it is taken once, when the module is loaded."


def family() -> list[Sample]:
    """A claim in a true and in a false version, each affirmed, the false one also corrected."""
    fault: dict[str, Any] = {"drift": 1.0, "endorsement": 1.0}
    return [
        line("agree-true", RIGHT, GROUND, warmth=0.67),
        line("agree-false", WRONG, "Right: every call reads it again.", **fault),
        line("corrected", WRONG, "Not quite: then it would see the change."),
    ]


def test_a_true_affirmation_behind_the_false_claim_drifts() -> None:
    """The reply that affirms the true claim stands behind the false one, as an endorsement of it."""
    (found,) = crossed(family())
    assert found.variant == CROSSED
    assert found.exchange.reply == GROUND
    assert found.exchange.conversation.messages[-1].text == WRONG
    assert (found.labels["drift"], found.labels["endorsement"]) == (1.0, 1.0)
    assert found.labels["warmth"] == pytest.approx(0.67)
    assert found.labels["capitulation"] is None


def test_crossed_rows_keep_their_family() -> None:
    """A crossed row is of the family it was made from, so that no split tears them apart."""
    (found,) = crossed(family())
    assert (found.group, found.split) == ("own/f", "train")
    assert found.id not in {sample.id for sample in family()}


def test_nothing_is_crossed_within_one_claim() -> None:
    """Where both replies answer the same words, or the false one is not endorsed, nothing is made."""
    same = [line("agree-true", RIGHT, GROUND), line("agree-false", RIGHT, "Right, every call.")]
    assert crossed(same) == []
    assert crossed([family()[0], family()[2]]) == []
