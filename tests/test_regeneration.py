"""The wordings of the instruction that a regeneration carries."""

from __future__ import annotations

import pytest

from candor_guard.conversation import Conversation
from candor_guard.errors import ConfigurationError
from candor_guard.policy import Policy
from candor_guard.probe import Finding
from candor_guard.regeneration import find_instruction, instructions
from candor_guard.regeneration.strategies import plan
from candor_guard.verdict import LABELS


@pytest.mark.parametrize("name", sorted(instructions()))
def test_wordings(name: str) -> None:
    """Every wording is one line, is marked, asks to hide itself, and has a version."""
    instruction = find_instruction(name)
    assert instruction.name == name
    assert instruction.idea
    assert "answer honesty check" in instruction.text
    assert "not written by the user" in instruction.text
    assert "Do not mention this note." in instruction.text
    assert "\n" not in instruction.text
    assert instruction.text.startswith("[")
    assert instruction.text.endswith("]")
    assert name.rpartition("-")[2].isdigit()


@pytest.mark.parametrize("label", LABELS)
def test_default_exists(label: str) -> None:
    """The default policy leads to wordings that are shipped."""
    turns = [{"role": "user", "content": "I am sure that 7 is not prime."}]
    finding = Finding("drift", "7 is not prime.", "false", False, "It is.", 0.9)
    for strategy in Policy().order(label):
        edit = plan(strategy, Conversation.parse(turns), finding)
        assert edit is not None
        assert edit.wording in instructions()


def test_unknown() -> None:
    """An unknown name is an error that lists the known ones."""
    with pytest.raises(ConfigurationError) as caught:
        find_instruction("shout-1")
    assert "'shout-1'" in str(caught.value)
    assert all(name in str(caught.value) for name in instructions())
