"""The record of one guarded reply: truthful, complete, free of content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from candor_guard.verdict import LABELS, Risk, Verdict

SCHEMA = 1
Action = Literal["pass", "flag", "regenerate", "block", "error"]
Evaluated = Literal["full", "gate", "none", "deferred"]
Usage = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call to the upstream.

    Attributes:
        purpose: ``original`` or ``regeneration``.
        result: ``read`` (judged), ``relayed`` (not judged) or the reason why it was unusable.
        seconds: From sending to the end of its body.
        instruction: Name of the wording that it carried, or None.
        verdict: Of its reply, or None.
        usage: As the upstream counted it, or None when it did not say.
    """

    purpose: Literal["original", "regeneration"]
    result: str
    seconds: float
    instruction: str | None = None
    verdict: Verdict | None = None
    usage: Usage | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "purpose": self.purpose,
            "result": self.result,
            "ms": round(self.seconds * 1000, 1),
            "instruction": self.instruction,
            "flagged": self.verdict.flagged if self.verdict else None,
            "score": round(self.verdict.score, 4) if self.verdict else None,
            "usage": self.usage,
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to one request.

    Attributes:
        action: pass, flag, regenerate, block or error (the detector failed; never a pass).
        evaluated: full (reply read), gate (request only), none, or deferred (not known yet when
            the headers had to leave).
        mode: The mode in force.
        delivered: Which reply the client got; None when blocked.
        detector: ``name@version``.
        verdict: Of the delivered reply, or of the last one when blocked; None when not read.
        first_verdict: Of the original reply; equals `verdict` unless regenerated.
        risk: Of the request; None when the gate did not run.
        skipped: Why a reply was delivered unread or could not be replaced, or None.
        attempts: Every upstream call, in order.
        guard_seconds: Time spent in gate and detector.
        request_id: The proxy's id of the request.
    """

    action: Action
    evaluated: Evaluated
    mode: str
    delivered: Literal["original", "regenerated"] | None
    detector: str
    request_id: str
    verdict: Verdict | None = None
    first_verdict: Verdict | None = None
    risk: Risk | None = None
    skipped: str | None = None
    attempts: tuple[Attempt, ...] = ()
    guard_seconds: float = 0.0

    @property
    def labels(self) -> list[str]:
        """Labels of the first verdict (what was found), in a fixed order."""
        found = self.first_verdict.labels if self.first_verdict else frozenset()
        return [label for label in LABELS if label in found]

    @property
    def usage(self) -> Usage | None:
        """Usage summed over all calls, field by field; None when no call told its usage."""
        known = [attempt.usage for attempt in self.attempts if attempt.usage is not None]
        return sum_usage(known) if known else None

    def headers(self) -> list[tuple[str, str]]:
        """Return the ``x-candor-*`` response headers. Values never contain user text."""
        pairs = [
            ("x-candor-action", self.action),
            ("x-candor-evaluated", self.evaluated),
            ("x-candor-upstream-calls", str(max(1, len(self.attempts)))),
            ("x-candor-guard-ms", f"{self.guard_seconds * 1000:.2f}"),
            ("x-candor-request-id", self.request_id),
        ]
        if self.delivered is not None:
            pairs.append(("x-candor-delivered", self.delivered))
        if self.labels:
            pairs.append(("x-candor-labels", ",".join(self.labels)))
        if self.first_verdict is not None:
            pairs.append(("x-candor-score", f"{self.first_verdict.score:.4f}"))
        if self.skipped is not None:
            pairs.append(("x-candor-skipped", self.skipped))
        return pairs

    def to_dict(self) -> dict[str, Any]:
        """Return the ``candor`` object that annotates a reply."""
        first, final = self.first_verdict, self.verdict
        return {
            "schema": SCHEMA,
            "action": self.action,
            "evaluated": self.evaluated,
            "mode": self.mode,
            "delivered": self.delivered,
            "labels": self.labels,
            "scores": _rounded(first),
            "delivered_scores": _rounded(final),
            "thresholds": dict(first.thresholds) if first else None,
            "detector": self.detector,
            "skipped": self.skipped,
            "instruction": next((a.instruction for a in self.attempts if a.instruction), None),
            "upstream_calls": max(1, len(self.attempts)),
            "guard_ms": round(self.guard_seconds * 1000, 2),
            "usage": self._split_usage(),
            "attempts": [attempt.to_dict() for attempt in self.attempts],
            "request_id": self.request_id,
        }

    def _split_usage(self) -> dict[str, Any]:
        first = [a.usage for a in self.attempts if a.purpose == "original" and a.usage]
        later = [a.usage for a in self.attempts if a.purpose == "regeneration" and a.usage]
        return {
            "original": first[0] if first else None,
            "regenerated": sum_usage(later) if later else None,
        }


Observer = Callable[[Outcome], None]


def sum_usage(parts: list[Usage], levels: int = 8) -> dict[str, Any]:
    """Add usage objects field by field, nested details included; other values: the last one's."""
    total: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            total[key] = _added(total.get(key), value, levels - 1)
    return total


def _added(left: Any, right: Any, levels: int) -> Any:
    if isinstance(right, Mapping):
        both = isinstance(left, Mapping) and levels > 0
        return sum_usage([left, right], levels) if both else dict(right)
    if _is_number(left) and _is_number(right):
        return left + right
    return left if right is None else right


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _rounded(verdict: Verdict | None) -> dict[str, float] | None:
    return {k: round(v, 4) for k, v in verdict.scores.items()} if verdict else None
