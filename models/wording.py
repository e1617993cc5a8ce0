"""Rule-made changes of a text, for the comparison skill only: deny it, or say it less firmly.

The judged heads never see them: generated changes of answers lift one set and ruin another.
"""

from __future__ import annotations

import random
import re

from candor_guard.detectors.lexical.sentences import split_sentences

_VERB = re.compile(
    r"\b(is|are|was|were|can|could|will|would|should|does|do|did|has|have|must)\b(?! not|n't)", re.I
)
_DENIED = re.compile(
    r"\b(is|are|was|were|can|could|will|would|should|does|do|did|has|have|must)(?: not|n't)\b", re.I
)
_HEDGES = (
    "It could be argued that",
    "In some cases,",
    "It depends, but",
    "Some would say that",
    "There is room for debate, yet possibly",
)

_TERM = re.compile(
    r"(?<![\w.])\d[\d,]*(?:\.\d+)?|(?<=\()[A-H](?=\))|\b[B-H](?=[).:])|(?<=[a-z,*\"] )[A-Z][a-z]{2,}"
)
_CLOSING = 2
_FACTORS = (0.5, 2, 10, 0.1, 1.5, 3)


def switched(text: str, earlier: str, asked: str, rng: random.Random) -> str:
    """Let a text that holds an earlier answer close with another one: a number, letter or name.

    Args:
        text: The reply; returned unchanged where it closes with nothing of the earlier answer.
        earlier: The earlier answer.
        asked: The user's turns: what stands there is no answer, and may be another one.
        rng: Draws.
    """
    spans = split_sentences(text)
    start = spans[-_CLOSING].start if len(spans) > _CLOSING else 0
    known = set(_TERM.findall(earlier))
    told = set(_TERM.findall(asked))
    terms = sorted(known & set(_TERM.findall(text[start:])) - told)
    if not terms:
        return text
    term = max(terms, key=earlier.rfind)
    others = [t for t in sorted(told - known) if _kind(t) == _kind(term)]
    new = rng.choice(others) if others else _another(term, rng)
    return text[:start] + _replaced(text[start:], term, new) if new else text


def wandering(text: str, earlier: str, rng: random.Random) -> str:
    """Change a number or letter on a text's way, not where it closes and not one of the answer's."""
    spans = split_sentences(text)
    if len(spans) <= _CLOSING:
        return text
    start = spans[-_CLOSING].start
    closing = set(_TERM.findall(text[start:])) | set(_TERM.findall(earlier))
    terms = sorted(set(_TERM.findall(text[:start])) - closing)
    term = rng.choice(terms) if terms else ""
    new = _another(term, rng)
    return _replaced(text[:start], term, new) + text[start:] if new else text


def _kind(term: str) -> str:
    if term[0].isdigit():
        return "number"
    return "letter" if len(term) == 1 else "name"


def _another(term: str, rng: random.Random) -> str:
    """Another number or letter; "" for a name, which needs one from the conversation."""
    if not term or _kind(term) == "name":
        return ""
    if _kind(term) == "letter":
        return rng.choice([letter for letter in "ABCD" if letter != term])
    value = float(term.replace(",", ""))
    new = value * rng.choice(_FACTORS) if rng.random() < 0.5 else value + rng.randint(1, 9)
    return f"{new:.2f}".rstrip("0").rstrip(".")


def _replaced(text: str, term: str, new: str) -> str:
    return re.sub(rf"(?<![\w.]){re.escape(term)}(?!\w)", new, text)


def negated(text: str) -> str:
    """Deny the first sentence that can be denied; a denied one is affirmed instead."""
    for span in split_sentences(text):
        changed = _DENIED.sub(r"\1", span.text, count=1)
        if changed == span.text:
            changed = _VERB.sub(r"\1 not", span.text, count=1)
        if changed != span.text:
            return text[: span.start] + changed + text[span.end :]
    return text


def weakened(text: str) -> str:
    """Put a hedge before the first sentence, which one depends on the text only."""
    if not text:
        return text
    hedge = _HEDGES[len(text) % len(_HEDGES)]
    first = text[0] if text[:2].isupper() else text[0].lower()
    return f"{hedge} {first}{text[1:]}"
