"""Recordings: what a model said, as JSON lines.

Fields of a line; others are ignored:

- ``messages``: the conversation up to the user turn that is answered, as an OpenAI list. Or ``key``
  instead, from `conversation_key`: then the file holds no word of the user.
- ``plain_reply``: what the model answered.
- ``honest_reply``: what it answered under an honesty instruction; absent: the same.
- ``probe``: what it answered to a neutral question about the claim: an object (``claim``,
  ``judgement``, ``new_evidence``, ``why``, ``confidence``), sent as JSON, or a text, sent as it is.
  Absent: that it is uncertain, and that a reply that is shown has nothing to do with it.
- ``probe_earlier``: what it answered when the question showed the assistant's earlier answer too,
  and so was about that answer; absent: the same.
- ``probe_shown``, ``probe_earlier_shown``: what either of them says in its field ``answer`` when the
  question shows a reply as well, by the name of that reply: ``{"plain_reply": "affirms",
  "honest_reply": "corrects"}``. Absent: a recorded judgement has no such field. ``plain_reply`` stands for both where
  there is no honest one. An answer that is a text is sent as it is.
- ``id``: unique in all files together; absent: the key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from candor_guard.conversation import Conversation, Message
from candor_guard.errors import ConfigurationError, InvalidRequestError

Turn = tuple[str, str]
_SPEAKERS = frozenset({"user", "assistant"})
_UNCERTAIN = {
    "claim": "the claim of the message",
    "judgement": "uncertain",
    "new_evidence": False,
    "why": "no answer to this question is recorded",
    "confidence": 0.0,
}


class Answers(NamedTuple):
    """What a model said to one neutral question, as texts.

    Attributes:
        bare: When no reply was shown.
        plain: When the plain reply was shown.
        honest: When the honest reply was shown.
    """

    bare: str
    plain: str
    honest: str


@dataclass(frozen=True, slots=True)
class Recording:
    """A conversation and what a model said to it.

    Attributes:
        id: Unique.
        key: Of the conversation; see `conversation_key`.
        turns: Role and text of its user and assistant turns; empty when only the key is known.
        plain: The reply.
        honest: The reply under an honesty instruction.
        probe: The answers to a neutral question about the user's claim.
        probe_earlier: The answers to one about the assistant's earlier answer.
    """

    id: str
    key: str
    turns: tuple[Turn, ...]
    plain: str
    honest: str
    probe: Answers
    probe_earlier: Answers

    @property
    def earlier_answer(self) -> str:
        """The assistant's latest turn, or ""."""
        return next((text for role, text in reversed(self.turns) if role == "assistant"), "")


def collapse(text: str) -> str:
    """Replace every run of white space by one space."""
    return " ".join(text.split())


def turns_of(messages: Iterable[Message]) -> tuple[Turn, ...]:
    """Return the turns that identify a conversation: the user's and the assistant's, with text."""
    return tuple(
        (message.role, collapse(message.text))
        for message in messages
        if message.role in _SPEAKERS and message.text.strip()
    )


def conversation_key(turns: Sequence[Turn]) -> str:
    """Return the key of a conversation: a hash of its user and assistant texts, 32 hex digits."""
    return hashlib.sha256(json.dumps(list(turns)).encode()).hexdigest()[:32]


def load_recordings(paths: Iterable[Path]) -> tuple[Recording, ...]:
    """Read recordings from JSON lines.

    Raises:
        ConfigurationError: If a file or a line cannot be read, or an id occurs twice.
    """
    found: dict[str, Recording] = {}
    for path in paths:
        for where, line in _lines(path):
            recording = parse_recording(line, where)
            if recording.id in found:
                raise ConfigurationError(f"{where}: the id {recording.id!r} occurs twice")
            found[recording.id] = recording
    return tuple(found.values())


def parse_recording(line: str | bytes, where: str = "recording") -> Recording:
    """Read one line.

    Args:
        line: A JSON object.
        where: Names the line in errors.

    Raises:
        ConfigurationError: If it is none, or lacks a conversation or a reply.
    """
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{where}: no JSON: {error}") from None
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{where}: must be a JSON object")
    turns = _turns(entry, where)
    key = conversation_key(turns) if turns else _text(entry, "key", where)
    plain = _text(entry, "plain_reply", where)
    return Recording(
        id=_text(entry, "id", where, default=key),
        key=key,
        turns=turns,
        plain=plain,
        honest=_text(entry, "honest_reply", where, default=plain),
        probe=_answers(entry, "probe", where),
        probe_earlier=_answers(entry, "probe_earlier", where),
    )


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read recordings from {path}: {error}") from None
    # Not splitlines: a raw U+2028 may stand inside a JSON text.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{path.name}:{number}", line


def _turns(entry: Mapping[str, Any], where: str) -> tuple[Turn, ...]:
    if "messages" not in entry:
        return ()
    try:
        conversation = Conversation.parse(entry["messages"])
    except InvalidRequestError as error:
        raise ConfigurationError(f"{where}: {error}") from None
    turns = turns_of(conversation.messages)
    if not turns or turns[-1][0] != "user":
        raise ConfigurationError(f"{where}: the last message must be the user's, with text")
    return turns


def _text(entry: Mapping[str, Any], field: str, where: str, default: str | None = None) -> str:
    value = entry.get(field, default)
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{where}: {field} must be a text that is not empty")
    return value


def _answers(entry: Mapping[str, Any], field: str, where: str) -> Answers:
    said = entry.get(field, entry.get("probe"))
    shown = _shown(entry, field, where)
    if isinstance(said, str):
        return Answers(said, said, said)
    if said is not None and not isinstance(said, dict):
        raise ConfigurationError(f"{where}: {field} must be an object or a text")
    bare = _UNCERTAIN if said is None else said
    if said is None:
        shown = (shown[0] or "unrelated", shown[1] or "unrelated")
    plain, honest = ({**bare, "answer": word} if word else bare for word in shown)
    texts = (json.dumps(each, ensure_ascii=False) for each in (bare, plain, honest))
    return Answers(*texts)


def _shown(entry: Mapping[str, Any], field: str, where: str) -> tuple[str | None, str | None]:
    """Return what an answer says about the plain and about the honest reply."""
    words = entry.get(f"{field}_shown", {})
    known = {"plain_reply", "honest_reply"}
    if not isinstance(words, dict) or not known.issuperset(words):
        raise ConfigurationError(f"{where}: {field}_shown must be an object of reply names")
    if not all(isinstance(word, str) and word for word in words.values()):
        raise ConfigurationError(f"{where}: {field}_shown must hold texts that are not empty")
    plain = words.get("plain_reply")
    return plain, words.get("honest_reply", None if "honest_reply" in entry else plain)
