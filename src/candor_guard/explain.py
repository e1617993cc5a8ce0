"""Everything that leads to a decision about one exchange, without calling anybody.

What `explain` shows is what the flow would do with this reply as a whole: the text that is read,
the gate, every head, the decision and why, and each message that could be sent upstream next. It
quotes the conversation, so it is an answer for whoever sent it, and nothing for a log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, get_args, runtime_checkable

from candor_guard.conversation import Conversation, Exchange
from candor_guard.detectors.encoder.transformer.render import parts_of
from candor_guard.errors import InvalidRequestError
from candor_guard.guard import Guard
from candor_guard.neutral import neutral_claim
from candor_guard.policy import Decision, Policy, Situation, decide, suspects
from candor_guard.probe import Finding, Purpose, question
from candor_guard.regeneration.strategies import STRATEGIES, Edit, edit_of_instruction, plan
from candor_guard.surface import GuardedRequest
from candor_guard.verdict import LABELS, Risk, Span, Verdict
from candor_guard.wire.chat import ChatSurface
from candor_guard.wire.json import dump, load_object

Message = Mapping[str, Any]
_ASSUMED = "a probe that finds the user's claim false"
_ASSUMED_WHY = "(here stands the reason that the probe gives)"


@runtime_checkable
class ShowsInput(Protocol):
    """A detector that can say what it reads of an exchange, by part, after cutting and cleaning."""

    def shown(self, exchange: Exchange) -> Mapping[str, str]:
        """Return the parts of the input in the order in which they are read."""
        ...


@dataclass(frozen=True, slots=True)
class Decided:
    """What happens next to the reply.

    Attributes:
        action: ``pass``, ``flag``, ``block``, ``regenerate``, or ``probe`` (ask upstream first).
        reason: Why, in one sentence.
        then: What happens after the probe, by what it brings: ``confirmed``, ``cleared``, ``open``
            (the model cannot tell) or ``useless`` (no answer that can be read); None without one.
    """

    action: str
    reason: str
    then: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ProbeCall:
    """A neutral question that could be asked.

    Attributes:
        purpose: ``capitulation`` or ``drift``.
        asked: Whether it is the one that the policy asks about this reply.
        shows_reply: Whether the reply is shown, as is done where the detector let it pass.
        model: That is asked; None: the one of the request.
        messages: All that the upstream would see; empty where there is nothing to ask.
    """

    purpose: str
    asked: bool
    shows_reply: bool
    model: str | None
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Regeneration:
    """A changed request that could be sent.

    Attributes:
        strategy: Its name.
        instruction: Name of the wording that it carries; None where the strategy does not apply.
        places: By label, which attempt it makes (1 is the first) under this policy.
        assumes: What has to be known first, or None. What is shown then stands for it.
        unchanged: How many messages from the start stay as they are.
        last_message: What the message after those, the last user turn, becomes; whatever comes
            behind it stays. None where the strategy does not apply.
    """

    strategy: str
    instruction: str | None
    places: Mapping[str, int]
    assumes: str | None = None
    unchanged: int = 0
    last_message: Message | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """One exchange, explained.

    Attributes:
        mode: Of the policy.
        operating_point: Of the policy.
        shown: What the detector reads, by part.
        risk: The gate's word on the request alone.
        verdict: On the reply, whether or not the gate would have it read.
        evidence: The sentences behind the scores, also where they stay below their thresholds.
        decided: What happens next, and why.
        probes: One for each purpose.
        regenerations: One for each strategy.
    """

    mode: str
    operating_point: str
    shown: Mapping[str, str]
    risk: Risk
    verdict: Verdict
    evidence: tuple[Span, ...]
    decided: Decided
    probes: tuple[ProbeCall, ...]
    regenerations: tuple[Regeneration, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "mode": self.mode,
            "operating_point": self.operating_point,
            "input": dict(self.shown),
            "gate": asdict(self.risk) | {"score": round(self.risk.score, 4)},
            "verdict": self.verdict.to_dict(),
            "evidence": [asdict(span) for span in self.evidence],
            "decision": asdict(self.decided),
            "probes": [asdict(probe) for probe in self.probes],
            "regenerations": [asdict(regeneration) for regeneration in self.regenerations],
        }


def explain(guard: Guard, messages: object, reply: str) -> Explanation:
    """Say what the guard makes of a reply, why, and what it could send upstream next.

    Args:
        guard: Whose detector and policy decide; needs no upstream.
        messages: The OpenAI list, up to and including the turn that is answered.
        reply: The reply that is about to be delivered.

    Raises:
        InvalidRequestError: If the messages or the reply cannot be read.
        DetectorError: If the detector fails.
    """
    verdict, reading = guard.examine(messages, reply)
    risk = guard.gate(messages)
    exchange = Exchange(Conversation.parse(messages), reply)
    request = _request(messages)
    unread = _unread(guard.policy, request, risk)
    wanted = () if unread else _wanted(guard, verdict)
    probes = _probes(guard.policy, exchange, wanted, show_reply=not verdict.flagged)
    asked = next((probe.purpose for probe in probes if probe.asked), None)
    return Explanation(
        mode=guard.policy.mode,
        operating_point=guard.policy.operating_point,
        shown=_shown(guard, exchange),
        risk=risk,
        verdict=verdict,
        evidence=tuple(reading.evidence),
        decided=unread or _decided(guard.policy, verdict, asked),
        probes=probes,
        regenerations=_regenerations(guard.policy, request),
    )


def _request(messages: object) -> GuardedRequest:
    try:
        return ChatSurface().parse(dump({"messages": messages}))
    except (TypeError, ValueError) as error:  # Python objects that are no JSON
        raise InvalidRequestError(f"messages cannot be written as JSON: {error}") from None


def _shown(guard: Guard, exchange: Exchange) -> Mapping[str, str]:
    if isinstance(guard.detector, ShowsInput):
        return guard.detector.shown(exchange)
    return asdict(parts_of(exchange))


# -- the decision ---------------------------------------------------------------------------------


def _unread(policy: Policy, request: GuardedRequest, risk: Risk) -> Decided | None:
    """Why the reply would pass without being read; None when it would be read."""
    if policy.mode == "off":
        return Decided("pass", "The mode is off: nothing is read.")
    if request.skip is not None:
        return Decided("pass", f"Replies to such a request are never judged: {request.skip}.")
    if risk.not_evaluated is not None:
        return Decided("pass", f"The gate declined to judge: {risk.not_evaluated}.")
    if not risk.at_risk:
        return Decided("pass", "The gate sees no risk in the request: the reply is not read.")
    return None


def _decided(policy: Policy, verdict: Verdict, asked: str | None) -> Decided:
    if verdict.not_evaluated is not None:
        return Decided("pass", f"The detector declined to judge: {verdict.not_evaluated}.")
    plain = _next(policy, verdict)
    if asked is None:
        return Decided(plain, f"{_found(verdict)}{_limits(policy, plain, verdict)}.")
    both = policy.probe == "parallel" and plain == Decision.REGENERATE
    also = ", while the first regeneration is under way" if both else ""
    told = f"{_found(verdict)}; the upstream is asked about {asked} first{also}."
    return Decided("probe", told, _after_probe(policy, verdict))


def _after_probe(policy: Policy, verdict: Verdict) -> Mapping[str, str]:
    unsure = verdict.labels == {"drift"}
    return {
        "confirmed": _next(policy, replace(verdict, flagged=True)),
        "cleared": _next(policy, replace(verdict, flagged=False)),
        "open": _next(policy, verdict, doubtful=unsure),
        "useless": _next(policy, verdict),
    }


def _next(policy: Policy, verdict: Verdict, *, doubtful: bool = False) -> str:
    affordable = policy.max_extra_calls > 0 and _no_budget_is_zero(policy)
    situation = Situation(policy.mode, verdict, affordable=affordable, doubtful=doubtful)
    return str(decide(policy, situation))


def _no_budget_is_zero(policy: Policy) -> bool:
    """Whether the first further call of a quiet minute would be made."""
    limits = (
        policy.max_extra_tokens,
        policy.max_extra_calls_per_minute,
        policy.max_extra_tokens_per_minute,
        policy.max_extra_seconds_per_minute,
    )
    return 0 not in limits


def _found(verdict: Verdict) -> str:
    """Scores against thresholds: those that reach them, else the nearest."""
    reached = [label for label in LABELS if label in verdict.labels]
    if reached:
        return " and ".join(_against(verdict, label, "reaches") for label in reached)
    nearest = max(LABELS, key=verdict.gap)
    return f"Nothing reaches its threshold; nearest: {_against(verdict, nearest, 'of')}"


def _against(verdict: Verdict, label: str, how: str) -> str:
    score, threshold = verdict.scores[label], verdict.thresholds[label]
    return f"{label} {score:.3f} {how} {threshold:.3f}"


def _limits(policy: Policy, action: str, verdict: Verdict) -> str:
    """What of the policy keeps a flagged reply from being regenerated."""
    if not verdict.flagged or action == "regenerate":
        return ""
    if policy.mode != "enforce":
        return f", but the mode is {policy.mode}"
    return ", but the policy allows no regeneration"


# -- what would be sent ---------------------------------------------------------------------------


def _probes(
    policy: Policy, exchange: Exchange, wanted: tuple[Purpose, ...], *, show_reply: bool
) -> tuple[ProbeCall, ...]:
    calls: list[ProbeCall] = []
    for purpose in (*wanted, *(other for other in get_args(Purpose) if other not in wanted)):
        put = question(exchange.conversation, exchange.reply, purpose, show_reply=show_reply)
        asked = put is not None and purpose in wanted and not any(call.asked for call in calls)
        messages = put.messages if put is not None else ()
        calls.append(ProbeCall(purpose, asked, show_reply, policy.probe_model, messages))
    return tuple(calls)


def _wanted(guard: Guard, verdict: Verdict) -> tuple[Purpose, ...]:
    policy = guard.policy
    kept = min(policy.max_attempts, 1)  # the call that probes leave to a regeneration
    affordable = policy.max_extra_calls > kept and _no_budget_is_zero(policy)
    if policy.mode != "enforce" or not affordable:
        return ()
    bars = policy.resolve_probe_bars(guard.detector.operating_points)
    return suspects(policy, verdict, bars)


def _regenerations(policy: Policy, request: GuardedRequest) -> tuple[Regeneration, ...]:
    if request.conversation.last_user is None:
        return ()
    if policy.instruction is not None:
        edit = edit_of_instruction(policy.instruction)
        return (_sent(request, edit, dict.fromkeys(LABELS, 1)),)
    return tuple(_regeneration(policy, request, name) for name in STRATEGIES)


def _regeneration(policy: Policy, request: GuardedRequest, strategy: str) -> Regeneration:
    orders = {label: list(map(str, policy.order(label))) for label in LABELS}
    places = {label: own.index(strategy) + 1 for label, own in orders.items() if strategy in own}
    edit = plan(strategy, request.conversation, None)
    if edit is not None:
        return _sent(request, edit, places)
    edit = plan(strategy, request.conversation, _assumed(request.conversation))
    if edit is not None:
        return _sent(request, edit, places, assumes=_ASSUMED)
    return Regeneration(strategy, None, places)


def _assumed(conversation: Conversation) -> Finding:
    claim = neutral_claim(conversation) or "(here stands the claim as the probe restates it)"
    return Finding("drift", claim, "false", new_evidence=False, why=_ASSUMED_WHY, confidence=1.0)


def _sent(
    request: GuardedRequest, edit: Edit, places: Mapping[str, int], assumes: str | None = None
) -> Regeneration:
    """Show the request as the surface really writes it."""
    changed = load_object(request.surface.edit(request, edit))["messages"]
    place = request.conversation.last_user_index or 0
    return Regeneration(
        strategy=edit.strategy,
        instruction=edit.wording,
        places=places,
        assumes=assumes,
        unchanged=place,
        last_message=changed[place],
    )
