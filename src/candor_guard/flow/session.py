"""What the modules of a flow share: the candidate replies and the record while it is written."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from candor_guard.budget import Ticket
from candor_guard.conversation import Exchange
from candor_guard.errors import DetectorError
from candor_guard.flow.candidate import Candidate
from candor_guard.flow.steps import Answer, Detect, FlowContext, Step, ask
from candor_guard.outcome import (
    Action,
    Attempt,
    CallPurpose,
    DecidedBy,
    Evaluated,
    Outcome,
    Usage,
    total_tokens,
)
from candor_guard.verdict import Reading, Risk, Verdict, judge

_LONGEST_MODEL_NAME = 200
_BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class _Open:
    """A further call that is under way: what for, since when, its bytes, its place in the budget."""

    purpose: CallPurpose
    began: float
    sent: int
    ticket: Ticket | None


class Session:
    """The state of one flow, and the sub-generators that every module needs.

    Attributes:
        context: What stays the same.
        began: When the flow did, on its clock.
        attempts: Every call that has ended, in that order; but the original's comes first.
        guard_seconds: Time in gate and detector so far.
        risk: Of the request; None until the gate has judged it.
        started: Whether the client's response has begun.
        probe: What the probe said, for the record, or None.
        decided_by: Who decided on the first reply.
        detector_error: What the detector failed with last, or None.
        bare: Whether the upstream refused a question that was not put at its barest.
    """

    def __init__(self, context: FlowContext) -> None:
        self.context = context
        self.began = context.clock()
        self.attempts: list[Attempt] = []
        self.guard_seconds = 0.0
        self.risk: Risk | None = None
        self.started = False
        self.probe: Mapping[str, Any] | None = None
        self.decided_by: DecidedBy = "classifier"
        self.detector_error: str | None = None
        self.bare = False
        self._last_call = 0
        self._calls = 0
        self._tokens = 0
        self._regenerations = 0
        self._open: dict[int, _Open] = {}

    # -- calls ----------------------------------------------------------------------------------

    def take_call(self, purpose: CallPurpose, sent: int) -> int | None:
        """Return the number of a further call of so many bytes, or None when a budget is spent.

        Probes leave one call to a regeneration, as long as there may be another: what they find
        could not be repaired otherwise.
        """
        policy = self.context.policy
        kept = purpose == "probe" and self._regenerations < policy.max_attempts
        # What is under way costs its request at least.
        tokens = self._tokens + sum(call.sent // _BYTES_PER_TOKEN for call in self._open.values())
        within = policy.max_extra_tokens is None or tokens < policy.max_extra_tokens
        if self._calls + kept >= policy.max_extra_calls or not within:
            return None
        budget, ticket = self.context.budget, None
        if budget is not None:
            ticket = budget.take(sent // _BYTES_PER_TOKEN)
            if ticket is None:
                return None
        self._regenerations += purpose == "regeneration"
        self._calls += 1
        self._last_call += 1
        self._open[self._last_call] = _Open(purpose, self.context.clock(), sent, ticket)
        return self._last_call

    def give_back_call(self, call: int) -> None:
        """Count a further call as not made: it was refused before it cost anything."""
        ticket = self._open.pop(call).ticket
        self._calls -= 1
        if self.context.budget is not None and ticket is not None:
            self.context.budget.give_back(ticket)

    def candidate(self, call: int, began: float) -> Candidate:
        """Return a candidate of which nothing has been received."""
        request = self.context.request
        reader = request.surface.reader(request, self.context.policy.max_hold_bytes)
        return Candidate(call, reader, began)

    def spend(
        self, call: int, usage: Usage | None = None, said: str = "", ended: float | None = None
    ) -> None:
        """Count a further call's tokens and time, when it has ended.

        Four bytes of request and answer are a token where the upstream does not tell.
        """
        taken = self._open.pop(call)
        size = taken.sent + len(said.encode("utf-8", "replace"))
        tokens = total_tokens(usage) or size // _BYTES_PER_TOKEN
        self._tokens += tokens
        if self.context.budget is not None and taken.ticket is not None:
            now = self.context.clock() if ended is None else ended
            self.context.budget.spend(taken.ticket, tokens, now - taken.began)

    def spend_open(self) -> None:
        """Count what is under way when the flow ends, however it does: a client may have left."""
        for call in tuple(self._open):
            self.spend(call)

    def tell_unfinished(self, result: str) -> None:
        """Tell of all calls where no outcome will; `result` is that of an original without one.

        Further calls that are under way are abandoned, whatever the reason: had one of them failed,
        the flow would have gone on.
        """
        if self.context.unfinished is None:
            return
        for call in self._open.values():
            self.record(call.purpose, "abandoned", call.began)
        if all(attempt.purpose != "original" for attempt in self.attempts):
            self.record_original(result, self.began)
        self.context.unfinished(self.attempts)

    # -- reading --------------------------------------------------------------------------------

    def read(
        self, text: str, *, optional: bool = False, deadline: float = math.inf
    ) -> Generator[Step, Answer, Reading | None]:
        """Read a reply's text.

        None when the detector failed, is too busy for an optional one, or the deadline came before
        its turn.
        """
        began = self.context.clock()
        exchange = Exchange(self.context.request.conversation, text)
        try:
            step = Detect(exchange, optional=optional, deadline=deadline)
            return (yield from ask(step, Reading))
        except DetectorError as error:
            if not optional:
                self.detector_error = str(error)
            return None
        finally:
            self.guard_seconds += self.context.clock() - began

    def detect(self, candidate: Candidate) -> Generator[Step, Answer, bool]:
        """Read a candidate; returns whether the detector failed."""
        candidate.reading = yield from self.read(candidate.text)
        if candidate.reading is None:
            return True
        candidate.verdict = self.judge(candidate.reading)
        return False

    def judge(self, reading: Reading) -> Verdict:
        """Hold a reading against the thresholds."""
        return judge(reading, self.context.thresholds, self.context.detector)

    # -- the record -----------------------------------------------------------------------------

    @property
    def corrects(self) -> bool:
        """Whether a reply that was released may get a correction."""
        context = self.context
        return context.mode == "enforce" and context.policy.after_release == "correct"

    @property
    def model(self) -> str | None:
        """The model that the request names."""
        return model_name(self.context.request.payload.get("model"))

    def record_original(self, result: str, began: float, first: Candidate | None = None) -> None:
        """Write down how the first call ended, ahead of any other."""
        attempt = self._attempt("original", result, began)
        if first is not None:
            reader = first.reader
            attempt = replace(
                attempt,
                verdict=first.verdict,
                usage=reader.usage,
                response_id=reader.response_id,
            )
        self.attempts.insert(0, attempt)

    def complete_original(self, first: Candidate) -> None:
        """Write down what was only known at the end of a reply that was read further."""
        usage = first.reader.usage
        seconds = self.context.clock() - first.began
        self.attempts[0] = replace(self.attempts[0], usage=usage, seconds=seconds)

    def record(
        self, purpose: CallPurpose, result: str, began: float, ended: float | None = None,
        **details: Any,
    ) -> None:  # fmt: skip
        """Write down how a further call ended, now or before; details as in `Attempt`."""
        if not self.context.content:
            details.pop("content", None)
        self.attempts.append(replace(self._attempt(purpose, result, began, ended), **details))

    def _attempt(
        self, purpose: CallPurpose, result: str, began: float, ended: float | None = None
    ) -> Attempt:
        seconds = (self.context.clock() if ended is None else ended) - began
        return Attempt(purpose, result, seconds, model=self.model)

    def outcome(
        self, action: Action, evaluated: Evaluated, *, skipped: str | None = None,
        verdict: Verdict | None = None, first_verdict: Verdict | None = None,
        delivered: Literal["original", "regenerated"] | None = "original",
    ) -> Outcome:  # fmt: skip
        """Return the record as far as it is known."""
        return Outcome(
            action=action,
            evaluated=evaluated,
            mode=self.context.mode,
            delivered=delivered,
            detector=self.context.detector,
            request_id=self.context.request_id,
            verdict=verdict,
            first_verdict=first_verdict or verdict,
            risk=self.risk,
            skipped=skipped,
            attempts=tuple(self.attempts),
            guard_seconds=self.guard_seconds,
            probe=self.probe,
            decided_by=self.decided_by,
            detector_error=self.detector_error,
        )

    def annotation(self, outcome: Outcome) -> dict[str, Any] | None:
        """Return the ``candor`` object where it is to be written into the body."""
        wish = self.context.annotate
        read = outcome.verdict is not None or outcome.detector_error is not None
        flagged = outcome.action in ("flag", "regenerate")
        wanted = (wish == "all" and read) or (wish == "flagged" and flagged)
        return outcome.to_dict() if wanted else None


def model_name(value: object) -> str | None:
    """Return a model's name as it goes into a record."""
    return value[:_LONGEST_MODEL_NAME] if isinstance(value, str) else None


def extent(candidate: Candidate) -> tuple[Evaluated, str | None]:
    """How much of a delivered reply was judged, and why not all of it."""
    if candidate.verdict is None:
        return "none", "detector_error"
    if candidate.verdict.not_evaluated is not None:
        return "none", candidate.verdict.not_evaluated
    # A prefix can prove a fault but never its absence.
    full = candidate.bound is None or candidate.verdict.flagged
    return ("full" if full else "none"), candidate.bound
