"""Runs a detector where it belongs and turns every way it can fail into one exception."""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import perf_counter as clock
from typing import TypeVar

from candor_guard.conversation import Conversation, Exchange
from candor_guard.detectors import Detector, PreGate
from candor_guard.errors import DetectorError, DetectorTimeoutError
from candor_guard.thoughts import length_of_thoughts
from candor_guard.verdict import LABELS, Reading, Risk, Span

T = TypeVar("T")
_MOST_RISKS = 1024
# How many times a call's own time it may wait for the calls before it.
_PATIENCE = 5


class DetectorRunner:
    """Calls a detector synchronously, or from an event loop without blocking it.

    Args:
        detector: What to run.
        timeout: Seconds that one call may take; only enforced off the event loop. It may wait for
            its turn five times as long.
    """

    def __init__(self, detector: Detector, timeout: float) -> None:
        self._detector = detector
        self._readings = None if detector.inline else Lane("candor-detector", timeout)
        # A reading may take long, and no turn that is not at risk may have to wait for one.
        self._gates = None if detector.inline else Lane("candor-gate", timeout)
        # An inline detector gates faster than a conversation can be looked up.
        self._risks = None if detector.inline else RiskCache(_MOST_RISKS)
        self._pre_gate = detector.pre_gate if isinstance(detector, PreGate) else _undecided

    def gate(self, conversation: Conversation) -> Risk:
        """Judge a request; a conversation that was judged lately is looked up.

        Raises:
            DetectorError: If the detector raises or its answer is no probability.
        """
        if self._risks is None:
            return self._gate(conversation)
        plain = self._plain(conversation)
        if plain is not None:
            return plain
        key = digest(conversation)
        return self._risks.find(key) or self._kept(self._risks, key, conversation)

    def read(self, exchanges: Sequence[Exchange]) -> Sequence[Reading]:
        """Read a batch. Thoughts in front of a reply are no part of it.

        Raises:
            DetectorError: If the detector raises or an answer is no probability.
        """
        said = [_without_thoughts(exchange) for exchange in exchanges]
        readings = _translated(lambda: _checked(self._detector.read(said), len(said)))
        return [
            _moved(reading, len(exchange.reply) - len(short.reply))
            for reading, exchange, short in zip(readings, exchanges, said, strict=True)
        ]

    async def gate_async(self, conversation: Conversation) -> Risk:
        """Like `gate`, off the event loop unless the detector is inline or the risk is known."""
        risks, gates = self._risks, self._gates
        if risks is None or gates is None:
            return self._gate(conversation)
        plain = self._plain(conversation)
        if plain is not None:
            return plain
        key = digest(conversation)
        known = risks.find(key)
        if known is not None:
            return known
        return await gates.run(lambda: self._kept(risks, key, conversation))

    async def read_async(
        self, exchange: Exchange, *, optional: bool = False, deadline: float = math.inf
    ) -> Reading:
        """Like `read` for one exchange, off the event loop unless the detector is inline.

        Args:
            exchange: What to read.
            optional: Whether nothing depends on it, so that it gives up early where many wait.
            deadline: Until when it may wait for its turn, on `clock`.
        """
        if self._readings is None:
            return self.read([exchange])[0]
        patience = 1 if optional else _PATIENCE
        read = self._readings.run(lambda: self.read([exchange]), patience=patience, latest=deadline)
        return (await read)[0]

    def close(self) -> None:
        """End the threads; a running call is left to finish by itself."""
        for lane in (self._readings, self._gates):
            if lane is not None:
                lane.close()

    def _kept(self, risks: RiskCache, key: bytes, conversation: Conversation) -> Risk:
        risk = self._gate(conversation)
        risks.keep(key, risk)
        return risk

    def _plain(self, conversation: Conversation) -> Risk | None:
        def judged() -> Risk | None:
            risk = self._pre_gate(conversation)
            return None if risk is None else _checked_risk(risk)

        return _translated(judged)

    def _gate(self, conversation: Conversation) -> Risk:
        return _translated(lambda: _checked_risk(self._detector.gate(conversation)))


class Lane:
    """A thread, and the calls that wait for it on event loops.

    A call has failed when it takes longer than it may. One that waits has not failed as long as
    the thread gets on with those before it: that many replies come at the same time is no fault of
    the detector's. But nobody waits without end.

    The thread starts with the first call, and anew in a process that was forked.

    Args:
        name: Of the thread.
        limit: Seconds that a call may take.
    """

    def __init__(self, name: str, limit: float) -> None:
        self._name = name
        self._limit = limit
        self._start()

    async def run(
        self, call: Callable[[], T], *, patience: float = _PATIENCE, latest: float = math.inf
    ) -> T:
        """Run a call in the thread; one that is cancelled while it waits is never run.

        Args:
            call: What to run.
            patience: How long it may wait for its turn, in times of what it may take itself.
            latest: When its turn must have come, on `clock`. One that has begun goes on: whatever
                is asked next would have to wait for it, too.

        Raises:
            DetectorTimeoutError: If it takes too long, or waits too long for its turn.
            DetectorError: If the lane is closed, before or meanwhile.
        """
        if self._pid != os.getpid():  # the parent's thread is not here
            self._start()
        came, begun = clock(), 0.0

        def taken() -> T:
            nonlocal begun
            begun = self._taken = clock()
            return call()

        try:
            pending = asyncio.get_running_loop().run_in_executor(self._threads, taken)
        except RuntimeError:  # the executor's own, for a call after its end
            raise DetectorError("detector was closed") from None
        try:
            while not pending.done():
                turn = min(max(came, self._taken), came + (patience - 1) * self._limit)
                until = begun + self._limit if begun else min(turn + self._limit, latest)
                left = until - clock()
                if left <= 0:
                    what = "took" if begun else "was busy for"
                    raise DetectorTimeoutError(
                        f"detector {what} over {until - (begun or came):.3g} s"
                    )
                await asyncio.wait((pending,), timeout=left)
        finally:
            pending.cancel()
        if pending.cancelled():
            raise DetectorError("detector was closed")
        return pending.result()

    def close(self) -> None:
        """End the thread; a running call is left to finish by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> None:
        # One thread: forward passes gain nothing from running side by side on the same cores.
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=self._name)
        self._pid = os.getpid()
        self._taken = clock()  # when the thread took up its latest call


class RiskCache:
    """The risks of the conversations that were judged last, by `digest`; safe for threads.

    The same turn is judged again when a client repeats a request, or takes several samples.
    What is kept of a conversation is a digest, never its text.

    Args:
        size: How many risks are kept; the one that was used longest ago goes first.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._risks: OrderedDict[bytes, Risk] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: bytes) -> Risk | None:
        """Return the risk of a conversation, or None when it is not known."""
        with self._lock:
            risk = self._risks.get(key)
            if risk is not None:
                self._risks.move_to_end(key)
        return risk

    def keep(self, key: bytes, risk: Risk) -> None:
        """Remember a risk."""
        with self._lock:
            self._risks[key] = risk
            self._risks.move_to_end(key)
            if len(self._risks) > self._size:
                self._risks.popitem(last=False)


def digest(conversation: Conversation) -> bytes:
    """Return what identifies a conversation without telling its text."""
    told = hashlib.sha256()
    for message in conversation.messages:
        text = message.text.encode("utf-8", "surrogatepass")
        # Lengths keep one turn's end from being read as the next one's beginning.
        told.update(f"{message.role} {message.media} {len(text)} ".encode())
        told.update(text)
    return told.digest()


def _undecided(_: Conversation) -> None:
    """What a detector without a first look would say."""


def _translated(call: Callable[[], T]) -> T:
    try:
        return call()
    except DetectorError:
        raise
    except Exception as error:
        raise DetectorError(f"detector raised {type(error).__name__}") from error


def _checked_risk(risk: Risk) -> Risk:
    _need_probability(risk.score, "risk")
    return risk


def _without_thoughts(exchange: Exchange) -> Exchange:
    thoughts = length_of_thoughts(exchange.reply)
    return replace(exchange, reply=exchange.reply[thoughts:]) if thoughts else exchange


def _moved(reading: Reading, characters: int) -> Reading:
    """Return a reading whose evidence lies so many characters further on."""
    if not characters or not reading.evidence:
        return reading
    evidence = (Span(s.text, s.start + characters, s.end + characters) for s in reading.evidence)
    return replace(reading, evidence=tuple(evidence))


def _checked(readings: Sequence[Reading], wanted: int) -> Sequence[Reading]:
    if len(readings) != wanted:
        raise DetectorError(f"detector gave {len(readings)} readings for {wanted}")
    for reading in readings:
        _need_scores(reading)
    return readings


def _need_scores(reading: Reading) -> None:
    for signal, value in reading.signals.items():
        _need_probability(value, signal)
    if reading.not_evaluated is not None:
        return
    if set(reading.scores) != set(LABELS):
        raise DetectorError(f"detector scored {sorted(reading.scores)}, not {sorted(LABELS)}")
    for label, score in reading.scores.items():
        _need_probability(score, label)


def _need_probability(score: float, what: str) -> None:
    if not (math.isfinite(score) and 0.0 <= score <= 1.0):
        raise DetectorError(f"detector's {what} is {score}, not a probability")
