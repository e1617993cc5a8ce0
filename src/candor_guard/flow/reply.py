"""One guarded reply. The methods are sub-generators of `guard_flow`."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from candor_guard.conversation import Exchange
from candor_guard.errors import DetectorError, InvalidRequestError, UpstreamError
from candor_guard.flow.steps import (
    Answer,
    Close,
    Detect,
    Emit,
    Flow,
    FlowContext,
    Gate,
    Head,
    Hold,
    Receive,
    Relay,
    ReplyHead,
    Send,
    Start,
    Step,
    ask,
    ask_before,
)
from candor_guard.outcome import Action, Attempt, Evaluated, Outcome
from candor_guard.policy import Decision, Situation, better, decide
from candor_guard.regeneration import find_instruction
from candor_guard.surface import Annotation, ReplyReader
from candor_guard.verdict import Reading, Risk, Verdict, judge

_ACTIONS: dict[Decision, Action] = {
    Decision.PASS: "pass",
    Decision.FLAG: "flag",
    Decision.ERROR: "error",
}


@dataclass(slots=True)
class _Candidate:
    """A reply while it is read.

    Attributes:
        call: Which upstream call brings it.
        reader: What it says so far.
        began: When its call was sent.
        body: Bytes received and not yet emitted.
        emitted: How many bytes left already.
        complete: Whether the reply's end was seen.
        drained: Whether the connection said that there is nothing more.
        bound: The bound that ended reading early, or None.
        verdict: None until read.
    """

    call: int
    reader: ReplyReader
    began: float
    body: bytearray = field(default_factory=bytearray)
    emitted: int = 0
    complete: bool = False
    drained: bool = False
    bound: str | None = None
    verdict: Verdict | None = None


def guard_flow(context: FlowContext) -> Flow:
    """Guard one request; returns its `Outcome`."""
    return (yield from _GuardedReply(context).run())


class _GuardedReply:
    def __init__(self, context: FlowContext) -> None:
        self._context = context
        self._request = context.request
        self._policy = context.policy
        self._attempts: list[Attempt] = []
        self._guard_seconds = 0.0
        self._risk: Risk | None = None
        self._started = False

    def run(self) -> Flow:
        began = self._context.clock()
        yield Send(0, self._request.body)
        judged = self._context.mode != "off" and self._request.skip is None
        gate_failed = judged and (yield from self._gate())
        head = yield from ask(Head(0), ReplyHead)
        if gate_failed and head.ok:
            return (yield from self._unread(began))
        unread = self._reason_to_pass(head)
        if unread is not None:
            evaluated, skipped = unread
            return (yield from self._pass_on(began, evaluated=evaluated, skipped=skipped))
        return (yield from self._guard(began))

    def _reason_to_pass(self, head: ReplyHead) -> tuple[Evaluated, str | None] | None:
        """What to record of a reply that passes unread; None if it is to be guarded."""
        if not head.ok:
            return "none", "upstream_error"
        if self._risk is None:
            return "none", self._request.skip
        if self._risk.not_evaluated is not None:
            return "none", self._risk.not_evaluated
        if not self._risk.at_risk:
            return "gate", None
        return None if head.readable else ("none", "content_type")

    # -- the gate, and what passes unread -------------------------------------------------------

    def _gate(self) -> Generator[Step, Answer, bool]:
        """Ask the gate; returns whether it failed."""
        began = self._context.clock()
        try:
            self._risk = yield from ask(Gate(self._request.conversation), Risk)
        except DetectorError:
            return True
        finally:
            self._guard_seconds += self._context.clock() - began
        return False

    def _pass_on(
        self, began: float, *, action: Action = "pass", evaluated: Evaluated = "none",
        skipped: str | None = None,
    ) -> Flow:  # fmt: skip
        """Deliver the original untouched, as it comes."""
        outcome = self._outcome(action, evaluated, skipped=skipped)
        yield Start(0, outcome, rewritten=False)
        yield Relay(0)
        self._record("relayed", began)
        return replace(outcome, attempts=tuple(self._attempts))

    def _unread(self, began: float) -> Flow:
        """The gate failed: deliver or refuse, as the policy says; recorded as an error."""
        if decide(self._policy, Situation(self._context.mode, None)) is Decision.BLOCK:
            yield Close(0)
            self._record("detector_error", began)
            return self._outcome("block", "none", skipped="detector_error", delivered=None)
        return (yield from self._pass_on(began, action="error", skipped="detector_error"))

    # -- a reply at risk ------------------------------------------------------------------------

    def _guard(self, began: float) -> Flow:
        first = self._candidate(0, began)
        enforce = self._context.mode == "enforce"
        if enforce:
            yield Hold()
        deadline = self._context.clock() + self._policy.max_hold_seconds
        try:
            yield from self._read(first, deadline if enforce else None)
        except UpstreamError:
            if not enforce:
                yield from self._hand_over(first)
            raise
        if first.reader.skip is not None:
            self._record("relayed", began, first)
            outcome = self._outcome("pass", "none", skipped=first.reader.skip)
            return (yield from self._release(first, outcome))
        failed = yield from self._detect(first)
        self._record("detector_error" if failed else "read", began, first)
        situation = Situation(self._context.mode, first.verdict, replaceable=not self._started)
        decision = decide(self._policy, situation)
        if decision is Decision.REGENERATE:
            return (yield from self._repair(first))
        if decision is Decision.BLOCK:
            return self._blocked(first, "detector_error" if failed else None)
        evaluated, skipped = _extent(first)
        outcome = self._outcome(
            _ACTIONS[decision], evaluated, skipped=skipped, verdict=first.verdict
        )
        return (yield from self._release(first, outcome))

    def _read(self, candidate: _Candidate, deadline: float | None) -> Generator[Step, Answer, None]:
        """Read until the end, a reason to stop, or a bound.

        Without a deadline nothing is held (observing): complete frames leave as they come, all
        but the tail that an annotation may go into.
        """
        reader = candidate.reader
        while reader.skip is None and candidate.bound is None:
            data = yield from ask_before(Receive(candidate.call, deadline), bytes)
            if data is None:
                candidate.bound = "hold_time"
                return
            candidate.drained = not data
            candidate.body += data
            reader.feed(data)
            if deadline is None:
                yield from self._leak(candidate)
            ended = reader.done or candidate.drained
            if ended:
                reader.end()
                # After the limit nothing was read, so a stream's end may have come unseen before.
                candidate.complete = candidate.drained or not reader.over
            if reader.over or len(candidate.body) > self._policy.max_hold_raw_bytes:
                candidate.bound = "hold_bytes"
            if ended:
                return

    def _leak(self, candidate: _Candidate) -> Generator[Step, Answer, None]:
        ready = candidate.reader.safe - candidate.emitted
        if ready <= 0:
            return
        if not self._started:
            self._started = True
            yield Start(candidate.call, self._outcome("pass", "deferred"), rewritten=True)
        yield Emit(bytes(candidate.body[:ready]))
        del candidate.body[:ready]
        candidate.emitted += ready

    def _hand_over(self, candidate: _Candidate) -> Generator[Step, Answer, None]:
        """Observing, the upstream broke off: what it sent until then is the client's all the same."""
        if not self._started:
            self._started = True
            outcome = self._outcome("pass", "none", skipped="upstream_error")
            yield Start(candidate.call, outcome, rewritten=False)
        yield Emit(bytes(candidate.body))

    def _release(self, first: _Candidate, outcome: Outcome) -> Flow:
        """Deliver the original: what was held, then the rest as it comes."""
        body = bytes(first.body)
        usage = outcome.usage if len(outcome.attempts) > 1 else None
        candor = self._annotation(outcome)
        # An incomplete body has no finish chunk to annotate yet; the headers tell all the same.
        readable = first.complete and first.reader.skip != "unreadable"
        annotated = readable and (candor is not None or usage is not None)
        if annotated:
            annotation = Annotation(candor, usage)
            body = self._request.surface.annotate(self._request, body, annotation)
        if not self._started:
            yield Start(first.call, outcome, rewritten=annotated)
        yield Emit(body)
        if not first.drained:
            yield Relay(first.call)
        return outcome

    def _annotation(self, outcome: Outcome) -> dict[str, Any] | None:
        wish = self._context.annotate
        wanted = wish == "all" or (wish == "flagged" and outcome.action in ("flag", "regenerate"))
        return outcome.to_dict() if wanted else None

    def _blocked(self, candidate: _Candidate, skipped: str | None) -> Outcome:
        evaluated: Evaluated = "full" if candidate.verdict else "none"
        return self._outcome(
            "block", evaluated, skipped=skipped, verdict=candidate.verdict, delivered=None
        )

    # -- repair ---------------------------------------------------------------------------------

    def _repair(self, first: _Candidate) -> Flow:
        """Regenerate, read again; deliver the better reply or refuse.

        The original's call stays open until a better reply is there: should none come, the
        original is delivered to its end.
        """
        began = self._context.clock()
        deadline = began + self._policy.max_regeneration_seconds
        best, attempts, decision = first, 0, Decision.REGENERATE
        trouble: str | None = None
        while decision is Decision.REGENERATE:
            attempts += 1
            candidate, trouble = yield from self._attempt(attempts, deadline)
            best = candidate if candidate is not None and _improves(best, candidate) else best
            elapsed = self._context.clock() - began
            situation = Situation(self._context.mode, best.verdict, attempts, elapsed)
            decision = decide(self._policy, situation)
        if decision is Decision.BLOCK:
            return self._with_first(first, self._blocked(best, trouble))
        if best is first:
            outcome = self._outcome("flag", "full", skipped=trouble, verdict=first.verdict)
            return (yield from self._release(first, outcome))
        return (yield from self._deliver(first, best))

    def _attempt(
        self, call: int, deadline: float
    ) -> Generator[Step, Answer, tuple[_Candidate | None, str | None]]:
        """One regeneration. Returns a judged candidate, or None and why there is none."""
        candidate = self._candidate(call, self._context.clock())
        instruction = find_instruction(self._policy.instruction)
        try:
            body = self._request.surface.with_instruction(self._request, instruction.text)
        except InvalidRequestError:
            return None, "regeneration_failed"  # and there was no call
        yield Send(call, body)
        try:
            trouble = yield from self._receive_whole(candidate, deadline)
        except (UpstreamError, InvalidRequestError):
            trouble = "regeneration_failed"
        if trouble is None and (yield from self._detect(candidate)):
            trouble = "detector_error"
        if trouble is None and candidate.verdict and candidate.verdict.not_evaluated:
            trouble = "regeneration_unread"
        yield Close(call)
        self._record(trouble or "read", candidate.began, candidate, instruction.name)
        return (None, trouble) if trouble else (candidate, None)

    def _receive_whole(
        self, candidate: _Candidate, deadline: float
    ) -> Generator[Step, Answer, str | None]:
        """Read a regenerated reply to its end. Returns why it is unusable, or None."""
        head = yield from ask_before(Head(candidate.call, deadline), ReplyHead)
        if head is None:
            return "regeneration_timeout"
        if not head.ok or not head.readable:
            return "regeneration_failed"
        yield from self._read(candidate, deadline)
        if candidate.bound == "hold_time":
            return "regeneration_timeout"
        reader = candidate.reader
        usable = candidate.bound is None and reader.skip is None and reader.finished
        fits = usable and self._request.surface.accepts(self._request, reader.text)
        return None if fits else "regeneration_unusable"

    def _deliver(self, first: _Candidate, best: _Candidate) -> Flow:
        """Deliver a regenerated reply."""
        yield Close(first.call)
        outcome = self._with_first(first, self._outcome(
            "regenerate", "full", verdict=best.verdict, delivered="regenerated",
        ))  # fmt: skip
        annotation = Annotation(self._annotation(outcome), outcome.usage)
        body = self._request.surface.annotate(self._request, bytes(best.body), annotation)
        yield Start(best.call, outcome, rewritten=True)
        yield Emit(body)
        return outcome

    # -- shared ---------------------------------------------------------------------------------

    def _candidate(self, call: int, began: float) -> _Candidate:
        reader = self._request.surface.reader(self._request, self._policy.max_hold_bytes)
        return _Candidate(call, reader, began)

    def _detect(self, candidate: _Candidate) -> Generator[Step, Answer, bool]:
        """Read a candidate's text; returns whether the detector failed."""
        exchange = Exchange(self._request.conversation, candidate.reader.text)
        began = self._context.clock()
        try:
            reading = yield from ask(Detect(exchange), Reading)
        except DetectorError:
            return True
        finally:
            self._guard_seconds += self._context.clock() - began
        candidate.verdict = judge(reading, self._context.thresholds, self._context.detector)
        return False

    def _record(
        self, result: str, began: float, candidate: _Candidate | None = None,
        instruction: str | None = None,
    ) -> None:  # fmt: skip
        self._attempts.append(Attempt(
            purpose="regeneration" if instruction else "original",
            result=result,
            seconds=self._context.clock() - began,
            instruction=instruction,
            verdict=candidate.verdict if candidate else None,
            usage=candidate.reader.usage if candidate else None,
        ))  # fmt: skip

    def _outcome(
        self, action: Action, evaluated: Evaluated, *, skipped: str | None = None,
        verdict: Verdict | None = None,
        delivered: Literal["original", "regenerated"] | None = "original",
    ) -> Outcome:  # fmt: skip
        return Outcome(
            action=action,
            evaluated=evaluated,
            mode=self._context.mode,
            delivered=delivered,
            detector=self._context.detector,
            request_id=self._context.request_id,
            verdict=verdict,
            first_verdict=verdict,
            risk=self._risk,
            skipped=skipped,
            attempts=tuple(self._attempts),
            guard_seconds=self._guard_seconds,
        )

    def _with_first(self, first: _Candidate, outcome: Outcome) -> Outcome:
        return replace(outcome, first_verdict=first.verdict)


def _extent(candidate: _Candidate) -> tuple[Evaluated, str | None]:
    """How much of a delivered reply was judged, and why not all of it."""
    if candidate.verdict is None:
        return "none", "detector_error"
    if candidate.verdict.not_evaluated is not None:
        return "none", candidate.verdict.not_evaluated
    # A prefix can prove a fault but never its absence.
    full = candidate.bound is None or candidate.verdict.flagged
    return ("full" if full else "none"), candidate.bound


def _improves(best: _Candidate, candidate: _Candidate) -> bool:
    if best.verdict is None or candidate.verdict is None:
        return False
    return better(best.verdict, candidate.verdict)
