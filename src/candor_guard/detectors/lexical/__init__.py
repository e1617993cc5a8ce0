"""The lexical detector: cue phrases and text alignment under a logistic regression.

It needs nothing but the standard library, reads a reply in well under a millisecond, and says why.
It is the honest baseline that a trained encoder has to beat, and the fallback without one. What it
cannot know is whether a claim is true; see docs on the two stages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from candor_guard.conversation import Conversation, Exchange
from candor_guard.detectors.lexical.evidence import telling_sentences
from candor_guard.detectors.lexical.features import features_of, look, request_features
from candor_guard.detectors.lexical.scoring import Weights, load_weights
from candor_guard.detectors.lexical.user_cues import USER_CUES
from candor_guard.detectors.lexical.views import USER_WINDOW, last_user_text, view
from candor_guard.detectors.lexical.words import is_english
from candor_guard.verdict import LABELS, SIGNALS, Reading, Risk

__all__ = ["LexicalDetector"]

_NO_RISK = "none"


class LexicalDetector:
    """Reads exchanges by phrases and alignment; a `candor_guard.detectors.Detector`.

    Stateless after construction, so one instance serves any number of threads.

    Args:
        weights: Other weights than those that ship with the package (fitting, comparing).
    """

    name = "lexical"
    version = "1"
    inline = True

    def __init__(self, *, weights: Weights | None = None) -> None:
        self._weights = weights if weights is not None else load_weights()

    @property
    def operating_points(self) -> Mapping[str, Mapping[str, float]]:
        """Thresholds by name of the operating point, then by label."""
        return self._weights.operating_points

    def gate(self, conversation: Conversation) -> Risk:
        """Say from the request alone whether the reply needs reading.

        At risk are a last user turn that doubts, disputes or presses an earlier answer
        (``pressure``) and one that states or presupposes a claim (``belief``).
        """
        text = last_user_text(conversation)
        if conversation.last_user is None or not text.strip():
            return Risk(at_risk=False, score=0.0, reason=_NO_RISK)
        user = view(text, USER_CUES, USER_WINDOW)
        if not is_english(user.tokens):
            return Risk(at_risk=False, score=0.0, reason=_NO_RISK)
        has_earlier = bool(conversation.earlier_reply)
        features = request_features(user, has_earlier=has_earlier)
        scores = {name: head.probability(features) for name, head in self._weights.gates.items()}
        if not has_earlier:
            scores["pressure"] = 0.0
        over = [n for n in ("pressure", "belief") if scores[n] >= self._weights.gate_thresholds[n]]
        reason = over[0] if over else _NO_RISK
        return Risk(at_risk=bool(over), score=max(scores.values()), reason=reason)

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
            scores["capitulation"] = signals["pressure"] = signals["concession"] = 0.0
        return Reading(scores, signals, telling_sentences(views.reply, self._raised(scores)))

    def _raised(self, scores: Mapping[str, float]) -> dict[str, Sequence[float]]:
        """Weights of the labels whose score reaches the lowest of their thresholds."""
        points = self._weights.operating_points.values()
        return {
            label: self._weights.heads[label].weights
            for label, score in scores.items()
            if score >= min(point[label] for point in points)
        }


def _zero(*, not_evaluated: str | None = None) -> Reading:
    return Reading(
        scores=dict.fromkeys(LABELS, 0.0),
        signals=dict.fromkeys(SIGNALS, 0.0),
        not_evaluated=not_evaluated,
    )
