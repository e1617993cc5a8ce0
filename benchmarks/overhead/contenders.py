"""Who is compared: how each server is started, what it is asked, what its answers must show."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.overhead.traffic import USUAL, Route

PORT = "{port}"  # in the arguments of a server, until it has one
_START_SECONDS = 30.0
_ANY = re.compile(b"")
_GATED = re.compile(rb"\nx-candor-evaluated: gate\r")
_READ = re.compile(rb"\nx-candor-evaluated: (?:full|deferred)\r")
_UNTOUCHED = re.compile(rb"\nx-candor-evaluated: none\r")


@dataclass(frozen=True, slots=True)
class Server:
    """A process of its own.

    Attributes:
        name: For the tables.
        command: What to run.
        port: Where it will listen.
        limit: Seconds that it may take to start.
        route: How it is asked.
    """

    name: str
    command: tuple[str, ...]
    port: int
    limit: float = _START_SECONDS
    route: Route = USUAL


@dataclass(frozen=True, slots=True)
class Contender:
    """A server under one kind of traffic.

    Attributes:
        name: For the tables.
        server: Name of its server.
        at_risk: Share of conversations at risk, in whole per cent.
        expected: Pattern in the heads of its answers, by whether a conversation is at risk.
        streamed: Whether it is also asked for streams.
        slow_streams: Whether streams take so long that one round of them has to do.
        most_streams: More of them at a time are not asked for: they would not end in time.
    """

    name: str
    server: str
    at_risk: int = 10
    expected: Callable[[bool], re.Pattern[bytes]] = lambda _: _ANY
    streamed: bool = True
    slow_streams: bool = False
    most_streams: int = 1000


DIRECT, FLOOR, LITELLM, LITELLM_GUARDRAIL = (
    "direct", "bare pass-through", "LiteLLM proxy", "LiteLLM proxy, trivial guardrail",
)  # fmt: skip
NEMO, NEMO_IORAILS, GUARDRAILS_AI, LM_PROXY, MLFLOW = (
    "NeMo Guardrails, trivial action", "NeMo Guardrails, IORails, regex",
    "Guardrails AI, trivial validator", "LM-Proxy", "MLflow AI Gateway",
)  # fmt: skip
UNGATED, TENTH, WORST = "enforce, 0 % at risk", "enforce, 10 % at risk", "enforce, 100 % at risk"
GRANIAN_FLOOR, GRANIAN = "bare pass-through, Granian", "enforce, 0 % at risk, Granian"

CONTENDERS = (
    Contender(DIRECT, "mock"),
    Contender(FLOOR, "floor"),
    Contender("off", "off", 10, lambda _: _UNTOUCHED),
    Contender("observe, 10 % at risk", "observe", 10, lambda risky: _READ if risky else _GATED),
    Contender(UNGATED, "enforce", 0, lambda _: _GATED),
    Contender(TENTH, "enforce", 10, lambda risky: _READ if risky else _GATED, streamed=False),
    Contender(WORST, "enforce", 100, lambda _: _READ),
    Contender(GRANIAN_FLOOR, "granian-floor"),
    Contender(GRANIAN, "granian", 0, lambda _: _GATED),
    Contender(LITELLM, "litellm", slow_streams=True),
    Contender(LITELLM_GUARDRAIL, "litellm-guardrail", slow_streams=True),
    Contender(NEMO, "nemo", slow_streams=True),
    Contender(NEMO_IORAILS, "nemo-iorails", slow_streams=True),
    # One stream after the other, each with the event loop to itself: 64 take half a minute.
    Contender(GUARDRAILS_AI, "guardrails-ai", slow_streams=True, most_streams=8),
    Contender(LM_PROXY, "lm-proxy", slow_streams=True),
    Contender(MLFLOW, "mlflow", slow_streams=True),
)


def mock_server(port: int) -> Server:
    """Return the upstream."""
    return python_server(lambda: port, "mock", "benchmarks.overhead.mock_upstream", PORT, "0")


def our_servers(port: Callable[[], int], upstream: str, detector: str) -> list[Server]:
    """Return the floor and the proxy in its three modes.

    Args:
        port: Gives a free one.
        upstream: Base URL.
        detector: Name or folder.
    """
    flags = ("--upstream", upstream, "--port", PORT, "--detector", detector)
    return [
        python_server(port, "floor", "benchmarks.overhead.floor", PORT, upstream),
        *(
            python_server(port, mode, "candor_proxy", "serve", *flags, "--mode", mode)
            for mode in ("off", "observe", "enforce")
        ),
    ]


def python_server(
    port: Callable[[], int],
    name: str,
    module: str,
    *arguments: str,
    settings: tuple[str, ...] = (),
) -> Server:
    """Return a server that is a module, run by this very Python.

    Args:
        port: Gives a free one.
        name: For the tables.
        module: What to run.
        arguments: Of the module; its port where `PORT` stands.
        settings: Of its environment, each ``NAME=value``.
    """
    chosen = port()
    given = (str(chosen) if argument == PORT else argument for argument in arguments)
    before = ("env", *settings) if settings else ()
    return Server(name, (*before, sys.executable, "-m", module, *given), chosen)
