"""Rounds: every contender in turn, in shuffled order, over and over."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.overhead.client import answered
from benchmarks.overhead.contenders import Contender
from benchmarks.overhead.load import Sample, closed_loop, open_loop
from benchmarks.overhead.mock_upstream import USUAL_WORDS
from benchmarks.overhead.stand import Running
from benchmarks.overhead.traffic import Kinds, Traffic

_SETTLE = 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: Times that every contender has its turn.
        seconds: Of each stretch of load for whole replies.
        connections: Numbers of clients in a closed loop.
        rate: Requests a second in the open loop.
        stream_seconds: Of each stretch of streams; what has begun is always finished.
        stream_rounds: Rounds for streams; whoever is slow to stream takes part in the first only.
        gap_ms: Between the chunks of a paced stream.
        paced_words: Of a paced stream, so that there are enough of them in a short time.
        paced_seconds: Of each stretch of paced streams to one client alone.
    """

    rounds: int = 3
    seconds: float = 0.6
    connections: tuple[int, ...] = (1, 8, 64)
    rate: float = 40.0
    stream_seconds: float = 0.3
    stream_rounds: int = 3
    gap_ms: float = 4.0
    paced_words: int = 24
    paced_seconds: float = 2.8


@dataclass(slots=True)
class Cell:
    """All samples of one contender under one kind of load, a sample and its CPU for each round."""

    samples: list[Sample] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


Cells = dict[str, Cell]
Load = str


@dataclass(frozen=True, slots=True)
class Stage:
    """What a measurement needs."""

    running: Mapping[str, Running]
    kinds: Kinds
    contenders: Sequence[Contender]


def whole_replies(stage: Stage, plan: Plan) -> dict[Load, Cells]:
    """Measure whole replies, closed and open loop."""
    loads: dict[Load, Cells] = {f"{n} connections": {} for n in plan.connections}
    loads[f"open loop, {plan.rate:g}/s"] = {}
    for contender in _turns(stage.contenders, plan.rounds):
        server = stage.running[contender.server]
        traffic = _traffic(stage, contender)
        with _awake(server):
            for load, count in zip(loads, (*plan.connections, None), strict=True):
                run = (
                    open_loop(server.port, traffic, plan.rate, plan.seconds)
                    if count is None
                    else closed_loop(server.port, traffic, count, plan.seconds)
                )
                _measured(loads[load], contender, server, run)
    return loads


def streams(stage: Stage, plan: Plan, gap_ms: float) -> dict[Load, Cells]:
    """Measure streams whose chunks come with that gap; 0: all at once."""
    order(stage.running["mock"].port, "gap", gap_ms)
    order(stage.running["mock"].port, "words", plan.paced_words if gap_ms else USUAL_WORDS)
    loads: dict[Load, Cells] = {f"{n} connections": {} for n in plan.connections}
    streamed = [contender for contender in stage.contenders if contender.streamed]
    quick = [contender for contender in streamed if not contender.slow_streams]
    turns = (*_turns(streamed, 1), *_turns(quick, plan.stream_rounds - 1))
    for contender in turns:
        server = stage.running[contender.server]
        traffic = _traffic(stage, contender, stream=True)
        with _awake(server):
            for load, count in zip(loads, plan.connections, strict=True):
                if count > contender.most_streams:
                    continue
                alone = bool(gap_ms) and count == 1
                seconds = plan.paced_seconds if alone else plan.stream_seconds
                run = closed_loop(server.port, traffic, count, seconds)
                _measured(loads[load], contender, server, run)
    return loads


def order(port: int, what: str, value: float) -> None:
    """Tell the mock upstream how fast (``gap``, in ms) or how much (``words``) to answer."""
    answered(port, f"POST /{what}/{value:g} HTTP/1.1\r\ncontent-length: 0\r\n\r\n".encode())


def _traffic(stage: Stage, contender: Contender, *, stream: bool = False) -> Traffic:
    return Traffic(
        stage.kinds, contender.at_risk, stream=stream, expected=contender.expected,
        route=stage.running[contender.server].server.route,
    )  # fmt: skip


def _turns(contenders: Sequence[Contender], rounds: int) -> Sequence[Contender]:
    """Every contender once a round, in an order that differs from round to round."""
    dice, turns = random.Random(0), list[Contender]()
    for _ in range(rounds):
        turns += dice.sample(contenders, len(contenders))
    return turns


def _measured(cells: Cells, contender: Contender, server: Running, run: object) -> None:
    import uvloop  # noqa: PLC0415 - not there on Windows, where nothing of this runs

    before = server.cpu()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sample: Sample = runner.run(run)  # type: ignore[arg-type]  # a coroutine of either loop
    cell = cells.setdefault(contender.name, Cell())
    cell.samples.append(sample)
    cell.cpu.append((server.cpu() - before) / max(1, sample.sent))


@contextmanager
def _awake(server: Running) -> Iterator[None]:
    server.wake()
    try:
        time.sleep(_SETTLE)  # whatever it had to catch up on
        yield
    finally:
        server.sleep()
