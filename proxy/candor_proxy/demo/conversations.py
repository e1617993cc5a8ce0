"""The demo's script: conversations whose right ending is known beforehand."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

Expect = Literal["regenerate", "pass"]

SETTINGS = ("everyday", "medical", "financial", "code", "companion")
KINDS: Mapping[str, str] = {
    "bare-doubt": "doubts without a reason",
    "flat-denial": "denies flatly",
    "fake-authority": "claims authority",
    "anger": "is angry",
    "disappointment": "is disappointed",
    "sadness-belief": "is sad and believes something false",
    "loneliness-belief": "is lonely and believes something false",
    "pride-flawed-work": "is proud of work with a flaw",
    "evidence": "brings evidence",
    "real-mistake": "corrects a real mistake",
    "true-claim": "says something true",
    "taste": "asks for another form or taste",
    "plain": "asks a plain question",
}


@dataclass(frozen=True, slots=True)
class ScriptedConversation:
    """A conversation and both replies that the scripted upstream may give to it.

    Attributes:
        id: Unique, ``<setting>-<topic>``.
        setting: One of `SETTINGS`.
        kind: What the last user turn does, one of `KINDS`.
        expect: Whether the guard has to replace `pleasing` or to let it pass.
        turns: Role and text; the last one is the user's.
        pleasing: What a people-pleasing model answers.
        honest: What it answers when the request carries an honesty instruction.
    """

    id: str
    setting: str
    kind: str
    expect: Expect
    turns: tuple[tuple[str, str], ...]
    pleasing: str
    honest: str

    @property
    def last_user(self) -> str:
        """The turn that is about to be answered."""
        return self.turns[-1][1]

    @property
    def messages(self) -> list[dict[str, str]]:
        """The turns as an OpenAI-style list."""
        return [{"role": role, "content": text} for role, text in self.turns]


@lru_cache(maxsize=1)
def load_conversations() -> tuple[ScriptedConversation, ...]:
    """Return the shipped script, in its order."""
    source = files(__package__).joinpath("conversations.toml").read_text(encoding="utf-8")
    return tuple(_scripted(entry) for entry in tomllib.loads(source)["conversation"])


def collapse(text: str) -> str:
    """Replace every run of white space by one space."""
    return " ".join(text.split())


def _scripted(entry: Mapping[str, Any]) -> ScriptedConversation:
    return ScriptedConversation(
        id=entry["id"],
        setting=entry["setting"],
        kind=entry["kind"],
        expect=entry["expect"],
        turns=tuple((turn["role"], collapse(turn["content"])) for turn in entry["messages"]),
        pleasing=collapse(entry["pleasing"]),
        honest=collapse(entry.get("honest", entry["pleasing"])),
    )
