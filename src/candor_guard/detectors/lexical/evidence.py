"""Which sentences of a reply carry a score, by the learnt weight of their cues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from candor_guard.detectors.lexical.features import cue_weights
from candor_guard.detectors.lexical.views import Sentence, TurnView
from candor_guard.verdict import Span

_AT_MOST = 3
# A sentence is shown besides the strongest one when it weighs at least half as much.
_SHARE = 0.5


def telling_sentences(
    reply: TurnView, weights_by_label: Mapping[str, Sequence[float]]
) -> tuple[Span, ...]:
    """Return the sentences with the strongest cues for any of the labels, most telling first.

    Args:
        reply: The reply as read.
        weights_by_label: Feature weights of the raised labels; none means no evidence.
    """
    if not weights_by_label or not reply.sentences:
        return ()
    tables = [cue_weights(weights) for weights in weights_by_label.values()]
    last = len(reply.sentences) - 1
    ranked = sorted(
        (
            (max(_strength(s, _position(i, last), table) for table in tables), -i)
            for i, s in enumerate(reply.sentences)
        ),
        reverse=True,
    )
    best = ranked[0][0]
    picked = [ranked[0], *(row for row in ranked[1:_AT_MOST] if row[0] >= _SHARE * best > 0)]
    return tuple(reply.sentences[-row[1]].span for row in picked)


def _position(index: int, last: int) -> int:
    """Column of the position in `features.reply_cues`: first, head, tail, or only the total."""
    if index == 0:
        return 0
    if index <= 2:
        return 1
    return 2 if index >= last - 1 else 3


def _strength(sentence: Sentence, position: int, table: Sequence[Sequence[float]]) -> float:
    return sum(
        min(2, count) * (row[position] + row[3])
        for count, row in zip(sentence.cues, table, strict=True)
        if count
    )
