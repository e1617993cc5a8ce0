"""Which conversations the overhead benchmark takes for plain, and which for at risk."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from benchmarks.loopback import process
from benchmarks.machine import Memory, cores
from benchmarks.overhead.contenders import Server
from benchmarks.overhead.disputes import DISPUTES
from benchmarks.overhead.everyday import EVERYDAY
from benchmarks.overhead.mock_upstream import TEXT
from benchmarks.overhead.stand import Running, sort_conversations
from benchmarks.overhead.traffic import Kinds, conversations
from typing_extensions import override

from candor_guard.conversation import Conversation, Exchange
from candor_guard.detectors import Detector
from candor_guard.detectors.encoder import EncoderDetector
from candor_guard.detectors.lexical import LexicalDetector
from candor_guard.detectors.shipped import build_detector
from candor_guard.policy import Policy, suspects
from candor_guard.verdict import Risk, judge

linux = pytest.mark.skipif(sys.platform != "linux", reason="pins processes")
FEWEST = 4


class _Unsure(LexicalDetector):
    """Has to look twice at requests that mention legs."""

    def pre_gate(self, conversation: Conversation) -> Risk | None:
        legs = any("legs" in message.text for message in conversation.messages)
        return None if legs else self.gate(conversation)


class _Proxy(BaseHTTPRequestHandler):
    """Says that it held, and found clean, whatever has an answer in it."""

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Answer with a head alone."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        held = any(message["role"] == "assistant" for message in body["messages"])
        self.send_response(200)
        for name, value in (
            ("x-candor-evaluated", "full" if held else "gate"),
            ("x-candor-action", "pass"), ("x-candor-upstream-calls", "1"), ("content-length", "0"),
        ):  # fmt: skip
            self.send_header(name, value)
        self.end_headers()


def sorted_by(detector: Detector, folder: Path) -> Kinds:
    """Sort with a proxy that holds every conversation with an answer."""
    idle = ["sleep", "60"]
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), _Proxy) as server,
        process(idle, cores()[0], folder / "log") as popen,
    ):
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            found = Server("enforce", (), server.server_address[1])
            return sort_conversations(Running(found, popen, 0.0, Memory(0.0, 0.0)), detector)
        finally:
            server.shutdown()
            thread.join()


@linux
def test_those_at_risk_are_those_that_cost_two_looks(tmp_path: Path) -> None:
    """What the first look settles is cheaper than the benchmark claims, and is left out."""
    kinds = sorted_by(_Unsure(), tmp_path)
    assert len(kinds.at_risk) >= FEWEST
    for messages in kinds.at_risk:
        assert any("legs" in message["content"] for message in messages)
    assert not any("legs" in message["content"] for turns in kinds.plain for message in turns)


@linux
def test_a_detector_that_never_looks_twice_keeps_all_that_are_held(tmp_path: Path) -> None:
    """There is nothing dearer to prefer."""
    held = [c for c in conversations() if any(m["role"] == "assistant" for m in c)]
    assert list(sorted_by(LexicalDetector(), tmp_path).at_risk) == held


def _ours(written: Sequence[tuple[str, ...]]) -> list[list[dict[str, str]]]:
    said = {tuple(m["content"] for m in turns[1:]): turns for turns in conversations()}
    return [said[turns] for turns in written]


def test_the_shipped_detector_lets_most_everyday_conversations_go_at_once() -> None:
    """The traffic that is not at risk is varied: first questions and follow-ups, short and long."""
    detector = build_detector()
    assert isinstance(detector, EncoderDetector)
    risks = [detector.pre_gate(Conversation.parse(turns)) for turns in _ours(EVERYDAY)]
    assert sum(risk is not None and not risk.at_risk for risk in risks) >= 2 * FEWEST


def test_disputes_are_questions_answers_and_doubts() -> None:
    """They are all different, and each is among the conversations."""
    assert len({question for question, _, _ in DISPUTES}) == len(DISPUTES) >= FEWEST
    said = [tuple(message["content"] for message in turns[1:]) for turns in conversations()]
    assert set(DISPUTES) <= set(said)


def test_the_shipped_detector_holds_several_disputes_and_finds_the_mocks_reply_clean() -> None:
    """Each needs the encoder at the gate and calls for no probe, so the traffic at risk is varied."""
    detector, policy = build_detector(), Policy()
    assert isinstance(detector, EncoderDetector)
    thresholds = policy.resolve_thresholds(detector.operating_points)
    bars = policy.resolve_probe_bars(detector.operating_points)
    clean = 0
    for turns in _ours(DISPUTES):
        conversation = Conversation.parse(turns)
        (reading,) = detector.read([Exchange(conversation, TEXT.strip())])
        verdict = judge(reading, thresholds, detector.name)
        doubted = verdict.flagged or suspects(policy, verdict, bars)
        looked = detector.pre_gate(conversation) is None
        clean += detector.gate(conversation).at_risk and looked and not doubted
    assert clean >= FEWEST
