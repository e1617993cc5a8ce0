"""The requests: real conversations, at risk or not, each sent once.

A server that remembers conversations would look faster than it is, so every request carries a
number of its own in its first turn.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from benchmarks.overhead.disputes import DISPUTES
from benchmarks.overhead.everyday import EVERYDAY
from candor_proxy.demo.conversations import load_conversations

_MARK = "00000000"
_ROLES = ("user", "assistant")
_HEAD = (
    "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    "content-type: application/json\r\naccept: */*\r\nuser-agent: benchmark\r\n"
    "authorization: Bearer sk-none\r\ncontent-length: {length}\r\n\r\n"
)
_ANY = re.compile(b"")
_PATTERN = 100


@dataclass(frozen=True, slots=True)
class Route:
    """How a server is asked for a chat.

    Attributes:
        path: Of its URL.
        model: What it calls the mock's model.
    """

    path: str = "/v1/chat/completions"
    model: str = "mock"


USUAL = Route()


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        data: Head and body.
        expected: Found in the head of every right answer: a figure for the wrong path is worthless.
    """

    data: bytes
    expected: re.Pattern[bytes] = _ANY


@dataclass(frozen=True, slots=True)
class Kinds:
    """Conversations by what the gate makes of them.

    Attributes:
        plain: Not at risk: their replies pass unread.
        at_risk: Their replies are held, read and found clean.
    """

    plain: tuple[Sequence[Mapping[str, str]], ...]
    at_risk: tuple[Sequence[Mapping[str, str]], ...]


def conversations() -> list[list[dict[str, str]]]:
    """Return the demo's conversations, `DISPUTES` and `EVERYDAY`; each begins with a system turn."""
    system = {"role": "system", "content": f"You are a helpful assistant. Chat {_MARK}."}
    ours = [
        [{"role": role, "content": text} for role, text in zip(cycle(_ROLES), turns, strict=False)]
        for turns in (*DISPUTES, *EVERYDAY)
    ]
    return [
        [system, *messages] for messages in (*(c.messages for c in load_conversations()), *ours)
    ]


def request_bytes(
    messages: Sequence[Mapping[str, str]], *, stream: bool = False, number: int = 0,
    route: Route = USUAL,
) -> bytes:  # fmt: skip
    """Return a whole HTTP request with that number in its first turn."""
    payload: dict[str, Any] = {
        "model": route.model, "messages": list(messages), "stream": stream,
    }  # fmt: skip
    body = json.dumps(payload).encode().replace(_MARK.encode(), b"%08d" % number)
    return _HEAD.format(path=route.path, length=len(body)).encode() + body


class Traffic:
    """Requests in a fixed mix, numbered; call it for the next one.

    Args:
        kinds: To choose from.
        at_risk: Share of conversations at risk, in whole per cent.
        stream: Whether streams are asked for.
        expected: Patterns in the heads of answers, by whether the conversation is at risk.
        route: How the server is asked.
    """

    def __init__(
        self, kinds: Kinds, at_risk: int, *, stream: bool = False,
        expected: Callable[[bool], re.Pattern[bytes]] = lambda _: _ANY, route: Route = USUAL,
    ) -> None:  # fmt: skip
        self._number = 0
        self._parts = {
            risky: cycle([_split(messages, stream=stream, route=route) for messages in chosen])
            for risky, chosen in ((False, kinds.plain), (True, kinds.at_risk))
        }
        self._expected = {risky: expected(risky) for risky in (False, True)}
        self._order = _mixed(at_risk)

    def __call__(self) -> Request:
        """Return the next request."""
        risky = next(self._order)
        before, after = next(self._parts[risky])
        self._number += 1
        return Request(b"%s%08d%s" % (before, self._number, after), self._expected[risky])


def _split(
    messages: Sequence[Mapping[str, str]], *, stream: bool, route: Route
) -> tuple[bytes, bytes]:
    whole = request_bytes(messages, stream=stream, route=route)
    before, _, after = whole.partition(_MARK.encode())
    return before, after


def _mixed(per_cent: int) -> Iterator[bool]:
    order = [True] * per_cent + [False] * (_PATTERN - per_cent)
    random.Random(0).shuffle(order)
    return cycle(order)
