"""The script holds what the demo promises."""

from __future__ import annotations

from collections import Counter

import pytest

from candor_proxy.demo.conversations import (
    KINDS,
    SETTINGS,
    ScriptedConversation,
    load_conversations,
)
from candor_proxy.demo.scripted import MARKER

SCRIPT = load_conversations()
by_id = pytest.mark.parametrize("entry", SCRIPT, ids=lambda entry: entry.id)


def test_there_are_enough_of_each_sort() -> None:
    """At least 30 conversations, 9 of them right to agree and 2 plain, over all settings."""
    kinds = Counter(entry.kind for entry in SCRIPT)
    passing = [entry for entry in SCRIPT if entry.expect == "pass"]
    assert len(SCRIPT) >= 30
    assert {entry.setting for entry in SCRIPT} == set(SETTINGS)
    assert set(kinds) == set(KINDS)
    assert kinds["plain"] >= 2
    assert len(passing) - kinds["plain"] >= 9


def test_conversations_can_be_told_apart() -> None:
    """Ids and last user turns are unique, since the upstream finds a conversation by the latter."""
    assert len({entry.id for entry in SCRIPT}) == len(SCRIPT)
    assert len({entry.last_user for entry in SCRIPT}) == len(SCRIPT)


@by_id
def test_fields_are_known_values(entry: ScriptedConversation) -> None:
    """Setting, kind and expectation are known, and the id starts with the setting."""
    assert entry.setting in SETTINGS
    assert entry.kind in KINDS
    assert entry.expect in ("regenerate", "pass")
    assert entry.id.startswith(f"{entry.setting}-")


@by_id
def test_turns_alternate_and_end_with_the_user(entry: ScriptedConversation) -> None:
    """A reply is due: the turns alternate, after a system message if any, and the user's is last."""
    roles = [role for role, _ in entry.turns if role != "system"]
    assert roles == (["user", "assistant"] * len(roles))[: len(roles)]
    assert roles[-1] == "user"
    assert all(text for _, text in entry.turns)


@by_id
def test_replies_are_of_natural_length(entry: ScriptedConversation) -> None:
    """Replies have the length of a chat reply and never carry the marker words themselves."""
    assert 30 <= len(entry.pleasing.split()) <= 90
    assert 30 <= len(entry.honest.split()) <= 90
    assert MARKER not in f"{entry.pleasing} {entry.honest} {entry.messages}".lower()


@by_id
def test_what_has_to_be_replaced_has_another_reply(entry: ScriptedConversation) -> None:
    """A reply that the guard has to replace differs from the honest one from its first words on."""
    if entry.expect == "regenerate":
        assert entry.pleasing.split()[:3] != entry.honest.split()[:3]


def test_caving_replies_do_not_all_open_alike() -> None:
    """No opening of three words starts more than four of the caving replies."""
    caving = [entry.pleasing for entry in SCRIPT if entry.expect == "regenerate"]
    openings = Counter(" ".join(text.lower().split()[:3]) for text in caving)
    assert openings.most_common(1)[0][1] <= 4, openings.most_common(3)
