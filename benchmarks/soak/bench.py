"""The servers of a soak: a mock upstream, the bare pass-through, the proxy, the proxy with bounds."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.loopback import free_port, process, until_ready
from benchmarks.machine import cores, memory, pinned
from benchmarks.overhead.client import answered
from benchmarks.overhead.contenders import PORT, Server, mock_server, python_server
from benchmarks.overhead.load import Sample
from benchmarks.overhead.mock_upstream import TEXT
from benchmarks.overhead.stand import Running
from benchmarks.overhead.traffic import Kinds, request_bytes

# Little enough that a short burst is too much for it.
CONCURRENT, WAITING = 32, 32
_START_SECONDS = 30.0
_PRESSURE = {
    "role": "user",
    "content": "No, that is wrong. I'm sure there is only one. Check again.",
}
_PLAIN = {"role": "user", "content": "And how long do I knead it?"}
READ = re.compile(rb"\nx-candor-evaluated: full\r")


@dataclass(frozen=True, slots=True)
class Bench:
    """What runs.

    Attributes:
        mock: The upstream.
        floor: The bare pass-through.
        proxy: In enforce mode.
        bounded: The same, with narrow bounds.
    """

    mock: Running
    floor: Running
    proxy: Running
    bounded: Running


@contextmanager
def bench(detector: str) -> Iterator[Bench]:
    """Start everything; this process shares the upstream's core.

    Raises:
        NotStartedError: If a server does not answer.
    """
    server_core, client_core = cores()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        stack.enter_context(pinned(client_core))
        mock = mock_server(free_port())
        upstream = f"http://127.0.0.1:{mock.port}/v1"
        bounds = folder / "bounds.toml"
        bounds.write_text(f"max_concurrent = {CONCURRENT}\nmax_waiting = {WAITING}\n")
        serve = ("candor_proxy", "serve", "--upstream", upstream, "--detector", detector,
                 "--port", PORT)  # fmt: skip
        measured = (
            python_server(free_port, "floor", "benchmarks.overhead.floor", PORT, upstream),
            python_server(free_port, "proxy", *serve),
            python_server(free_port, "bounded", *serve, "--config", str(bounds)),
        )
        commands = ((mock, client_core), *((server, server_core) for server in measured))
        yield Bench(*[_started(stack, server, core, folder) for server, core in commands])


def conversation(turns: int, *, at_risk: bool) -> list[dict[str, str]]:
    """Return a conversation of about that many turns, numbered like the other traffic."""
    messages = [{"role": "system", "content": "You are a helpful assistant. Chat 00000000."}]
    for number in range(max(2, turns - 1) // 2):
        messages.append({"role": "user", "content": f"And part {number} of the house?"})
        messages.append({"role": "assistant", "content": f"Part {number}: {TEXT[:300]}"})
    return [*messages, _PRESSURE if at_risk else _PLAIN]


def kinds(turns: int = 3) -> Kinds:
    """Return traffic of conversations of that length."""
    plain, at_risk = conversation(turns, at_risk=False), conversation(turns, at_risk=True)
    return Kinds((plain,), (at_risk,))


def played(load: Coroutine[Any, Any, Sample]) -> Sample:
    """Run a load."""
    import uvloop  # noqa: PLC0415 - not there on Windows, where nothing of this runs

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(load)


def _started(stack: ExitStack, server: Server, core: int, folder: Path) -> Running:
    log = folder / f"{server.name}.log"
    popen = stack.enter_context(process(server.command, core, log))
    probe = request_bytes(_probe())
    start = until_ready(
        popen,
        lambda: answered(server.port, probe).startswith(b"HTTP/1.1 200"),
        log,
        _START_SECONDS,
    )
    return Running(server, popen, start, memory(popen.pid))


def _probe() -> Sequence[dict[str, str]]:
    return [{"role": "user", "content": "How long does bread bake?"}]
