"""Plays every case directly and through the proxy, whole and streamed."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.repair.asking import Answer, ask, loopback_client
from benchmarks.repair.cases import Case
from benchmarks.repair.errors import BenchmarkError
from benchmarks.repair.processes import Ports

MODEL = "replay-1"
_PURPOSES = ("plain", "honest", "probe", "unknown")
_AT_ONCE = 20
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one request through the proxy cost upstream, as the upstream counted it.

    Attributes:
        calls: By purpose: plain, honest (a regeneration), probe, unknown.
        prompt_tokens: Of the calls beyond the first.
        completion_tokens: Of the calls beyond the first.
    """

    calls: Mapping[str, int]
    prompt_tokens: int
    completion_tokens: int

    @property
    def extra(self) -> int:
        """Calls beyond the first."""
        return sum(self.calls.values()) - 1


@dataclass(frozen=True, slots=True)
class Played:
    """A case and its replies, either whole or streamed."""

    case: Case
    stream: bool
    direct: Answer
    guarded: Answer
    cost: Cost

    @property
    def error(self) -> str:
        """What kept this case from being played, or ""."""
        if self.direct.error or self.guarded.error:
            return self.direct.error or self.guarded.error
        return "" if self.direct.text == self.case.plain else "the plain reply is another one"

    @property
    def delivered(self) -> str:
        """Which reply the user got through the proxy: plain, honest, corrected or other.

        ``corrected``: the plain one with the honest one behind it, which is not a repair: the user
        has read the fault.
        """
        text = self.guarded.text
        if text == self.case.plain:
            return "plain"
        if text == self.case.honest:
            return "honest"
        told_twice = text.startswith(self.case.plain) and self.case.honest in text
        return "corrected" if told_twice else "other"


def play(ports: Ports, cases: Sequence[Case], progress: Progress) -> list[Played]:
    """Play all cases, one request at a time.

    Raises:
        BenchmarkError: If the replay upstream does not answer.
    """
    direct, guarded = loopback_client(ports.replay), loopback_client(ports.guard)
    played: list[Played] = []
    with direct, guarded:
        for number, case in enumerate(cases, start=1):
            for stream in (False, True):
                first = _ask(direct, case, stream=stream)
                take_calls(ports.replay)
                second = _ask(guarded, case, stream=stream)
                cost = cost_of(take_calls(ports.replay), first.usage)
                played.append(Played(case, stream, first, second, cost))
            progress(f"{number}/{len(cases)} conversations")
    return played


def cost_of(rows: Iterable[Mapping[str, Any]], first: Mapping[str, int]) -> Cost:
    """Read the upstream's ledger for one request.

    Args:
        rows: The ledger.
        first: Usage of the call that every client would have made.
    """
    rows = list(rows)
    calls = {
        purpose: sum(int(row["calls"]) for row in rows if row["purpose"] == purpose)
        for purpose in _PURPOSES
    }
    prompt, completion = (
        sum(int(row[name]) for row in rows) - first.get(name, 0)
        for name in ("prompt_tokens", "completion_tokens")
    )
    return Cost(calls, prompt, completion)


def verdicts(
    port: int, cases: Sequence[Case], reply: Callable[[Case], str]
) -> list[Mapping[str, Any]]:
    """Let the proxy's detector read one reply of every case, without an upstream.

    Raises:
        BenchmarkError: If it does not answer.
    """
    read: list[Mapping[str, Any]] = []
    for start in range(0, len(cases), _AT_ONCE):
        lines = [
            json.dumps({"id": case.id, "messages": list(case.messages), "reply": reply(case)})
            for case in cases[start : start + _AT_ONCE]
        ]
        body = _http(port, "POST", "/candor/v1/check", "\n".join(lines).encode())
        read += [json.loads(line) for line in body.decode().split("\n") if line.strip()]
    return read


def take_calls(port: int) -> list[dict[str, Any]]:
    """Return what the replay upstream was asked since the last time.

    Raises:
        BenchmarkError: If it does not answer.
    """
    rows: list[dict[str, Any]] = json.loads(_http(port, "DELETE", "/replay/calls"))
    return rows


def _ask(client: Any, case: Case, *, stream: bool) -> Answer:
    # The id is needed: recorded rows share conversations and differ in their honest reply only.
    return ask(client, MODEL, case.messages, stream=stream, metadata={"replay_id": case.id})


def _http(port: int, method: str, path: str, body: bytes | None = None) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        content = response.read()
    except OSError as error:
        raise BenchmarkError(f"{method} {path}: {error}") from None
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise BenchmarkError(f"{method} {path}: status {response.status}")
    return content
