"""The record of one guarded reply: truthful, complete, free of content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from candor_guard.errors import ReplyRefusedError
from candor_guard.verdict import LABELS, Risk, Verdict

SCHEMA = 1
Action = Literal["pass", "flag", "regenerate", "block", "error"]
Evaluated = Literal["full", "gate", "none", "deferred"]
CallPurpose = Literal["original", "probe", "regeneration"]
DecidedBy = Literal["classifier", "probe"]
Usage = Mapping[str, Any]
_MOST_TOKENS = 10**12
_PARTS_OF_TOTAL = (
    "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens",
)  # fmt: skip
_PARTS_OF_CHAT = ("prompt_tokens", "completion_tokens")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call to the upstream.

    Attributes:
        purpose: ``original``, ``probe`` or ``regeneration``.
        result: ``read`` (judged), ``relayed`` (not judged) or the reason why it was unusable; of a
            probe: its judgement (``supported``, ``false``, ``uncertain``, ``taste``), ``useless``
            (an answer that could not be read), ``failed`` or ``timeout``; of a request that came to
            no end: ``abandoned`` (the client left) or ``failed`` (the upstream did).
        seconds: From sending until its body had been read. A regeneration in parallel is read
            when the probe has ended.
        instruction: Name of the wording that it carried, or None.
        verdict: Of its reply, as the detector gave it, or None.
        usage: As the upstream counted it, or None when it did not say.
        strategy: Of a regeneration: how the request was changed.
        model: That was asked for, or None when the request names none.
        content: What the call changed or found, in words of the conversation; only with content
            logging, and otherwise None.
        response_id: Under which the upstream stores its reply, or None where it does not.
        failure: Of a probe or a regeneration that the upstream failed, or was too late with: name
            of the exception. Not in the ``candor`` object.
    """

    purpose: CallPurpose
    result: str
    seconds: float
    instruction: str | None = None
    verdict: Verdict | None = None
    usage: Usage | None = None
    strategy: str | None = None
    model: str | None = None
    content: Mapping[str, Any] | None = None
    response_id: str | None = None
    failure: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "purpose": self.purpose,
            "result": self.result,
            "ms": round(self.seconds * 1000, 1),
            "strategy": self.strategy,
            "instruction": self.instruction,
            "model": self.model,
            "flagged": self.verdict.flagged if self.verdict else None,
            "score": round(self.verdict.score, 4) if self.verdict else None,
            "usage": self.usage,
            **({"response_id": self.response_id} if self.response_id is not None else {}),
            **(self.content or {}),
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
        probe: What the probe said, without content (``purpose``, ``result``, ``ruling``,
            ``new_evidence``, ``confidence``); None when none was wanted. A probe that could not be
            asked any more has the result ``budget``. Its ``regenerated`` says what became of the
            one about the regenerated reply that is delivered, or, where the original is, about the
            last one: a ruling, ``useless``, ``failed``, ``timeout``, ``budget``, or None when
            there was no doubt about that reply.
        decided_by: Who decided that the first reply was, or was not, at fault.
        corrected: Whether a correction was appended to a reply that had been released.
        request_id: The proxy's id of the request.
        detector_error: What the detector failed with, if it did; never content.
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
    probe: Mapping[str, Any] | None = None
    decided_by: DecidedBy = "classifier"
    corrected: bool = False
    detector_error: str | None = None

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
        if self.evaluated == "deferred":
            return deferred_headers(self.request_id)
        pairs = [
            ("x-candor-action", self.action),
            ("x-candor-evaluated", self.evaluated),
            ("x-candor-upstream-calls", str(max(1, len(self.attempts)))),
            ("x-candor-guard-ms", f"{self.guard_seconds * 1000:.2f}"),
            ("x-candor-request-id", self.request_id),
        ]
        if self.delivered is not None:
            pairs.append(("x-candor-delivered", self.delivered))
        if labels := self.labels:
            pairs.append(("x-candor-labels", ",".join(labels)))
        if self.first_verdict is not None:
            pairs.append(("x-candor-score", f"{self.first_verdict.score:.4f}"))
        if self.probe is not None:
            pairs.append(("x-candor-probe", str(self.probe["result"])))
            pairs.append(("x-candor-decided-by", self.decided_by))
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
            "decided_by": self.decided_by,
            "probe": dict(self.probe) if self.probe is not None else None,
            "corrected": self.corrected,
            "skipped": self.skipped,
            "detector_error": self.detector_error,
            "instruction": next((a.instruction for a in self.attempts if a.instruction), None),
            "upstream_calls": max(1, len(self.attempts)),
            "guard_ms": round(self.guard_seconds * 1000, 2),
            "usage": self._split_usage(),
            "attempts": [attempt.to_dict() for attempt in self.attempts],
            "request_id": self.request_id,
        }

    def _split_usage(self) -> dict[str, Any]:
        return {
            "original": self._usage_of("original"),
            "probe": self._usage_of("probe"),
            "regenerated": self._usage_of("regeneration"),
        }

    def _usage_of(self, purpose: CallPurpose) -> Usage | None:
        known = [a.usage for a in self.attempts if a.purpose == purpose and a.usage]
        return sum_usage(known) if known else None


Observer = Callable[[Outcome], None]


def deferred_headers(request_id: str) -> list[tuple[str, str]]:
    """Return the ``x-candor-*`` response headers while nothing is decided: nothing is claimed."""
    return [("x-candor-evaluated", "deferred"), ("x-candor-request-id", request_id)]


def sum_usage(parts: list[Usage], levels: int = 8) -> dict[str, Any]:
    """Add usage objects field by field, nested details included; other values: the last one's."""
    total: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            total[key] = _added(total.get(key), value, levels - 1)
    return total


def total_tokens(usage: Usage | None) -> int:
    """Return the tokens of a usage in all; 0 where it does not tell, or tells no count.

    Formats without ``total_tokens`` count cached input apart from other input; some servers of Chat
    Completions leave it out.
    """
    if not usage:
        return 0
    if usage.get("total_tokens") is not None:
        return _tokens(usage["total_tokens"])
    complete = all(usage.get(key) is not None for key in _PARTS_OF_CHAT)
    parts = _PARTS_OF_CHAT if complete else _PARTS_OF_TOTAL
    return sum(_tokens(usage.get(key)) for key in parts)


def _tokens(told: object) -> int:
    if not isinstance(told, int) or isinstance(told, bool):
        return 0
    return told if 0 <= told <= _MOST_TOKENS else 0


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


# -- replies that the policy refuses to deliver -----------------------------------------------------


def refusal_code(outcome: Outcome) -> str:
    """Return why a reply was refused: ``unresolved`` or ``detector_error``."""
    return "unresolved" if outcome.first_verdict else "detector_error"


def refusal(code: str, candor: dict[str, object]) -> ReplyRefusedError:
    """Return the exception for a reply that the policy refuses to deliver."""
    return ReplyRefusedError(f"reply refused by policy: {code}", code=code, candor=candor)


def need_delivery(outcome: Outcome) -> None:
    """Check that there is a reply to deliver.

    Raises:
        ReplyRefusedError: If the policy refuses to deliver it.
    """
    if outcome.action == "block":
        raise refusal(refusal_code(outcome), outcome.to_dict())
