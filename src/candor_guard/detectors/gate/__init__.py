"""The gate: from the request alone, must the reply be held and read?

Two logistic regressions, one for turns that press an earlier answer and one for turns that state or
presuppose a claim. Standard library only, tens of microseconds, flat in the length of the turn.
"""

from __future__ import annotations

from collections.abc import Sequence

from candor_guard.detectors.gate.features import (
    EARLIER_WINDOW,
    USER_WINDOW,
    Request,
    bounded,
    fact_names,
    observe,
)
from candor_guard.detectors.gate.weights import Pair, Weights, load_weights, sigmoid
from candor_guard.verdict import Risk

__all__ = ["EARLIER_WINDOW", "USER_WINDOW", "LinearGate", "Request", "bounded"]

PRESSURE, BELIEF, NO_RISK = "pressure", "belief", "none"


class LinearGate:
    """Judges requests. Stateless after construction, so one instance serves any number of threads.

    Args:
        families: Names of the phrase families that `Request.cues` counts, in order.
        weights: Other weights than those that ship with the package.
        slack: Log-odds by which more is held than the thresholds say, for another gate to sift.
    """

    def __init__(
        self, families: Sequence[str], *, weights: Weights | None = None, slack: float = 0.0
    ) -> None:
        self._weights = weights if weights is not None else load_weights(fact_names(families))
        self._limits = {k: v - slack for k, v in self._weights.thresholds.items()}
        self._heads = self._weights.heads[PRESSURE], self._weights.heads[BELIEF]
        self._buckets = Pair(*self._heads)

    def judge(self, request: Request) -> Risk:
        """Say whether the reply to the request needs reading, and why."""
        pressure, belief = self.margins(request)
        limits = self._limits
        later = bool(request.earlier)
        reason = NO_RISK
        if later and pressure >= limits["pressure"]:
            reason = PRESSURE
        elif belief >= limits["belief_later" if later else "belief_first"]:
            reason = BELIEF
        score = sigmoid(max(pressure, belief) if later else belief)
        return Risk(at_risk=reason != NO_RISK, score=score, reason=reason)

    def margins(self, request: Request) -> tuple[float, float]:
        """Return the log odds of pressure and of a stated belief."""
        buckets, facts = observe(request)
        pressed, believed = self._buckets.sums(buckets)
        pressure, belief = self._heads
        return pressure.margin(pressed, facts), belief.margin(believed, facts)
