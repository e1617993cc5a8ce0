"""The probe: a neutral side question to the same upstream, and what its answer decides."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

from candor_guard.errors import InvalidRequestError, UpstreamError, UpstreamTimeoutError
from candor_guard.flow.candidate import Candidate, Inquiry
from candor_guard.flow.session import Session, model_name
from candor_guard.flow.steps import Answer, Close, Fetch, Send, SideReply, Step, ask_before
from candor_guard.policy import in_doubt, suspects
from candor_guard.probe import (
    Finding,
    Purpose,
    Question,
    Ruling,
    ask_again,
    question,
    read_finding,
    rule,
    rule_again,
)
from candor_guard.surface import SideAnswer
from candor_guard.verdict import Verdict

# What servers say to a parameter, or to a JSON mode, that they do not know.
_REFUSALS = frozenset({400, 404, 422})


@dataclass(frozen=True, slots=True)
class _Heard:
    """How a side call ended: with an answer, or why there is none.

    Attributes:
        answer: None without one.
        trouble: Why there is none.
        refused: Whether a plainer question may do better.
        free: Whether the call cost nothing.
        failure: What the upstream failed with, where it did.
    """

    answer: SideAnswer | None
    trouble: str = ""
    refused: bool = False
    free: bool = False
    failure: str | None = None


def begin(session: Session, first: Candidate) -> Generator[Step, Answer, Inquiry | None]:
    """Send the probe that a held reply calls for, if any; do not wait for its answer.

    One that was asked about the reply's beginning serves where the whole reply is suspected of
    the same; otherwise it is dropped.
    """
    verdict = first.verdict
    if verdict is None:
        return None
    if first.beginning is not None:
        inquiry = first.beginning.inquiry
        if inquiry.asked.purpose in verdict.labels:
            return inquiry
        yield from drop(session, first)
    if first.bound is not None and not verdict.flagged:
        return None  # it was held long enough
    return (yield from ask_about(session, verdict, first.text))


def ask_about(
    session: Session, verdict: Verdict, text: str
) -> Generator[Step, Answer, Inquiry | None]:
    """Put the question that a verdict calls for, if any; do not wait for its answer.

    A reply that is not flagged is shown: the claim may be false, but the detector has no good
    reason to say that the reply gives way to it.
    """
    context = session.context
    for purpose in suspects(context.policy, verdict, context.bars):
        conversation = context.request.conversation
        asked = question(conversation, text, purpose, show_reply=not verdict.flagged)
        if asked is None:
            continue
        latest = context.clock() + context.policy.max_probe_seconds
        inquiry = Inquiry(asked, latest, bare=session.bare)
        trouble = yield from _send(session, inquiry)
        if trouble is None:
            return inquiry
        _tell(session, purpose, trouble)
        return None
    return None


def finish(session: Session, inquiry: Inquiry) -> Generator[Step, Answer, Finding | None]:
    """Wait for the answer; None: there is no probe."""
    while not inquiry.ended:
        yield from advance(session, inquiry)
    return inquiry.finding


def advance(session: Session, inquiry: Inquiry) -> Generator[Step, Answer, None]:
    """Wait for the call that is under way, and ask once more where that may help."""
    heard = yield from _hear(session, inquiry)
    finding = inquiry.finding = _finding(inquiry.asked, heard)
    inquiry.trouble = heard.trouble or "useless"
    result = finding.judgement if finding is not None else inquiry.trouble
    _record(session, inquiry, heard, finding, result)
    if not inquiry.regenerated:
        _tell(session, inquiry.asked.purpose, result, finding)
    session.bare = session.bare or heard.refused
    again = finding is None and _may_ask_again(inquiry, heard)
    inquiry.ended = not again or (yield from _send(session, inquiry)) is not None


def confirms(inquiry: Inquiry) -> bool:
    """Whether the probe has ended and found the suspicion right."""
    finding = inquiry.finding
    return finding is not None and rule(finding.purpose, finding) is Ruling.CONFIRMED


def drop(session: Session, first: Candidate) -> Generator[Step, Answer, None]:
    """Abandon a probe about the reply's beginning that is not needed."""
    if first.beginning is None or first.beginning.inquiry.ended:
        return
    inquiry = first.beginning.inquiry
    inquiry.ended = True
    yield Close(inquiry.call)
    _record(session, inquiry, _Heard(None), None, "unneeded")


def apply(session: Session, first: Candidate, finding: Finding | None) -> Ruling:
    """Let the finding decide on the first reply, where it can.

    Cleared: nothing was found, whatever other label was raised, for all labels are about the one
    claim in dispute. Confirmed: the reply is at fault. The scores stay as they are either way. A
    reply that the detector let pass is at fault only where the model has seen it and says that it
    gives way; for what its user believes, no reply is.
    """
    verdict = first.verdict
    if finding is None or verdict is None or first.reading is None:
        return Ruling.OPEN
    ruling = rule(finding.purpose, finding)
    if ruling is Ruling.CONFIRMED and not (verdict.flagged or finding.gives_way):
        ruling = Ruling.OPEN
    session.probe = {**(session.probe or {}), "ruling": str(ruling)}
    if ruling is Ruling.OPEN:
        return ruling
    session.decided_by = "probe"
    if ruling is Ruling.CLEARED:
        first.verdict = replace(verdict, flagged=False, labels=frozenset(), evidence=())
    elif not verdict.flagged:
        labels = frozenset({finding.purpose})
        first.verdict = replace(
            verdict, flagged=True, labels=labels, evidence=first.reading.evidence
        )
    return ruling


def review(
    session: Session, candidate: Candidate, purpose: Purpose, deadline: float
) -> Generator[Step, Answer, Ruling]:
    """Ask what a regenerated reply does, where the detector is in doubt, and let that decide.

    The reply is shown. Cleared: nothing was found. Confirmed: it is no better than the first. The
    verdict stays as it is where the probe is unsure, brings nothing or has no budget.

    Args:
        session: Of the flow.
        candidate: The regenerated reply, read by the detector.
        purpose: Of the probe that found the first reply at fault.
        deadline: For the probe as well, on the flow's clock.
    """
    context, verdict = session.context, candidate.verdict
    if verdict is None or not in_doubt(verdict, context.bars):
        return Ruling.OPEN
    asked = question(context.request.conversation, candidate.text, purpose, show_reply=True)
    if asked is None:
        return Ruling.OPEN
    now = context.clock()
    inquiry = Inquiry(
        asked, min(deadline, now + context.policy.max_probe_seconds), bare=session.bare,
        regenerated=True,
    )  # fmt: skip
    trouble = "timeout" if inquiry.deadline <= now else (yield from _send(session, inquiry))
    finding = None if trouble is not None else (yield from finish(session, inquiry))
    if finding is None:
        candidate.review = trouble or inquiry.trouble
        return Ruling.OPEN
    ruling = rule_again(finding)
    candidate.review = str(ruling)
    if ruling is Ruling.CLEARED:
        candidate.verdict = replace(verdict, flagged=False, labels=frozenset(), evidence=())
    return ruling


def _send(session: Session, inquiry: Inquiry) -> Generator[Step, Answer, str | None]:
    """Put the question; returns why that was not possible, or None."""
    context, policy = session.context, session.context.policy
    try:
        body = context.request.surface.side_request(
            context.request,
            inquiry.asked.messages,
            model=policy.probe_model,
            schema=inquiry.asked.schema if policy.probe_json else None,
            bare=inquiry.bare,
        )
    except InvalidRequestError:
        return "failed"
    call = session.take_call("probe", len(body))
    if call is None:
        return "budget"
    inquiry.call, inquiry.began = call, context.clock()
    yield Send(call, body, side=True, ahead=True)
    return None


def _hear(session: Session, inquiry: Inquiry) -> Generator[Step, Answer, _Heard]:
    """Wait for the answer to the call that is under way, within the deadline."""
    try:
        reply = yield from ask_before(Fetch(inquiry.call, inquiry.deadline), SideReply)
    except UpstreamError as error:
        heard = _Heard(None, "failed", failure=type(error).__name__)
    except InvalidRequestError:  # an upstream that cannot express the request at all
        heard = _Heard(None, "failed", refused=True, free=True)
    else:
        heard = _heard(session, reply)
    yield Close(inquiry.call)
    if heard.free:
        session.give_back_call(inquiry.call)
    return heard


def _heard(session: Session, reply: SideReply | None) -> _Heard:
    if reply is None:
        return _Heard(None, "timeout", failure=UpstreamTimeoutError.__name__)
    head = reply.head
    if not (head.ok and head.readable):
        return _Heard(None, "failed", head.status in _REFUSALS, head.free)
    return _Heard(session.context.request.surface.side_answer(reply.body))


def _finding(asked: Question, heard: _Heard) -> Finding | None:
    if heard.answer is None:
        return None
    text, shown = heard.answer.text, asked.shows_reply
    finding = read_finding(text, asked.purpose, needs_answer=shown)
    # Of a reply that it was not shown a model knows nothing, whatever it says.
    return finding if finding is None or shown else replace(finding, gives_way=None)


def _may_ask_again(inquiry: Inquiry, heard: _Heard) -> bool:
    """Prepare the question once more: plainer where it was refused, once where nothing was said."""
    if heard.refused and not inquiry.bare:
        inquiry.bare = True
        return True
    answer = heard.answer
    if answer is not None and not inquiry.repaired and _may_be_repaired(inquiry.asked, answer.text):
        inquiry.asked = ask_again(inquiry.asked, answer.text)
        inquiry.repaired = True
        return True
    return False


def _may_be_repaired(asked: Question, answer: str) -> bool:
    """Whether asking once more is worth a call.

    Without an answer about a reply that is shown the detector's verdict stands. About that, only a
    model that tried to answer in JSON is asked again, and not one that talks.
    """
    return not asked.shows_reply or "{" in answer


def _record(
    session: Session, inquiry: Inquiry, heard: _Heard, finding: Finding | None, result: str
) -> None:
    answer = heard.answer
    usage = answer.usage if answer is not None else None
    if not heard.free:
        session.spend(inquiry.call, usage, answer.text if answer is not None else "")
    found = {"claim": finding.claim, "why": finding.why} if finding is not None else None
    session.record(
        "probe", result, inquiry.began, usage=usage,
        model=model_name(session.context.policy.probe_model) or session.model,
        content={"finding": found} if found is not None else None, failure=heard.failure,
    )  # fmt: skip


def _tell(
    session: Session, purpose: Purpose, result: str, finding: Finding | None = None
) -> None:  # fmt: skip
    session.probe = {
        "purpose": purpose,
        "result": result,
        "ruling": None,
        "regenerated": None,
        "new_evidence": finding.new_evidence if finding is not None else None,
        "confidence": round(finding.confidence, 4) if finding is not None else None,
    }
