"""`Guard`: the engine with a detector, a policy and, for whole loops, an upstream.

The proxy and every integration go through `Guard.events`; `stream` is its events parsed, and
`complete` the same drained.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

from typing_extensions import override

from candor_guard.budget import Budget
from candor_guard.conversation import Conversation, Exchange
from candor_guard.detectors import Detector
from candor_guard.detectors.runner import DetectorRunner
from candor_guard.detectors.shipped import build_detector
from candor_guard.driver import Data, Event, Finished, Holding, Load, Started, clock, drive
from candor_guard.errors import (
    ConfigurationError,
    InvalidRequestError,
    UpstreamError,
)
from candor_guard.flow import Annotate, Flow, FlowContext, guard_flow
from candor_guard.outcome import Attempt, Observer, need_delivery
from candor_guard.policy import Mode, Policy
from candor_guard.regeneration import find_plain_instruction
from candor_guard.surface import GuardedRequest
from candor_guard.tabular import Progress, batches, count, numbered, reporting
from candor_guard.upstreams import Upstream, UpstreamRequest
from candor_guard.verdict import Reading, Risk, Verdict, judge
from candor_guard.wire.chat import DONE, ChatSurface
from candor_guard.wire.json import dump, load_object
from candor_guard.wire.sse import Frame, FrameReader

_log = logging.getLogger("candor_guard")
_JSON_HEADERS = (("content-type", "application/json"),)


class Guard:
    """Checks replies, and with an upstream produces checked ones.

    Args:
        detector: What reads exchanges; default: the bundled one.
        policy: How careful to be and what it may cost; default: `Policy()`.
        upstream: Where replies come from; only needed for `complete`, `stream` and `events`.
        observers: Called with the `Outcome` of every guarded reply, on the event loop.

    ``async with`` closes it at its end.

    Raises:
        ConfigurationError: If the policy names an operating point or an instruction that does
            not exist, or an instruction that cannot do without a probe's finding.
    """

    def __init__(
        self,
        detector: Detector | None = None,
        policy: Policy | None = None,
        *,
        upstream: Upstream | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        _need_parts(detector, policy, upstream, observers)
        self.detector: Detector = build_detector() if detector is None else detector
        self.policy = Policy() if policy is None else policy
        self.upstream = upstream
        self._observers = tuple(observers)
        self._thresholds = self.policy.resolve_thresholds(self.detector.operating_points)
        self._bars = self.policy.resolve_probe_bars(self.detector.operating_points)
        if self.policy.instruction is not None:
            find_plain_instruction(self.policy.instruction)
        self._runner = DetectorRunner(self.detector, self.policy.detector_timeout)
        self._budget = Budget(
            self.policy.max_extra_calls_per_minute,
            self.policy.max_extra_tokens_per_minute,
            clock,
            self.policy.max_extra_seconds_per_minute,
        )
        self._load = Load()
        self._label = f"{self.detector.name}@{self.detector.version}"

    @override
    def __reduce__(self) -> tuple[Callable[..., Guard], tuple[object, ...]]:
        """Pickle the configuration: what comes out has a thread and budgets of its own."""
        parts = (self.detector, self.policy, self.upstream, self._observers)
        return _rebuilt, (type(self), *parts)

    def with_upstream(self, upstream: Upstream) -> Self:
        """Return a guard that gets its replies from `upstream` and shares all else with this one.

        Detector, thread, budgets and observers are the same objects, so that many short-lived
        guards count and close as one. Cheap enough for every request.
        """
        bound = object.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound.upstream = upstream
        return bound

    # -- reading, without a network -------------------------------------------------------------

    def check(self, messages: object, reply: str) -> Verdict:
        """Judge a reply to a conversation.

        Args:
            messages: The OpenAI list, up to and including the turn that is answered.
            reply: The reply that is about to be delivered.

        Raises:
            InvalidRequestError: If the messages or the reply cannot be read.
            DetectorError: If the detector fails.
        """
        return self.examine(messages, reply)[0]

    async def acheck(self, messages: object, reply: str) -> Verdict:
        """Judge a reply as `check` does, off the event loop where the detector takes its time.

        Raises:
            InvalidRequestError: If the messages or the reply cannot be read.
            DetectorError: If the detector fails, or is busy for too long.
        """
        reading = await self._runner.read_async(Exchange.parse(messages, reply))
        return judge(reading, self._thresholds, self._label)

    def examine(self, messages: object, reply: str) -> tuple[Verdict, Reading]:
        """Judge a reply as `check` does, and return what was read of it as well.

        The reading has the evidence of a reply that is not flagged, too.

        Raises:
            InvalidRequestError: If the messages or the reply cannot be read.
            DetectorError: If the detector fails.
        """
        reading = self._runner.read([Exchange.parse(messages, reply)])[0]
        return judge(reading, self._thresholds, self._label), reading

    def check_many(
        self, exchanges: Iterable[Mapping[str, Any]], *, progress: Progress | bool = False
    ) -> list[Verdict]:
        """Judge many exchanges ``{"messages": [...], "reply": "..."}`` in batches, in order.

        Args:
            exchanges: Read as they are needed, so that a generator may bring more than fit into
                memory at once.
            progress: Called after each batch with how many are done and of how many (None when
                that is not known); True: a bar on standard error where rich is installed.

        Raises:
            InvalidRequestError: With the number of the first exchange that cannot be read.
            DetectorError: If the detector fails.
        """
        total, verdicts = count(exchanges), list[Verdict]()
        with reporting(total, wish=progress) as report:
            for batch in batches(exchanges):
                first = len(verdicts)
                verdicts += self._judge([numbered(e, first + i) for i, e in enumerate(batch)])
                report(len(verdicts), total)
        return verdicts

    def gate(self, messages: object) -> Risk:
        """Say from the request alone whether a reply would be held and read.

        Raises:
            InvalidRequestError: If the messages cannot be read.
            DetectorError: If the detector fails.
        """
        return self._runner.gate(Conversation.parse(messages))

    async def agate(self, messages: object) -> Risk:
        """Say what `gate` does, off the event loop where the detector takes its time.

        Raises:
            InvalidRequestError: If the messages cannot be read.
            DetectorError: If the detector fails, or is busy for too long.
        """
        return await self._runner.gate_async(Conversation.parse(messages))

    def _judge(self, batch: Sequence[Exchange]) -> list[Verdict]:
        if not batch:
            return []
        readings = self._runner.read(batch)
        return [judge(reading, self._thresholds, self._label) for reading in readings]

    # -- the whole loop -------------------------------------------------------------------------

    def events(
        self,
        request: GuardedRequest,
        template: UpstreamRequest,
        *,
        mode: Mode | None = None,
        request_id: str | None = None,
        annotate: Annotate = "flagged",
        content: bool = False,
        unfinished: Callable[[Sequence[Attempt]], None] | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Guard one request; the event stream that everything else is made of.

        `Holding` at most once, then `Started`, any number of `Data`, and `Finished`. A refused
        reply has no `Started`. A released stream whose correction is waited for brings one more
        `Holding` after whole frames. Closing the generator closes every upstream call at once.

        Args:
            request: As parsed by a surface.
            template: Method, path and headers of the upstream calls; its body is replaced.
            mode: Instead of the policy's.
            request_id: For the record; default: a new one.
            annotate: When the ``candor`` object is written into the body.
            content: Whether the record says what further calls changed and found, in words of the
                conversation.
            unfinished: Told of all upstream calls where the stream ends without `Finished`.

        Raises:
            UpstreamError: If the upstream fails before there is anything to deliver, or breaks
                off in the middle of a body that is passed on.
        """
        context = FlowContext(
            request=request,
            policy=self.policy,
            mode=self.policy.mode if mode is None else mode,
            detector=self._label,
            thresholds=self._thresholds,
            bars=self._bars,
            clock=clock,
            request_id=request_id or new_request_id(),
            annotate=annotate,
            budget=self._budget,
            content=content,
            unfinished=unfinished,
        )
        flow = self._observed(guard_flow(context))
        return drive(flow, self._need_upstream(), self._runner, request, template, self._load)

    async def complete(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a Chat Completions request; returns the response's JSON body.

        Flagged replies carry a top-level ``candor`` object.

        Raises:
            InvalidRequestError: If the request cannot be read.
            ReplyRefusedError: If the policy refuses to deliver.
            UpstreamError: If the upstream fails or answers with an error status.
        """
        body = bytearray()
        async with aclosing(self._bodies(request, stream=False)) as pieces:
            async for piece in pieces:
                body += piece
        return _upstream_object(bytes(body))

    async def stream(self, request: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """Answer a Chat Completions request as a stream of chunks.

        The finish chunk of a flagged reply carries a top-level ``candor`` object.

        Raises:
            InvalidRequestError: If the request cannot be read.
            ReplyRefusedError: If the policy refuses to deliver.
            UpstreamError: If the upstream fails, answers with an error status, or with what is no
                event stream.
        """
        reader, found = FrameReader(), False
        async with aclosing(self._bodies(request, stream=True)) as pieces:
            async for piece in pieces:
                frames = reader.feed(piece)
                found = found or any(frame.data is not None for frame in frames)
                for chunk in _chunks(frames):
                    yield chunk
        frames = reader.end()
        for chunk in _chunks(frames):
            yield chunk
        if not found and all(frame.data is None for frame in frames):
            raise UpstreamError("upstream's answer is unreadable: it is no event stream")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the upstream's connections and the detector's thread."""
        self._runner.close()
        if self.upstream is not None:
            await self.upstream.aclose()

    async def _bodies(
        self, payload: Mapping[str, Any], *, stream: bool
    ) -> AsyncGenerator[bytes, None]:
        request = ChatSurface().parse(_client_body(payload, stream=stream))
        template = UpstreamRequest("POST", "/chat/completions", _JSON_HEADERS)
        async with aclosing(self.events(request, template, annotate="flagged")) as events:
            async for event in events:
                match event:
                    case Started():
                        _need_success(event)
                    case Data():
                        yield event.data
                    case Finished():
                        need_delivery(event.outcome)
                    case Holding():
                        pass

    def _need_upstream(self) -> Upstream:
        if self.upstream is None:
            raise ConfigurationError("this Guard has no upstream; pass Guard(upstream=...)")
        return self.upstream

    def _observed(self, flow: Flow) -> Flow:
        outcome = yield from flow
        for observer in self._observers:
            try:
                observer(outcome)
            except Exception:  # noqa: BLE001 - whoever watches must not break what is watched
                _log.exception("observer failed (%s)", outcome.request_id)
        return outcome


def _rebuilt(
    kind: type[Guard],
    detector: Detector,
    policy: Policy,
    upstream: Upstream | None,
    observers: tuple[Observer, ...],
) -> Guard:
    return kind(detector, policy, upstream=upstream, observers=observers)


def _need_parts(detector: object, policy: object, upstream: object, observers: object) -> None:
    """Say what is wrong here, and not where it is used first."""
    problem = ""
    if isinstance(detector, type) or not (detector is None or isinstance(detector, Detector)):
        problem = f"detector must be a detector, such as LexicalDetector(), not {detector!r:.60}"
    elif not (policy is None or isinstance(policy, Policy)):
        problem = f"policy must be a candor_guard.Policy, not {type(policy).__name__}"
    elif upstream is not None and not hasattr(upstream, "open"):
        kind = type(upstream).__name__
        problem = f"upstream must be an upstream, such as DirectUpstream(base_url), not {kind}"
    elif not isinstance(observers, Iterable):
        problem = "observers must be a list of functions"
    if problem:
        raise ConfigurationError(problem)


def new_request_id() -> str:
    """Return a fresh id for one request."""
    return f"candor-{secrets.token_hex(12)}"


def _client_body(payload: object, *, stream: bool) -> bytes:
    if not isinstance(payload, Mapping):
        kind = type(payload).__name__
        raise InvalidRequestError(f"request must be an object with messages, not {kind}")
    try:
        return dump({**payload, "stream": stream})
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"request cannot be written as JSON: {error}") from None


def _chunks(frames: Iterable[Frame]) -> Iterator[dict[str, Any]]:
    for frame in frames:
        if frame.data is not None and frame.data != DONE:
            yield _upstream_object(frame.data)


def _upstream_object(data: bytes) -> dict[str, Any]:
    try:
        return load_object(data)
    except InvalidRequestError as error:
        raise UpstreamError(f"upstream's answer is unreadable: {error}") from None


def _need_success(event: Started) -> None:
    if event.status >= 400:
        raise UpstreamError(f"upstream answered with status {event.status}")
