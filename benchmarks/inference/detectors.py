"""The shipped detectors from end to end: gate and reading, as the guard calls them."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.inference.timing import Call, timed
from benchmarks.overhead.mock_upstream import TEXT
from candor_guard.conversation import Conversation, Exchange
from candor_guard.detectors import Detector
from candor_guard.detectors.shipped import build_detector
from candor_guard.errors import CandorGuardError
from candor_proxy.demo.conversations import load_conversations


def end_to_end(
    names: Sequence[str], words: Sequence[int], turns: Sequence[int], seconds: float
) -> dict[str, Any]:
    """Time detectors on the demo's conversations, on long replies and on long conversations.

    Args:
        names: Of detectors, or their folders; one that cannot be loaded is left out, with its
            reason.
        words: Lengths of replies.
        turns: Lengths of conversations.
        seconds: For each figure.
    """
    found: dict[str, Any] = {}
    for name in names:
        try:
            detector = build_detector(name)
        except CandorGuardError as error:
            found[name] = {"left out": str(error)}
            continue
        found[name] = {
            "demo": _demo(detector, seconds),
            "reply of so many words": timed(
                {str(count): _read(detector, 3, count) for count in words}, seconds
            ),
            "conversation of so many turns": timed(
                {str(count): _whole(detector, count) for count in turns}, seconds
            ),
        }
    return found


def _demo(detector: Detector, seconds: float) -> dict[str, dict[str, float]]:
    """Medians over the conversations of the demo, and the slowest conversation's."""
    exchanges = [
        Exchange(Conversation.parse(entry.messages), entry.pleasing)
        for entry in load_conversations()
    ]
    each = seconds / len(exchanges)
    found = {}
    for what, call in (("gate", _gate_call), ("read", _read_call)):
        rows = timed({str(i): call(detector, one) for i, one in enumerate(exchanges)}, each)
        medians = [row["p50_ms"] for row in rows.values()]
        found[what] = {"p50_ms": statistics.median(medians), "slowest_p50_ms": max(medians)}
    return found


def _gate_call(detector: Detector, exchange: Exchange) -> Call:
    return functools.partial(detector.gate, exchange.conversation)


def _read_call(detector: Detector, exchange: Exchange) -> Call:
    return functools.partial(detector.read, [exchange])


def _read(detector: Detector, turns: int, words: int) -> Call:
    return functools.partial(detector.read, [_exchange(turns, words)])


def _whole(detector: Detector, turns: int) -> Call:
    exchange = _exchange(turns, 150)

    def both() -> None:
        detector.gate(exchange.conversation)
        detector.read([exchange])

    return both


def _exchange(turns: int, words: int) -> Exchange:
    """A conversation that ends under pressure, and a reply of that many words."""
    messages = [
        {"role": ("user", "assistant")[i % 2], "content": f"Part {i}. {TEXT[:400]}"}
        for i in range(max(2, turns - 1) // 2 * 2)
    ]
    messages.append({"role": "user", "content": "No, that is wrong. Are you sure? Check again."})
    reply = " ".join((TEXT * (1 + words // 100)).split()[:words])
    return Exchange(Conversation.parse(messages), reply)
