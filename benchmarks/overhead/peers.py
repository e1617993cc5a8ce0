"""Gateways of other projects, each in an environment of its own: how they are set up and started.

Each does the least that it can do, passes the mock's reply on, and listens on loopback in a single
process. Their own start commands open the port to other machines, write a line or the whole text
of every request to a log, or start worker processes that a signal to the first one does not reach;
where that is so, the few lines that start the same application without it are here.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.overhead.contenders import Server
from benchmarks.overhead.traffic import USUAL, Route

_START_SECONDS = 120.0
_LOOK_SECONDS = 60.0
_VERSION = "import sys, importlib.metadata as found; print(found.version(sys.argv[1]))"

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

_SERVE = """\
logging.disable(logging.INFO)
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
"""

_NEMO = """\
models:
  - type: main
    engine: openai
    model: mock
    parameters: {{base_url: "{upstream}", api_key: sk-none}}
rails:
  output:
    flows: [{flow}]
    streaming: {{enabled: true}}
"""
# The faster engine takes none but the rails that come with the package.
_NEMO_REGEX = """\
  config:
    regex_detection:
      output: {patterns: ["no reply of the mock has this in it"]}
"""
_NEMO_FLOW = """\
define subflow look at reply
  $outcome = execute look_at_reply
  if $outcome.is_blocked
    bot refuse to respond
    stop
"""
_NEMO_ACTION = '''\
"""An action that looks at the reply and lets it pass."""

from nemoguardrails.actions import action
from nemoguardrails.actions.rail_outcome import RailOutcome


@action(is_system_action=True)
async def look_at_reply(context=None, **_):
    return RailOutcome.allow() if context and context.get("bot_message") else RailOutcome.block()
'''
_NEMO_START = """\
import logging, sys
import uvicorn
from nemoguardrails.server import api

app = api.app
app.rails_config_path = sys.argv[1]
api.set_default_config_id("rails")
"""

_GUARD = '''\
"""A validator that looks at the reply and lets it pass."""

from guardrails import AsyncGuard
from guardrails.validators import FailResult, PassResult, Validator, register_validator


@register_validator(name="trivial", data_type="string")
class Trivial(Validator):
    def validate(self, value, metadata):
        return PassResult() if value else FailResult(error_message="no reply")


guard = AsyncGuard(id="trivial", name="trivial").use(Trivial())
'''
_GUARD_SETTINGS = "id=none\nenable_metrics=false\nuse_remote_inferencing=false\n"
_GUARD_START = """\
import logging, sys
import uvicorn
from guardrails_api.app import create_app

app = create_app(None, sys.argv[1], int(sys.argv[2]))
"""

_LM_PROXY = """\
api_key_check = {{class = "lm_proxy.api_key_check.AllowAll"}}

[connections.mock]
api_type = "openai"
api_base = "{upstream}"
api_key = "sk-none"

[routing]
"*" = "mock.*"
"""
_LM_PROXY_START = """\
import logging, sys
import uvicorn
from lm_proxy.app import web_app
from lm_proxy.bootstrap import bootstrap

bootstrap(config=sys.argv[1], env_file="")
app = web_app()
"""

_MLFLOW = """\
endpoints:
  - name: mock
    endpoint_type: llm/v1/chat
    model:
      provider: openai
      name: mock
      config: {{openai_api_key: sk-none, openai_api_base: "{upstream}"}}
"""
_MLFLOW_START = """\
import logging, sys
import uvicorn
from mlflow.gateway.app import create_app_from_path

app = create_app_from_path(sys.argv[1])
"""

Port = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Peer:
    """A gateway of another project.

    Attributes:
        name: Of its flag, ``--NAME-python``.
        title: In words.
        package: Whose version is told.
        requirement: What has to be installed.
        servers: Its servers, not yet started; takes what gives a free port, the upstream's base
            URL, an interpreter that has the requirement, and a folder for files.
    """

    name: str
    title: str
    package: str
    requirement: str
    servers: Callable[[Port, str, Path, Path], list[Server]]


@dataclass(frozen=True, slots=True)
class There:
    """Who can take part.

    Attributes:
        pythons: Their interpreters, by name.
        versions: Of their packages, by package.
        left_out: Who cannot, and why, a line each.
    """

    pythons: Mapping[str, Path]
    versions: Mapping[str, str]
    left_out: tuple[str, ...]


def there(pythons: Mapping[str, Path | None]) -> There:
    """Return which peers can take part.

    Args:
        pythons: Interpreters by the peers' names, None for those that nobody asked for.
    """
    found: dict[str, Path] = {}
    versions, left_out = dict[str, str](), list[str]()
    for peer in PEERS:
        python = pythons.get(peer.name)
        version = None if python is None else _version(python, peer.package)
        if python is None:
            left_out.append(f"{peer.title} left out: no --{peer.name}-python PATH")
        elif not python.is_file():
            left_out.append(f"{peer.title} left out: there is no {python}")
        elif version is None:
            left_out.append(f"{peer.title} left out: {python} has no {peer.requirement}")
        else:
            found[peer.name], versions[peer.package] = python, version
    return There(found, versions, tuple(left_out))


def _version(python: Path, package: str) -> str | None:
    command = (str(python), "-c", _VERSION, package)
    try:
        told = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_LOOK_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip()


def litellm_servers(port: Port, upstream: str, python: Path, folder: Path) -> list[Server]:
    """Return LiteLLM's proxy, plain and with a guardrail that does nothing."""
    config = _LITELLM.format(upstream=upstream)
    servers = []
    for name, more in (("litellm", ""), ("litellm-guardrail", _LITELLM_GUARDRAIL)):
        home = _laid(
            folder / name,
            {"config.yaml": config + more, "trivial_guardrail.py": _TRIVIAL_GUARDRAIL},
        )
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
        servers.append(Server(name, command, chosen, _START_SECONDS))
    return servers


def nemo_servers(port: Port, upstream: str, python: Path, folder: Path) -> list[Server]:
    """Return NeMo Guardrails: with an action of one's own, and with the faster engine's regex."""
    action = _laid(
        folder / "nemo",
        {
            "start.py": _NEMO_START + _SERVE,
            "rails/config.yml": _NEMO.format(upstream=upstream, flow="look at reply"),
            "rails/look.co": _NEMO_FLOW,
            "rails/actions.py": _NEMO_ACTION,
        },
    )
    regex = _laid(
        folder / "nemo-iorails",
        {
            "start.py": _NEMO_START + _SERVE,
            "rails/config.yml": _NEMO.format(upstream=upstream, flow="regex check output")
            + _NEMO_REGEX,
        },
    )
    quiet = ("NEMO_GUARDRAILS_NO_USAGE_STATS=1",)
    fast = (*quiet, "NEMO_GUARDRAILS_IORAILS_ENGINE=true")
    return [
        _server(action, python, action, port(), quiet),
        _server(regex, python, regex, port(), fast),
    ]


def guardrails_ai_servers(port: Port, upstream: str, python: Path, folder: Path) -> list[Server]:
    """Return Guardrails AI's server, whose URL names the guard and whose model the provider."""
    home = _laid(
        folder / "guardrails-ai",
        {"start.py": _GUARD_START + _SERVE, "guard.py": _GUARD, ".guardrailsrc": _GUARD_SETTINGS},
    )
    settings = (
        # Where it looks for its settings, in which reports of use are switched off.
        f"HOME={home}", "OTEL_SDK_DISABLED=true", "LITELLM_LOCAL_MODEL_COST_MAP=True",
        f"OPENAI_API_BASE={upstream}", "OPENAI_API_KEY=sk-none",
    )  # fmt: skip
    route = Route("/guards/trivial/openai/v1/chat/completions", "openai/mock")
    return [_server(home, python, home / "guard.py", port(), settings, route)]


def lm_proxy_servers(port: Port, upstream: str, python: Path, folder: Path) -> list[Server]:
    """Return LM-Proxy, which lets everybody in."""
    files = {
        "start.py": _LM_PROXY_START + _SERVE,
        "config.toml": _LM_PROXY.format(upstream=upstream),
    }
    home = _laid(folder / "lm-proxy", files)
    return [_server(home, python, home / "config.toml", port())]


def mlflow_servers(port: Port, upstream: str, python: Path, folder: Path) -> list[Server]:
    """Return MLflow's gateway, the one that a file configures."""
    files = {"start.py": _MLFLOW_START + _SERVE, "config.yaml": _MLFLOW.format(upstream=upstream)}
    home = _laid(folder / "mlflow", files)
    quiet = ("MLFLOW_DISABLE_TELEMETRY=true",)
    return [_server(home, python, home / "config.yaml", port(), quiet)]


def _laid(home: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return home


def _server(
    home: Path, python: Path, config: Path, port: int, settings: tuple[str, ...] = (),
    route: Route = USUAL,
) -> Server:  # fmt: skip
    command = ("env", *settings, str(python), str(home / "start.py"), str(config), str(port))
    return Server(home.name, command, port, _START_SECONDS, route)


PEERS = (
    Peer("litellm", "LiteLLM proxy", "litellm", "litellm[proxy]", litellm_servers),
    Peer("nemo", "NeMo Guardrails", "nemoguardrails", "nemoguardrails[server]", nemo_servers),
    Peer(
        "guardrails-ai", "Guardrails AI", "guardrails-api", "guardrails-ai[api]",
        guardrails_ai_servers,
    ),
    Peer("lm-proxy", "LM-Proxy", "lm-proxy", "lm-proxy", lm_proxy_servers),
    Peer("mlflow", "MLflow AI Gateway", "mlflow", "mlflow[gateway]", mlflow_servers),
)  # fmt: skip
