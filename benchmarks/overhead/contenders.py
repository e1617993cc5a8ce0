"""Who is compared: how each server is started, what it is asked, what its answers must show."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_LITELLM_START_SECONDS = 120.0
_START_SECONDS = 30.0
_ANY = re.compile(b"")
_GATED = re.compile(rb"\nx-candor-evaluated: gate\r")
_READ = re.compile(rb"\nx-candor-evaluated: (?:full|deferred)\r")
_UNTOUCHED = re.compile(rb"\nx-candor-evaluated: none\r")

# Model lists of LiteLLM name the provider before the model.
_LITELLM = """\
model_list:
  - model_name: mock
    litellm_params: {{model: openai/mock, api_base: "{upstream}", api_key: sk-none}}
litellm_settings: {{num_retries: 0}}
router_settings: {{num_retries: 0}}
"""
_LITELLM_GUARDRAIL = """\
guardrails:
  - guardrail_name: trivial
    litellm_params: {guardrail: trivial_guardrail.Trivial, mode: post_call, default_on: true}
"""
_TRIVIAL_GUARDRAIL = '''\
"""A guardrail that looks at the reply and lets it pass."""

from litellm.integrations.custom_guardrail import CustomGuardrail


class Trivial(CustomGuardrail):
    async def async_post_call_success_hook(self, data, user_api_key_dict, response):
        if not response.choices:
            raise ValueError("no reply")
        return response
'''


@dataclass(frozen=True, slots=True)
class Server:
    """A process of its own.

    Attributes:
        name: For the tables.
        command: What to run.
        port: Where it will listen.
        limit: Seconds that it may take to start.
    """

    name: str
    command: tuple[str, ...]
    port: int
    limit: float = _START_SECONDS


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
    """

    name: str
    server: str
    at_risk: int = 10
    expected: Callable[[bool], re.Pattern[bytes]] = lambda _: _ANY
    streamed: bool = True
    slow_streams: bool = False


DIRECT, FLOOR, LITELLM, LITELLM_GUARDRAIL = (
    "direct", "bare pass-through", "LiteLLM proxy", "LiteLLM proxy, trivial guardrail",
)  # fmt: skip
UNGATED, TENTH, WORST = "enforce, 0 % at risk", "enforce, 10 % at risk", "enforce, 100 % at risk"

CONTENDERS = (
    Contender(DIRECT, "mock"),
    Contender(FLOOR, "floor"),
    Contender("off", "off", 10, lambda _: _UNTOUCHED),
    Contender("observe, 10 % at risk", "observe", 10, lambda risky: _READ if risky else _GATED),
    Contender(UNGATED, "enforce", 0, lambda _: _GATED),
    Contender(TENTH, "enforce", 10, lambda risky: _READ if risky else _GATED, streamed=False),
    Contender(WORST, "enforce", 100, lambda _: _READ),
    Contender(LITELLM, "litellm", slow_streams=True),
    Contender(LITELLM_GUARDRAIL, "litellm-guardrail", slow_streams=True),
)


def mock_server(port: int) -> Server:
    """Return the upstream."""
    return Server("mock", _python("benchmarks.overhead.mock_upstream", str(port), "0"), port)


def our_servers(port: Callable[[], int], upstream: str, detector: str) -> list[Server]:
    """Return the floor and the proxy in its three modes.

    Args:
        port: Gives a free one.
        upstream: Base URL.
        detector: Name or folder.
    """
    servers = []
    chosen = port()
    servers.append(
        Server("floor", _python("benchmarks.overhead.floor", str(chosen), upstream), chosen)
    )
    for mode in ("off", "observe", "enforce"):
        chosen = port()
        flags = ("--upstream", upstream, "--port", str(chosen), "--detector", detector)
        command = _python("candor_proxy", "serve", *flags, "--mode", mode)
        servers.append(Server(mode, command, chosen))
    return servers


def litellm_servers(
    port: Callable[[], int], upstream: str, python: Path, folder: Path
) -> list[Server]:
    """Return LiteLLM's proxy, plain and with a guardrail that does nothing.

    Args:
        port: Gives a free one.
        upstream: Base URL.
        python: An interpreter that has ``litellm[proxy]``.
        folder: Where their configuration goes.
    """
    config = _LITELLM.format(upstream=upstream)
    servers = []
    for name, more in (("litellm", ""), ("litellm-guardrail", _LITELLM_GUARDRAIL)):
        home = folder / name
        home.mkdir()
        (home / "config.yaml").write_text(config + more, encoding="utf-8")
        (home / "trivial_guardrail.py").write_text(_TRIVIAL_GUARDRAIL, encoding="utf-8")
        chosen = port()
        command = (
            # Its own fetch of prices would wait for a network that the benchmark does without.
            "env", "LITELLM_LOCAL_MODEL_COST_MAP=True", "LITELLM_LOG=ERROR",
            # Without a key it has least to do.
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY=true", str(python), "-c",
            "from litellm import run_server; run_server()", "--config", str(home / "config.yaml"),
            "--host", "127.0.0.1", "--port", str(chosen), "--num_workers", "1", "--telemetry",
            "False",
        )  # fmt: skip
        servers.append(Server(name, command, chosen, _LITELLM_START_SECONDS))
    return servers


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)
