"""Wordings of the honesty-preserving instruction that a regeneration carries.

They are data (``instructions.toml``): named, versioned, never edited in place, so that the name in
a reply's ``candor`` object always stands for the same words.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from candor_guard.errors import ConfigurationError

FINDING = "{finding}"


@dataclass(frozen=True, slots=True)
class Instruction:
    """A named wording.

    Attributes:
        name: ``wording-version``; goes into the record.
        idea: Where the idea comes from.
        text: What the model is told.
    """

    name: str
    idea: str
    text: str


@lru_cache(maxsize=1)
def instructions() -> dict[str, Instruction]:
    """Return all shipped wordings by name."""
    source = files(__package__).joinpath("instructions.toml").read_text(encoding="utf-8")
    entries = tomllib.loads(source)
    return {
        name: Instruction(name, entry["idea"], " ".join(entry["text"].split()))
        for name, entry in entries.items()
    }


def find_instruction(name: str) -> Instruction:
    """Return the wording of that name.

    Raises:
        ConfigurationError: If there is none.
    """
    known = instructions()
    if name not in known:
        raise ConfigurationError(f"unknown instruction {name!r}; known: {', '.join(sorted(known))}")
    return known[name]


def find_plain_instruction(name: str) -> Instruction:
    """Return the wording of that name, to be used as it stands.

    Raises:
        ConfigurationError: If there is none, or it has a place for a probe's finding.
    """
    found = find_instruction(name)
    if FINDING in found.text:
        raise ConfigurationError(
            f"instruction {name!r} hands over a probe's finding; set the strategy 'grounded' instead"
        )
    return found
