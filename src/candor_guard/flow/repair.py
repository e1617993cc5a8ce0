"""A reply that was held and read: ask about it, regenerate it, deliver the better one."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

from candor_guard.errors import InvalidRequestError, UpstreamError, UpstreamTimeoutError
from candor_guard.flow import probing
from candor_guard.flow.candidate import Candidate
from candor_guard.flow.hold import read, release
from candor_guard.flow.session import Session, extent
from candor_guard.flow.steps import (
    Answer,
    Close,
    Emit,
    Flow,
    Head,
    Hold,
    ReplyHead,
    Send,
    Start,
    Step,
    ask_before,
)
from candor_guard.outcome import Action
from candor_guard.policy import Decision, Situation, better, decide
from candor_guard.probe import Finding, Ruling
from candor_guard.regeneration.strategies import Edit, edit_of_instruction, plan
from candor_guard.surface import Annotation
from candor_guard.verdict import LABELS

_PLAIN = "reconsider-1"
_CORRECTION = "\n\nCorrection: "


@dataclass(frozen=True, slots=True)
class _Pending:
    """A regeneration that is under way."""

    candidate: Candidate
    edit: Edit


def settle(session: Session, first: Candidate) -> Flow:
    """Decide on a held reply, with a probe where one is wanted, and deliver or refuse.

    The original's call stays open until a better reply is there: should none come, the original is
    delivered to its end.
    """
    repair = _Repair(session, first)
    yield from repair.inquire()
    decision = repair.decide()
    while decision is Decision.REGENERATE:
        yield from repair.attempt()
        decision = repair.decide()
    yield from repair.drop_pending()
    repair.tell_review()
    if decision is Decision.BLOCK:
        return session.outcome(
            "block", "full", skipped=repair.trouble, delivered=None,
            verdict=repair.best.verdict, first_verdict=first.verdict,
        )  # fmt: skip
    if repair.best is not first:
        return (yield from _replace(session, first, repair.best))
    evaluated, skipped = extent(first)
    if repair.attempts or repair.trouble:
        skipped = repair.trouble
    action: Action = "flag" if decision is Decision.FLAG else "pass"
    outcome = session.outcome(action, evaluated, skipped=skipped, verdict=first.verdict)
    return (yield from release(session, first, outcome))


def correct(session: Session, first: Candidate) -> Flow:
    """A released reply is suspected after all: append one that is not, before its finish."""
    yield Hold()
    repair = _Repair(session, first)
    yield from repair.inquire()
    if repair.decide() is Decision.REGENERATE:
        yield from repair.attempt()
    yield from repair.drop_pending()
    repair.tell_review()
    evaluated, _ = extent(first)
    if first.verdict is not None and not first.verdict.flagged:
        outcome = session.outcome("pass", evaluated, verdict=first.verdict)
        return (yield from release(session, first, outcome))
    outcome = session.outcome("flag", evaluated, skipped="released", verdict=first.verdict)
    tail = _corrected(session, first, repair.best)
    if tail is not None:
        first.body[:] = tail
        outcome = replace(outcome, corrected=True)
    return (yield from release(session, first, outcome))


class _Repair:
    """The further calls for one reply.

    Attributes:
        best: The best reply so far.
        attempts: Regenerations tried.
        trouble: Why the last one brought nothing, or None.
    """

    def __init__(self, session: Session, first: Candidate) -> None:
        self.best = first
        self.attempts = 0
        self.trouble: str | None = None
        self._session = session
        self._first = first
        self._last = first
        self._seen = {_words(first.text)} if first.cut is None else set[str]()
        self._finding: Finding | None = None
        self._pending: _Pending | None = None
        self._began: float | None = None
        self._affordable = True
        self._doubtful = False

    def decide(self) -> Decision:
        """Decide on the best reply so far."""
        context = self._session.context
        waiting = self._began is None or self._pending is not None
        elapsed = 0.0 if waiting else context.clock() - (self._began or 0.0)
        return decide(context.policy, Situation(
            context.mode, self.best.verdict, self.attempts, elapsed,
            affordable=self._affordable, doubtful=self._doubtful,
        ))  # fmt: skip

    def inquire(self) -> Generator[Step, Answer, None]:
        """Ask the probe where one is wanted; in parallel with the first regeneration if so set."""
        session = self._session
        inquiry = yield from probing.begin(session, self._first)
        if inquiry is None:
            return
        both = session.context.policy.probe == "parallel"
        if both and self.decide() is Decision.REGENERATE:
            yield from self._send()
        finding = yield from probing.finish(session, inquiry)
        ruling = probing.apply(session, self._first, finding)
        if ruling is Ruling.CONFIRMED:
            self._finding = finding
        elif ruling is Ruling.CLEARED:
            self.trouble = None  # of a regeneration beside the probe, which nobody needs any more
        elif finding is not None and _only_drift(self._first):
            self._doubtful, self.trouble = True, "uncertain"

    def attempt(self) -> Generator[Step, Answer, None]:
        """Regenerate once and keep the reply if it is better than the best so far."""
        if self._pending is None:
            yield from self._send()
        self.attempts += 1
        pending, self._pending = self._pending, None
        if pending is None:
            return
        candidate = pending.candidate
        self.trouble = yield from self._receive(candidate)
        _record(self._session, pending, self.trouble or "read")
        if self.trouble is not None or self._is_known(candidate):
            return
        self._last = candidate
        still_at_fault = yield from self._review(candidate)
        if not still_at_fault and _improves(self.best, candidate):
            self.best = candidate

    def tell_review(self) -> None:
        """Write down what the probe said of the reply that is delivered, or else of the last one."""
        told = self._last if self.best is self._first else self.best
        if self._session.probe is not None and told.review is not None:
            self._session.probe = {**self._session.probe, "regenerated": told.review}

    def drop_pending(self) -> Generator[Step, Answer, None]:
        """Abandon a regeneration that is under way and not needed."""
        if self._pending is not None:
            yield Close(self._pending.candidate.call)
            _record(self._session, self._pending, "unneeded")
            self._pending = None

    def _is_known(self, candidate: Candidate) -> bool:
        """The same words again are no better, whoever found them at fault."""
        words = _words(candidate.text)
        known = words in self._seen
        self._seen.add(words)
        return known

    def _review(self, candidate: Candidate) -> Generator[Step, Answer, bool]:
        """Let the probe that found the first reply at fault judge this one too, where in doubt.

        Returns whether it says that this one is no better. What the detector finds clearly clean
        is not asked about.
        """
        if self._finding is None:
            return False
        deadline = (self._began or 0.0) + self._session.context.policy.max_regeneration_seconds
        purpose = self._finding.purpose
        ruling = yield from probing.review(self._session, candidate, purpose, deadline)
        return ruling is Ruling.CONFIRMED

    def _send(self) -> Generator[Step, Answer, None]:
        session, request = self._session, self._session.context.request
        if self._began is None:
            self._began = session.context.clock()
        edit = _edit(session, self._first, self.attempts, self._finding)
        try:
            body = request.surface.edit(request, edit)
        except InvalidRequestError:
            self.trouble = "regeneration_failed"  # and there was no call
            return
        call = session.take_call("regeneration", len(body))
        if call is None:
            self.trouble, self._affordable = "budget", False
            return
        began = session.context.clock()
        yield Send(call, body)
        self._pending = _Pending(session.candidate(call, began), edit)

    def _receive(self, candidate: Candidate) -> Generator[Step, Answer, str | None]:
        """Read and judge a regenerated reply. Returns why it cannot be used, or None."""
        try:
            trouble = yield from self._receive_whole(candidate)
        except UpstreamError as error:
            candidate.failure, trouble = type(error).__name__, "regeneration_failed"
        except InvalidRequestError:  # an upstream that cannot express the request at all
            candidate.free, trouble = True, "regeneration_failed"
        if trouble == "regeneration_timeout":
            candidate.failure = UpstreamTimeoutError.__name__
        candidate.ended = self._session.context.clock()
        if trouble is None and (yield from self._session.detect(candidate)):
            trouble = "detector_error"
        if trouble is None and candidate.verdict and candidate.verdict.not_evaluated:
            trouble = "regeneration_unread"
        yield Close(candidate.call)
        return trouble

    def _receive_whole(self, candidate: Candidate) -> Generator[Step, Answer, str | None]:
        context = self._session.context
        deadline = (self._began or 0.0) + context.policy.max_regeneration_seconds
        head = yield from ask_before(Head(candidate.call, deadline), ReplyHead)
        if head is None:
            return "regeneration_timeout"
        if not head.ok or not head.readable:
            candidate.free = head.free
            if head.overloaded:
                self._affordable = False  # once more would find it no better, and make it worse
            return "regeneration_failed"
        yield from read(self._session, candidate, deadline)
        if candidate.bound == "hold_time":
            return "regeneration_timeout"
        reader = candidate.reader
        usable = candidate.bound is None and reader.skip is None and reader.finished
        fits = usable and context.request.surface.accepts(context.request, reader.text)
        return None if fits else "regeneration_unusable"


def _edit(session: Session, first: Candidate, number: int, finding: Finding | None) -> Edit:
    """Return the change that a regeneration makes: the number-th that applies, or the last."""
    policy, verdict = session.context.policy, first.verdict
    if policy.instruction is not None:
        return edit_of_instruction(policy.instruction)
    labels = verdict.labels if verdict is not None else frozenset()
    label = max(LABELS, key=lambda label: (label in labels, verdict.gap(label) if verdict else 0.0))
    conversation = session.context.request.conversation
    plans = [plan(way, conversation, finding) for way in policy.order(label)]
    edits = [edit for edit in plans if edit is not None] or [edit_of_instruction(_PLAIN)]
    return edits[min(number, len(edits) - 1)]


def _record(session: Session, pending: _Pending, result: str) -> None:
    candidate, edit = pending.candidate, pending.edit
    usage = candidate.reader.usage
    if candidate.free:
        session.give_back_call(candidate.call)
    else:
        session.spend(candidate.call, usage, candidate.reader.text, candidate.ended)
    session.record(
        "regeneration", result, candidate.began, candidate.ended,
        instruction=edit.wording, strategy=edit.strategy, verdict=candidate.verdict, usage=usage,
        response_id=candidate.reader.response_id, failure=candidate.failure,
        content={"edit": {"note": edit.note, "replacement": edit.replacement}},
    )  # fmt: skip


def _replace(session: Session, first: Candidate, best: Candidate) -> Flow:
    """Deliver a regenerated reply."""
    yield Close(first.call)
    outcome = session.outcome(
        "regenerate", "full", delivered="regenerated",
        verdict=best.verdict, first_verdict=first.verdict,
    )  # fmt: skip
    annotation = Annotation(session.annotation(outcome), outcome.usage)
    request = session.context.request
    body = request.surface.annotate(request, bytes(best.body), annotation)
    yield Start(best.call, outcome, rewritten=True)
    yield Emit(body)
    return outcome


def _corrected(session: Session, first: Candidate, best: Candidate) -> bytes | None:
    """Return the held tail with the correction in it; None where there is none to give."""
    verdict, request = best.verdict, session.context.request
    if best is first or verdict is None or verdict.flagged:
        return None
    text = _CORRECTION + best.text.strip()
    if not request.surface.accepts(request, first.text + text):
        return None
    return request.surface.correct(request, bytes(first.body), text)


def _words(text: str) -> str:
    return " ".join(text.split())


def _improves(best: Candidate, candidate: Candidate) -> bool:
    if best.verdict is None or candidate.verdict is None:
        return False
    return better(best.verdict, candidate.verdict)


def _only_drift(first: Candidate) -> bool:
    return first.verdict is not None and first.verdict.labels == {"drift"}
