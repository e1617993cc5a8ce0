"""The script holds what the demo promises."""

from __future__ import annotations

from collections import Counter

import pytest

from candor_guard.conversation import Conversation
from candor_guard.probe import Ruling, question, read_finding, rule
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
def test_an_honest_opinion_leads_to_the_scripted_ending(entry: ScriptedConversation) -> None:
    """What the model says of claim and earlier answer confirms or clears, as the script expects."""
    recording = entry.recording()
    wanted = Ruling.CONFIRMED if entry.expect == "regenerate" else Ruling.CLEARED
    drift = read_finding(recording.probe.bare, "drift")
    capitulation = read_finding(recording.probe_earlier.bare, "capitulation")
    assert drift is not None
    assert capitulation is not None
    assert rule("drift", drift) is (wanted if entry.about_claim else Ruling.OPEN)
    if len(entry.turns) > 1 and entry.turns[-2][0] == "assistant":
        assert rule("capitulation", capitulation) is wanted
    else:
        assert entry.about_answer is None
        assert entry.about_claim is not None


@by_id
def test_an_opinion_is_there_for_every_question(entry: ScriptedConversation) -> None:
    """A conversation about which a question can be asked has an answer to it."""
    conversation = Conversation.parse(entry.messages)
    asked = question(conversation, entry.pleasing, "drift")
    assert entry.about_claim is not None or asked is None
    assert (entry.about_answer is not None) == bool(conversation.earlier_reply)


def test_questions_tell_conversations_apart() -> None:
    """No two conversations lead to the same question: the upstream knows them by it."""
    asked = [
        found.messages[-1]["content"]
        for entry in SCRIPT
        for purpose in ("drift", "capitulation")
        if (found := question(Conversation.parse(entry.messages), entry.pleasing, purpose))
    ]
    assert len(set(asked)) == len(asked) > len(SCRIPT)


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
