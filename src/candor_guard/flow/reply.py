"""One guarded reply: send, gate, pass on what is not at risk, hold and judge what is."""

from __future__ import annotations

from collections.abc import Generator

from candor_guard.errors import DetectorError, InvalidRequestError, UpstreamError
from candor_guard.flow import probing
from candor_guard.flow.candidate import Candidate
from candor_guard.flow.hold import hand_over, read, release
from candor_guard.flow.repair import correct, settle
from candor_guard.flow.session import Session, extent
from candor_guard.flow.steps import (
    Answer,
    Close,
    Flow,
    FlowContext,
    Gate,
    Head,
    Hold,
    Relay,
    ReplyHead,
    Send,
    Start,
    Step,
    ask,
)
from candor_guard.outcome import Action, Evaluated
from candor_guard.policy import Decision, Situation, decide, suspects
from candor_guard.verdict import Risk


def guard_flow(context: FlowContext) -> Flow:
    """Guard one request; returns its `Outcome`."""
    session = Session(context)
    try:
        return (yield from _guarded(session))
    except InvalidRequestError:
        raise  # the upstream would not even send the first call
    except BaseException as error:
        session.tell_unfinished("failed" if isinstance(error, UpstreamError) else "abandoned")
        raise
    finally:
        session.spend_open()


def _guarded(session: Session) -> Flow:
    context = session.context
    began = session.began
    judged = context.mode != "off" and context.request.skip is None
    yield Send(0, context.request.body, ahead=judged)
    gate_failed = judged and (yield from _gate(session))
    head = yield from ask(Head(0), ReplyHead)
    if gate_failed and head.ok:
        return (yield from _unread(session, began))
    unread = _reason_to_pass(session, head)
    if unread is not None:
        evaluated, skipped = unread
        return (yield from _pass_on(session, began, evaluated=evaluated, skipped=skipped))
    return (yield from _guard(session, began))


# -- the gate, and what passes unread -------------------------------------------------------------


def _reason_to_pass(session: Session, head: ReplyHead) -> tuple[Evaluated, str | None] | None:
    """What to record of a reply that passes unread; None if it is to be guarded."""
    if not head.ok:
        return "none", "upstream_error"
    if session.risk is None:
        return "none", session.context.request.skip
    if session.risk.not_evaluated is not None:
        return "none", session.risk.not_evaluated
    if not session.risk.at_risk:
        return "gate", None
    return None if head.readable else ("none", "content_type")


def _gate(session: Session) -> Generator[Step, Answer, bool]:
    """Ask the gate; returns whether it failed."""
    began = session.context.clock()
    try:
        session.risk = yield from ask(Gate(session.context.request.conversation), Risk)
    except DetectorError as error:
        session.detector_error = str(error)
        return True
    finally:
        session.guard_seconds += session.context.clock() - began
    return False


def _pass_on(
    session: Session, began: float, *, action: Action = "pass", evaluated: Evaluated = "none",
    skipped: str | None = None,
) -> Flow:  # fmt: skip
    """Deliver the original untouched, as it comes."""
    yield Start(0, session.outcome(action, evaluated, skipped=skipped), rewritten=False)
    yield Relay(0)
    session.record_original("relayed", began)
    return session.outcome(action, evaluated, skipped=skipped)


def _unread(session: Session, began: float) -> Flow:
    """The gate failed: deliver or refuse, as the policy says; recorded as an error."""
    context = session.context
    if decide(context.policy, Situation(context.mode, None)) is Decision.BLOCK:
        yield Close(0)
        session.record_original("detector_error", began)
        return session.outcome("block", "none", skipped="detector_error", delivered=None)
    return (yield from _pass_on(session, began, action="error", skipped="detector_error"))


# -- a reply at risk ------------------------------------------------------------------------------


def _guard(session: Session, began: float) -> Flow:
    first = session.candidate(0, began)
    yield from _read_first(session, first)
    if first.reader.skip is not None and first.cut is None:
        session.record_original("relayed", began, first)
        yield from probing.drop(session, first)
        outcome = session.outcome("pass", "none", skipped=first.reader.skip)
        return (yield from release(session, first, outcome))
    failed = first.cut is None and (yield from session.detect(first))
    session.record_original("detector_error" if failed else "read", began, first)
    if session.context.mode == "enforce" and not session.started and first.verdict is not None:
        return (yield from settle(session, first))
    yield from probing.drop(session, first)
    return (yield from _deliver(session, first))


def _read_first(session: Session, first: Candidate) -> Generator[Step, Answer, None]:
    context = session.context
    enforce = context.mode == "enforce"
    if enforce:
        yield Hold()
    deadline = context.clock() + context.policy.max_hold_seconds
    adaptive = enforce and context.request.stream and context.policy.hold == "adaptive"
    try:
        yield from read(session, first, deadline if enforce else None, adaptive=adaptive)
    except UpstreamError:
        if not enforce or first.released:
            yield from hand_over(session, first)
        raise


def _deliver(session: Session, first: Candidate) -> Flow:
    """Deliver an original that cannot be replaced (any more), or could not be read."""
    context = session.context
    situation = Situation(context.mode, first.verdict, replaceable=not session.started)
    decision = decide(context.policy, situation)
    if decision is Decision.BLOCK:
        return session.outcome("block", "none", skipped="detector_error", delivered=None)
    correctable = first.released and first.complete and context.policy.after_release == "correct"
    if correctable and _is_suspected(session, first):
        return (yield from correct(session, first))
    evaluated, skipped = extent(first)
    if decision is not Decision.FLAG:
        action: Action = "error" if decision is Decision.ERROR else "pass"
        outcome = session.outcome(action, evaluated, skipped=skipped, verdict=first.verdict)
        return (yield from release(session, first, outcome))
    skipped = "released" if first.released else skipped
    outcome = session.outcome("flag", evaluated, skipped=skipped, verdict=first.verdict)
    return (yield from release(session, first, outcome))


def _is_suspected(session: Session, first: Candidate) -> bool:
    policy, verdict = session.context.policy, first.verdict
    if verdict is None:
        return False
    return verdict.flagged or bool(suspects(policy, verdict, session.context.bars))
