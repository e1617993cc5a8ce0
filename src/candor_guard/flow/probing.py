"""The probe: a neutral side question to the same upstream, and what its answer decides."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

from candor_guard.errors import InvalidRequestError, UpstreamError
from candor_guard.flow.session import Candidate, Session, model_name
from candor_guard.flow.steps import (
    Answer,
    Close,
    Head,
    Receive,
    ReplyHead,
    Send,
    Step,
    ask_before,
)
from candor_guard.policy import is_uncertain, suspects
from candor_guard.probe import (
    Finding,
    Purpose,
    Question,
    Ruling,
    ask_again,
    question,
    read_finding,
    rule,
)
from candor_guard.surface import SideAnswer

_LONGEST_ANSWER = 256 * 1024
# What servers say to a parameter, or to a JSON mode, that they do not know.
_REFUSALS = frozenset({400, 404, 422})


@dataclass(slots=True)
class Inquiry:
    """A probe that is under way.

    Attributes:
        asked: The question as it was put last.
        deadline: For the whole probe, its repetitions included, on the flow's clock.
        call: Number of the call that is under way.
        began: When that call was sent.
        sent: Bytes of its request.
        bare: Whether it was sent without anything that an upstream may refuse.
        repaired: Whether the question was put once more after a useless answer.
    """

    asked: Question
    deadline: float
    call: int = 0
    began: float = 0.0
    sent: int = 0
    bare: bool = False
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class _Heard:
    """How a side call ended: with an answer, or why there is none."""

    answer: SideAnswer | None
    trouble: str = ""
    refused: bool = False


def begin(session: Session, first: Candidate) -> Generator[Step, Answer, Inquiry | None]:
    """Send the probe that a held reply calls for, if any; do not wait for its answer."""
    if first.verdict is None:
        return None
    if first.bound is not None and not first.verdict.flagged:
        return None  # it was held long enough
    context = session.context
    for purpose in suspects(context.policy, first.verdict):
        asked = question(context.request.conversation, first.text, purpose)
        if asked is None:
            continue
        inquiry = Inquiry(asked, context.clock() + context.policy.max_probe_seconds)
        trouble = yield from _send(session, inquiry)
        if trouble is None:
            return inquiry
        _tell(session, purpose, trouble)
        return None
    return None


def finish(session: Session, inquiry: Inquiry) -> Generator[Step, Answer, Finding | None]:
    """Wait for the answer; asks once more where that may help. None: there is no probe."""
    while True:
        heard = yield from _hear(session, inquiry)
        purpose = inquiry.asked.purpose
        finding = read_finding(heard.answer.text, purpose) if heard.answer is not None else None
        result = finding.judgement if finding is not None else heard.trouble or "useless"
        _record(session, inquiry, heard.answer, finding, result)
        _tell(session, purpose, result, finding)
        if finding is not None:
            return finding
        if not _may_ask_again(inquiry, heard):
            return None
        if (yield from _send(session, inquiry)) is not None:
            return None


def apply(session: Session, first: Candidate, finding: Finding | None) -> Ruling:
    """Let the finding decide on the first reply, where it can.

    Cleared: nothing was found, whatever other label was raised, for all labels are about the one
    claim in dispute; the scores stay. Confirmed: the threshold of the label comes down
    to the reply's own score, for this exchange, so that the reply is at fault and a replacement
    has to do better. A reply that is far from its thresholds is not at fault for what its user
    believes, whatever the probe says.
    """
    verdict = first.verdict
    if finding is None or verdict is None or first.reading is None:
        return Ruling.OPEN
    label = finding.purpose
    ruling = rule(label, finding)
    if not verdict.flagged and not is_uncertain(session.context.policy, verdict, label):
        ruling = Ruling.OPEN
    session.probe = {**(session.probe or {}), "ruling": str(ruling)}
    if ruling is Ruling.OPEN:
        return ruling
    session.decided_by = "probe"
    if ruling is Ruling.CLEARED:
        first.verdict = replace(verdict, flagged=False, labels=frozenset(), evidence=())
    else:
        session.thresholds[label] = min(session.thresholds[label], verdict.scores[label])
        first.verdict = session.judge(first.reading)
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
    call = session.take_call()
    if call is None:
        return "budget"
    inquiry.call, inquiry.began, inquiry.sent = call, context.clock(), len(body)
    yield Send(call, body, side=True)
    return None


def _hear(session: Session, inquiry: Inquiry) -> Generator[Step, Answer, _Heard]:
    """Read the answer to its end, within the deadline."""
    body = bytearray()
    heard: _Heard | None = None
    try:
        head = yield from ask_before(Head(inquiry.call, inquiry.deadline), ReplyHead)
        if head is None:
            heard = _Heard(None, "timeout")
        elif not (head.ok and head.readable):
            heard = _Heard(None, "failed", head.status in _REFUSALS)
        while heard is None:
            data = yield from ask_before(Receive(inquiry.call, inquiry.deadline), bytes)
            body += data or b""
            if data is None:
                heard = _Heard(None, "timeout")
            elif not data or len(body) > _LONGEST_ANSWER:
                break
    except UpstreamError:
        heard = _Heard(None, "failed")
    except InvalidRequestError:  # an upstream that cannot express the request at all
        heard = _Heard(None, "failed", refused=True)
    yield Close(inquiry.call)
    return heard or _Heard(session.context.request.surface.side_answer(bytes(body)))


def _may_ask_again(inquiry: Inquiry, heard: _Heard) -> bool:
    """Prepare the question once more: plainer where it was refused, once where nothing was said."""
    if heard.refused and not inquiry.bare:
        inquiry.bare = True
        return True
    if heard.answer is not None and not inquiry.repaired:
        inquiry.asked = ask_again(inquiry.asked, heard.answer.text)
        inquiry.repaired = True
        return True
    return False


def _record(
    session: Session, inquiry: Inquiry, answer: SideAnswer | None, finding: Finding | None,
    result: str,
) -> None:  # fmt: skip
    usage = answer.usage if answer is not None else None
    seen = inquiry.sent + (len(answer.text.encode("utf-8", "replace")) if answer else 0)
    session.spend(usage, seen)
    found = {"claim": finding.claim, "why": finding.why} if finding is not None else None
    session.record(
        "probe", result, inquiry.began, usage=usage,
        model=model_name(session.context.policy.probe_model) or session.model,
        content={"finding": found} if found is not None else None,
    )  # fmt: skip


def _tell(
    session: Session, purpose: Purpose, result: str, finding: Finding | None = None
) -> None:  # fmt: skip
    session.probe = {
        "purpose": purpose,
        "result": result,
        "ruling": None,
        "new_evidence": finding.new_evidence if finding is not None else None,
        "confidence": round(finding.confidence, 4) if finding is not None else None,
    }
