"""Rule-made changes of a text, for the comparison skill only: deny it, or say it less firmly.

The judged heads never see them: generated changes of answers lift one set and ruin another.
"""

from __future__ import annotations

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
