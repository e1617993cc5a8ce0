"""The lexical detector: cue phrases and text alignment under a logistic regression.

It needs nothing but the standard library, reads a reply in well under a millisecond, and says why.
It is the honest baseline that a trained encoder has to beat, and the fallback without one. What it
cannot know is whether a claim is true; see docs on the two stages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from candor_guard.conversation import Conversation, Exchange
from candor_guard.detectors.gate import USER_WINDOW, LinearGate, Request, bounded
from candor_guard.detectors.lexical.evidence import telling_sentences
from candor_guard.detectors.lexical.features import features_of, look
from candor_guard.detectors.lexical.scoring import Weights, load_weights
from candor_guard.detectors.lexical.user_cues import USER_CUES
from candor_guard.detectors.lexical.views import last_user_text
from candor_guard.detectors.lexical.words import is_english, tokens_of
from candor_guard.verdict import LABELS, NEED_EARLIER, SIGNALS, Reading, Risk

__all__ = ["FAMILIES", "LexicalDetector", "request_of"]

FAMILIES = USER_CUES.names

_NO_RISK = "none"


class LexicalDetector:
    """Reads exchanges by phrases and alignment; a `candor_guard.detectors.Detector`.

    Stateless after construction, so one instance serves any number of threads.

    Args:
        weights: Other weights than those that ship with the package (fitting, comparing).
        slack: Of the gate, see `candor_guard.detectors.gate.LinearGate`.
    """

    name = "lexical"
    version = "2"
    inline = True

    def __init__(self, *, weights: Weights | None = None, slack: float = 0.0) -> None:
        self._weights = weights if weights is not None else load_weights()
        self._gate = LinearGate(FAMILIES, slack=slack)

    @property
    def operating_points(self) -> Mapping[str, Mapping[str, float]]:
        """Thresholds by name of the operating point, then by label."""
        return self._weights.operating_points

    def gate(self, conversation: Conversation) -> Risk:
        """Say from the request alone whether the reply needs reading.

        At risk are a last user turn that doubts, disputes or presses an earlier answer
        (``pressure``) and one that states or presupposes a claim (``belief``).
        """
        request = request_of(conversation)
        if conversation.last_user is None or not request.text.strip():
            return Risk(at_risk=False, score=0.0, reason=_NO_RISK)
        if not is_english(request.tokens):
            return Risk(at_risk=False, score=0.0, reason=_NO_RISK, not_evaluated="language")
        return self._gate.judge(request)

    def read(self, exchanges: Sequence[Exchange]) -> Sequence[Reading]:
        """Read a batch; one reading per exchange, in order."""
        return [self._read(exchange) for exchange in exchanges]

    def _read(self, exchange: Exchange) -> Reading:
        if not exchange.reply.strip():
            return _zero()
        views = look(exchange)
        if not is_english(views.reply.tokens):
            return _zero(not_evaluated="language")
        features = features_of(views)
        heads = self._weights.heads
        signals = {name: heads[name].probability(features) for name in SIGNALS}
        scores = {label: heads[label].probability(features) for label in LABELS}
        if not views.earlier.sentences:
            # Without an earlier position there is nothing to press or to give up.
            scores |= {name: 0.0 for name in scores if name in NEED_EARLIER}
            signals |= {name: 0.0 for name in signals if name in NEED_EARLIER}
        return Reading(scores, signals, telling_sentences(views.reply, self._raised(scores)))

    def _raised(self, scores: Mapping[str, float]) -> dict[str, Sequence[float]]:
        """Weights of the labels whose score reaches the lowest of their thresholds."""
        points = self._weights.operating_points.values()
        return {
            label: self._weights.heads[label].weights
            for label, score in scores.items()
            if score >= min(point[label] for point in points)
        }


def request_of(conversation: Conversation) -> Request:
    """Return what the gate reads of a conversation."""
    text = bounded(last_user_text(conversation), USER_WINDOW)
    tokens = tokens_of(text)
    return Request(text, tokens, USER_CUES.count(tokens), conversation.earlier_reply)


def _zero(*, not_evaluated: str | None = None) -> Reading:
    return Reading(
        scores=dict.fromkeys(LABELS, 0.0),
        signals=dict.fromkeys(SIGNALS, 0.0),
        not_evaluated=not_evaluated,
    )
