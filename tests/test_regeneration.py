"""The wordings of the instruction that a regeneration carries."""

from __future__ import annotations

import pytest

from candor_guard.errors import ConfigurationError
from candor_guard.policy import Policy
from candor_guard.regeneration import find_instruction, instructions


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


def test_default_exists() -> None:
    """The default policy names a wording that is shipped."""
    assert Policy().instruction in instructions()


def test_unknown() -> None:
    """An unknown name is an error that lists the known ones."""
    with pytest.raises(ConfigurationError) as caught:
        find_instruction("shout-1")
    assert "'shout-1'" in str(caught.value)
    assert all(name in str(caught.value) for name in instructions())
