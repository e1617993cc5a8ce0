"""Finds the recording that a request belongs to, although a guard may have edited the request.

An id comes first: ``metadata.replay_id``, or else ``user``, when a recording has that id. It is
exact, also where recordings share one conversation and differ in their honest reply only, and it
costs the client one field. Without one, or where a guard left the field out of its side calls, the
text decides:

1. the conversation itself;
2. the earlier turns are the same and the last user turn only grew (a note was appended);
3. the request carries a note or is a neutral question, so that the turn may have been put in other
   words: the recording that shares the most telling words with it, among those with the same
   earlier turns where there are any.

A reply that a neutral question shows takes no part in this; it only decides which of the recorded
answers is sent.

The last rule guesses, so it is kept to requests that say that they were edited. Recordings that
have a key and no messages are found by rules 1 and 2.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from candor_guard.conversation import Message
from candor_guard.neutral.text import clip, visible
from candor_proxy.replay.recordings import (
    Answers,
    Recording,
    Turn,
    collapse,
    conversation_key,
    turns_of,
)

MARKER = "answer honesty check"
PROBE_MARKER = "neutral claim check"
# How a neutral question shows a reply.
_SHOWN_REPLY = re.compile(r"<given_answer>\n(.*?)\n</given_answer>", re.DOTALL)
_WORD = re.compile(r"\w{2,}")
_MAX_WORDS = 4_000
_MAX_CUTS = 64
_SHOWN = 40  # characters of an answer that show that it is quoted
# How much of what is telling about a recording a rewritten request must share with it.
_LEAST_SHARED = 0.12


class Purpose(StrEnum):
    """What a request asks for."""

    PLAIN = "plain"
    HONEST = "honest"
    PROBE = "probe"


class Found(NamedTuple):
    """A recording, what is asked of it, and the answer."""

    recording: Recording
    purpose: Purpose
    text: str


def purpose_of(messages: Sequence[Message]) -> Purpose:
    """Tell what is asked by the marker words that every probe and every honesty note carries."""
    if any(has_words(m.text, PROBE_MARKER) for m in messages if m.role in ("system", "developer")):
        return Purpose.PROBE
    last = next((m.text for m in reversed(messages) if m.role == "user"), "")
    return Purpose.HONEST if has_words(last, MARKER) else Purpose.PLAIN


def has_words(text: str, words: str) -> bool:
    """Whether a text contains these lower-case words, whatever its case and line breaks."""
    return words in collapse(text).lower()


class Library:
    """The recordings, searchable.

    Args:
        recordings: With unique ids. Of equal conversations without an id the first is found.
    """

    def __init__(self, recordings: Iterable[Recording]) -> None:
        self._by_id = {recording.id: recording for recording in recordings}
        self._by_key: dict[str, Recording] = {}
        self._by_start: defaultdict[str, list[Recording]] = defaultdict(list)
        self._words: dict[str, frozenset[str]] = {}
        for recording in self._by_id.values():
            self._by_key.setdefault(recording.key, recording)
            if recording.turns:
                self._by_start[conversation_key(recording.turns[:-1])].append(recording)
                self._words[recording.id] = _words(text for _, text in recording.turns)
        self._weights = _weights(self._words.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, payload: Mapping[str, Any], messages: Sequence[Message]) -> Found | None:
        """Return what belongs to a request, or None when its conversation is unknown.

        Args:
            payload: The request.
            messages: Its messages, read.
        """
        purpose = purpose_of(messages)
        shown, rest = _shown_reply(messages) if purpose is Purpose.PROBE else ("", messages)
        recording = self._named(payload) or self._told(turns_of(rest), purpose)
        if recording is None:
            return None
        if purpose is Purpose.PROBE:
            answers = _asked_about(recording, rest)
            return Found(recording, purpose, _about_reply(answers, recording, shown))
        text = recording.plain if purpose is Purpose.PLAIN else recording.honest
        return Found(recording, purpose, text)

    def _named(self, payload: Mapping[str, Any]) -> Recording | None:
        metadata = payload.get("metadata")
        named = metadata.get("replay_id") if isinstance(metadata, Mapping) else None
        names = (name for name in (named, payload.get("user")) if isinstance(name, str))
        return next((self._by_id[name] for name in names if name in self._by_id), None)

    def _told(self, turns: tuple[Turn, ...], purpose: Purpose) -> Recording | None:
        if purpose is Purpose.PROBE:
            return self._closest(turns, self._by_id.values())
        for candidate in _readings(turns, purpose):
            found = self._same(candidate) or self._grown(candidate)
            if found is not None:
                return found
        if purpose is Purpose.PLAIN:
            return None
        same_start = self._by_start.get(conversation_key(turns[:-1]), [])
        return self._closest(turns, same_start or self._by_id.values())

    def _same(self, turns: Sequence[Turn]) -> Recording | None:
        return self._by_key.get(conversation_key(turns)) if turns else None

    def _grown(self, turns: Sequence[Turn]) -> Recording | None:
        """Find the recording whose last turn is the longest start of this one's."""
        if not turns:
            return None
        role, text = turns[-1]
        words = text.split(" ")
        same_start = self._by_start.get(conversation_key(turns[:-1]), [])
        starts = [found for found in same_start if text.startswith(found.turns[-1][1])]
        if starts:
            return max(starts, key=lambda found: len(found.turns[-1][1]))
        cuts = (" ".join(words[:end]) for end in _note_starts(words))
        keys = (conversation_key([*turns[:-1], (role, cut)]) for cut in cuts)
        return next((self._by_key[key] for key in keys if key in self._by_key), None)

    def _closest(self, turns: Sequence[Turn], candidates: Iterable[Recording]) -> Recording | None:
        asked = _words(text for _, text in turns)
        scored = [
            (self._shared(asked, recording), recording)
            for recording in candidates
            if recording.turns
        ]
        score, best = max(scored, key=lambda pair: pair[0], default=(0.0, None))
        return best if score >= _LEAST_SHARED else None

    def _shared(self, asked: frozenset[str], recording: Recording) -> float:
        """Cosine without the request's own norm: that is the same for every recording."""
        words = self._words[recording.id]
        norm = math.sqrt(sum(self._weights[word] ** 2 for word in words))
        known = math.sqrt(sum(self._weights[word] ** 2 for word in asked if word in self._weights))
        shared = sum(self._weights[word] ** 2 for word in words & asked)
        return shared / (norm * known) if norm and known else 0.0


def _shown_reply(messages: Sequence[Message]) -> tuple[str, Sequence[Message]]:
    """Return the reply that a question shows, or "", and the messages without it."""
    found = [_SHOWN_REPLY.search(m.text) for m in messages if m.role == "user"]
    shown = next((match.group(1) for match in found if match), "")
    rest = [Message(m.role, _SHOWN_REPLY.sub("", m.text)) for m in messages]
    return shown, rest


def _about_reply(answers: Answers, recording: Recording, shown: str) -> str:
    """Return the answer about the shown reply; about one that is not recorded nothing is known."""
    if _shows(shown, recording.plain):
        return answers.plain
    return answers.honest if _shows(shown, recording.honest) else answers.bare


def _shows(shown: str, reply: str) -> bool:
    """Whether a question shows this reply: whole, or its head and tail around a mark."""
    whole = collapse(clip(visible(reply).strip(), len(shown)))
    # A bracket that would end the quotation is written as another character.
    return bool(shown) and _plain_brackets(whole) == _plain_brackets(collapse(shown))


def _plain_brackets(text: str) -> str:
    return text.replace("‹", "<")


def _asked_about(recording: Recording, messages: Sequence[Message]) -> Answers:
    # A question that shows the earlier answer is about that answer, whatever its wording.
    start = recording.earlier_answer[:_SHOWN]
    shown = bool(start) and any(start in collapse(message.text) for message in messages)
    return recording.probe_earlier if shown else recording.probe


def _readings(turns: tuple[Turn, ...], purpose: Purpose) -> Iterator[tuple[Turn, ...]]:
    yield turns
    two_at_the_end = [role for role, _ in turns[-2:]] == ["user", "user"]
    if purpose is Purpose.HONEST and two_at_the_end:
        yield turns[:-1]  # the note is a message of its own


def _note_starts(words: Sequence[str]) -> Iterator[int]:
    """Where a note may start, in words: at an opening bracket."""
    starts = [index for index, word in enumerate(words) if word.startswith(("[", "(", "<"))]
    yield from starts[-_MAX_CUTS:]


def _words(texts: Iterable[str]) -> frozenset[str]:
    found: list[str] = []
    for text in texts:
        found += _WORD.findall(text.lower())
    return frozenset(found[:_MAX_WORDS])


def _weights(documents: Iterable[frozenset[str]]) -> dict[str, float]:
    """Rare words tell more: the inverse document frequency of every known word."""
    documents = list(documents)
    counts = Counter(word for words in documents for word in words)
    return {word: math.log(1 + len(documents) / count) for word, count in counts.items()}
