"""Reading a reply while the client waits: how far, and what may leave before the end."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import replace

from candor_guard.errors import UpstreamError
from candor_guard.flow import probing
from candor_guard.flow.candidate import Beginning, Candidate
from candor_guard.flow.milestones import Milestones
from candor_guard.flow.session import Session
from candor_guard.flow.steps import Answer, Beside, Emit, Receive, Relay, Start, Step
from candor_guard.outcome import Outcome
from candor_guard.policy import Lean, lean
from candor_guard.surface import Annotation


def read(
    session: Session, candidate: Candidate, deadline: float | None, *, adaptive: bool = False
) -> Generator[Step, Answer, None]:
    """Read until the end, a reason to stop, or a bound.

    Without a deadline nothing is held: complete frames leave as they come, all but the tail that
    an annotation may go into.

    Args:
        session: Of this flow.
        candidate: What to read.
        deadline: Until when to hold, on the flow's clock; None: hold nothing.
        adaptive: Whether a verdict on the beginning may release the reply (it is then no longer
            held), or lead to a probe that ends reading (`Candidate.cut`).
    """
    reader, policy = candidate.reader, session.context.policy
    watch = Milestones(policy.min_prefix_chars) if adaptive else None
    while reader.skip is None and candidate.bound is None:
        data = yield from _receive(session, candidate, deadline)
        if data is None:
            return
        _take(session, candidate, data)
        if watch is not None:
            until = math.inf if deadline is None else deadline
            leaning = yield from _watch(session, candidate, watch, until)
            deadline = None if leaning is Lean.RELEASE else deadline
            watch = watch if leaning is Lean.HOLD else None
        if deadline is None:
            yield from _leak(session, candidate)
        if reader.over or len(candidate.body) > policy.max_hold_raw_bytes:
            candidate.bound = "hold_bytes"
        if reader.done or candidate.drained:
            return


def _receive(
    session: Session, candidate: Candidate, deadline: float | None
) -> Generator[Step, Answer, bytes | None]:
    """Return the next bytes; None when there is no need, or no time, to read on."""
    while True:
        beginning = candidate.beginning
        waits = beginning is not None and not beginning.inquiry.ended
        beside = beginning.inquiry.call if beginning is not None and waits else None
        try:
            answer = yield Receive(candidate.call, deadline, beside)
        except UpstreamError:
            if candidate.reader.finished and candidate.reader.skip is None:
                return b""  # it broke off behind the reply, which is complete
            raise
        if isinstance(answer, bytes):
            return answer
        if answer is None:
            candidate.bound = "hold_time"
            return None
        if answer is not Beside.ENDED or beginning is None:
            raise TypeError(f"Receive was answered with {type(answer).__name__}")
        yield from probing.advance(session, beginning.inquiry)
        if probing.confirms(beginning.inquiry):
            candidate.cut = beginning.length
            candidate.reading, candidate.verdict = beginning.reading, beginning.verdict
            return None


def _take(session: Session, candidate: Candidate, data: bytes) -> None:
    reader = candidate.reader
    candidate.drained = not data
    candidate.body += data
    reader.feed(data)
    # A frame that was never closed stays with the tail.
    candidate.safe = reader.safe + (0 if session.corrects else reader.waiting)
    if reader.done or candidate.drained:
        reader.end()
        # After the limit nothing was read, so a stream's end may have come unseen before.
        candidate.complete = candidate.drained or not reader.over


def _watch(
    session: Session, candidate: Candidate, watch: Milestones, deadline: float
) -> Generator[Step, Answer, Lean | None]:
    """Judge the beginning at every place that has come into reach, until one decides.

    Whatever else arrived in the same piece comes after that place and has no say. None: a reading
    failed, or there is no time for one; that decides nothing, but the next one might take as long,
    so it is not tried.
    """
    text = candidate.reader.text
    while (place := watch.next(text)) is not None:
        if session.context.clock() >= deadline:
            return None
        length, sentences = place
        reading = yield from session.read(text[:length], optional=True, deadline=deadline)
        if reading is None:
            return None
        verdict = session.judge(reading)
        context = session.context
        leaning = lean(
            context.policy, verdict, context.bars, characters=length, sentences=sentences
        )
        if leaning is Lean.REPAIR:
            inquiry = yield from probing.ask_about(session, verdict, text[:length])
            if inquiry is not None:
                candidate.beginning = Beginning(length, reading, verdict, inquiry)
        candidate.released = leaning is Lean.RELEASE
        if leaning is not Lean.HOLD:
            return leaning
    return Lean.HOLD


def _leak(session: Session, candidate: Candidate) -> Generator[Step, Answer, None]:
    ready = candidate.safe - candidate.emitted
    if ready <= 0 and not candidate.released:
        return
    if not session.started:
        session.started = True
        yield Start(candidate.call, session.outcome("pass", "deferred"), rewritten=True)
    if ready <= 0:
        return
    yield Emit(bytes(candidate.body[:ready]))
    del candidate.body[:ready]
    candidate.emitted += ready


def hand_over(session: Session, candidate: Candidate) -> Generator[Step, Answer, None]:
    """The upstream broke off and nothing is held: what it sent is the client's all the same."""
    if not session.started:
        session.started = True
        outcome = session.outcome("pass", "none", skipped="upstream_error")
        yield Start(candidate.call, outcome, rewritten=False)
    yield Emit(bytes(candidate.body))


def release(
    session: Session, first: Candidate, outcome: Outcome
) -> Generator[Step, Answer, Outcome]:
    """Deliver the original: what was held, then the rest as it comes."""
    if first.cut is not None:
        outcome = yield from _follow(session, first, outcome)
    body = bytes(first.body)
    usage = outcome.usage if len(outcome.attempts) > 1 else None
    candor = session.annotation(outcome)
    # An incomplete body has no finish chunk to annotate yet; the headers tell all the same.
    readable = first.complete and first.reader.skip != "unreadable"
    annotated = readable and (candor is not None or usage is not None)
    if annotated:
        request = session.context.request
        body = request.surface.annotate(request, body, Annotation(candor, usage))
    if not session.started:
        yield Start(first.call, outcome, rewritten=annotated)
    yield Emit(body)
    if not first.drained:
        yield Relay(first.call, complete=first.reader.done)
    return outcome


def _follow(
    session: Session, first: Candidate, outcome: Outcome
) -> Generator[Step, Answer, Outcome]:
    """Deliver a reply that was not read to its end, up to the tail that may be annotated."""
    first.released = session.started = True
    yield Start(first.call, outcome, rewritten=True)
    yield from _leak(session, first)
    if not first.complete:
        try:
            yield from read(session, first, None)
        except UpstreamError:
            yield from hand_over(session, first)
            raise
    session.complete_original(first)
    return replace(outcome, attempts=tuple(session.attempts))
