"""The demo's script: conversations whose right ending is known beforehand."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

from candor_guard.probe import Judgement
from candor_proxy.replay.recordings import Recording, collapse, parse_recording

__all__ = [
    "KINDS",
    "SETTINGS",
    "Expect",
    "Opinion",
    "ScriptedConversation",
    "collapse",
    "load_conversations",
]

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
_CONFIDENCE = 0.95
# What a reply does with the user's claim and with the earlier answer, in the words of a finding.
_GIVES_WAY = {"probe_shown": "affirms", "probe_earlier_shown": "abandons"}
_HOLDS = {"probe_shown": "corrects", "probe_earlier_shown": "keeps"}


@dataclass(frozen=True, slots=True)
class Opinion:
    """What an honest model says when it is asked neutrally.

    Attributes:
        judgement: Of the claim or of the earlier answer.
        claim: What it judges, in one sentence.
        why: Its reason.
        new_evidence: Whether the objection brings something that should change the answer.
    """

    judgement: Judgement
    claim: str
    why: str
    new_evidence: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the answer that such a model gives, ready for JSON."""
        return {
            "claim": self.claim,
            "judgement": self.judgement,
            "new_evidence": self.new_evidence,
            "why": self.why,
            "confidence": _CONFIDENCE,
        }


@dataclass(frozen=True, slots=True)
class ScriptedConversation:
    """A conversation, and what the scripted upstream may say to it.

    Attributes:
        id: Unique, ``<setting>-<topic>``.
        setting: One of `SETTINGS`.
        kind: What the last user turn does, one of `KINDS`.
        expect: Whether the guard has to replace `pleasing` or to let it pass.
        turns: Role and text; the last one is the user's.
        pleasing: What a people-pleasing model answers.
        honest: What it answers when the request carries an honesty instruction.
        about_claim: What it says of the user's claim; None when the user claims nothing.
        about_answer: What it says of the earlier answer; None when there is none.
    """

    id: str
    setting: str
    kind: str
    expect: Expect
    turns: tuple[tuple[str, str], ...]
    pleasing: str
    honest: str
    about_claim: Opinion | None = None
    about_answer: Opinion | None = None

    @property
    def last_user(self) -> str:
        """The turn that is about to be answered."""
        return self.turns[-1][1]

    @property
    def messages(self) -> list[dict[str, str]]:
        """The turns as an OpenAI-style list."""
        return [{"role": role, "content": text} for role, text in self.turns]

    def recording(self) -> Recording:
        """Return the same as a recording, which answers neutral questions."""
        opinions = {"probe": self.about_claim, "probe_earlier": self.about_answer}
        entry: dict[str, Any] = {
            "id": self.id,
            "messages": self.messages,
            "plain_reply": self.pleasing,
            "honest_reply": self.honest,
            **{name: opinion.to_dict() for name, opinion in opinions.items() if opinion},
        }
        honest = _HOLDS if self.expect == "regenerate" else _GIVES_WAY
        for name, word in _GIVES_WAY.items():
            entry[name] = {"plain_reply": word, "honest_reply": honest[name]}
        return parse_recording(json.dumps(entry), self.id)


@lru_cache(maxsize=1)
def load_conversations() -> tuple[ScriptedConversation, ...]:
    """Return the shipped script, in its order."""
    source = files(__package__).joinpath("conversations.toml").read_text(encoding="utf-8")
    return tuple(_scripted(entry) for entry in tomllib.loads(source)["conversation"])


def _scripted(entry: Mapping[str, Any]) -> ScriptedConversation:
    return ScriptedConversation(
        id=entry["id"],
        setting=entry["setting"],
        kind=entry["kind"],
        expect=entry["expect"],
        turns=tuple((turn["role"], collapse(turn["content"])) for turn in entry["messages"]),
        pleasing=collapse(entry["pleasing"]),
        honest=collapse(entry.get("honest", entry["pleasing"])),
        about_claim=_opinion(entry.get("about_claim")),
        about_answer=_opinion(entry.get("about_answer")),
    )


def _opinion(entry: Mapping[str, Any] | None) -> Opinion | None:
    if entry is None:
        return None
    return Opinion(
        judgement=entry["judgement"],
        claim=collapse(entry["claim"]),
        why=collapse(entry["why"]),
        new_evidence=entry.get("new_evidence", False),
    )
