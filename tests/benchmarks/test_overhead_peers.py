"""Other projects' gateways in the overhead benchmark: flags, files and checks, without any of them."""

from __future__ import annotations

import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from benchmarks.loopback import NotStartedError, free_port, process, until_ready
from benchmarks.machine import Memory, cores
from benchmarks.overhead.client import answered
from benchmarks.overhead.contenders import (
    CONTENDERS,
    DIRECT,
    GUARDRAILS_AI,
    Contender,
    Server,
    mock_server,
)
from benchmarks.overhead.measure import Plan, Stage, streams
from benchmarks.overhead.peers import PEERS, there
from benchmarks.overhead.stand import Running, relays
from benchmarks.overhead.traffic import Kinds, Route, Traffic, request_bytes
from typing_extensions import override

UPSTREAM = "http://127.0.0.1:1/v1"
ROOT = Path(__file__).parents[2]
OURS = {"mock", "floor", "off", "observe", "enforce", "granian-floor", "granian"}
TURNS = ({"role": "system", "content": "Chat 00000000."}, {"role": "user", "content": "Hello?"})
linux = pytest.mark.skipif(sys.platform != "linux", reason="pins processes and reads /proc")
posix = pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for Python")


def servers(folder: Path, python: Path = Path("/opt/venv/bin/python")) -> list[Server]:
    """All servers of all peers, their files under a folder."""
    return [s for peer in PEERS for s in peer.servers(free_port, UPSTREAM, python, folder)]


def written(folder: Path) -> dict[str, str]:
    """The files under a folder, by path within it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in files}


# -- who takes part -------------------------------------------------------------------------------


def test_every_server_of_a_peer_is_a_contender_and_the_other_way_round(tmp_path: Path) -> None:
    """Nobody is started without being measured, and nobody's row stays empty for want of a server."""
    names = [server.name for server in servers(tmp_path)]
    assert len(set(names)) == len(names)
    assert set(names) == {c.server for c in CONTENDERS} - OURS


def test_a_peer_without_its_flag_is_left_out() -> None:
    """The line names the flag."""
    found = there({})
    assert not found.pythons
    assert not found.versions
    assert len(found.left_out) == len(PEERS)
    assert "NeMo Guardrails left out: no --nemo-python PATH" in found.left_out


def test_a_wrong_path_is_told_in_one_line(tmp_path: Path) -> None:
    """A path that is not there, and a folder, leave only their own peer out."""
    found = there({"nemo": tmp_path / "nowhere", "mlflow": tmp_path})
    assert not found.pythons
    assert f"NeMo Guardrails left out: there is no {tmp_path / 'nowhere'}" in found.left_out
    assert f"MLflow AI Gateway left out: there is no {tmp_path}" in found.left_out


@posix
@pytest.mark.parametrize(
    ("script", "takes_part"), [("echo 1.2.3", True), ("echo no such package >&2; exit 1", False)]
)
def test_an_interpreter_must_have_the_package(
    tmp_path: Path, script: str, takes_part: bool
) -> None:
    """One that has it is taken, and its version kept; one that has not is told in one line."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    python.chmod(0o755)
    found = there({"lm-proxy": python})
    assert found.pythons == ({"lm-proxy": python} if takes_part else {})
    assert found.versions == ({"lm-proxy": "1.2.3"} if takes_part else {})
    assert (f"LM-Proxy left out: {python} has no lm-proxy" in found.left_out) is not takes_part


def test_a_file_that_is_no_program_is_no_interpreter(tmp_path: Path) -> None:
    """What cannot be run has no package either."""
    (tmp_path / "python").write_text("nothing", encoding="utf-8")
    assert not there({"lm-proxy": tmp_path / "python"}).pythons


@linux
def test_the_command_says_who_is_left_out_before_anything_is_measured(tmp_path: Path) -> None:
    """Each peer has a flag; a wrong path is told on a line of its own, then our own error."""
    command = [
        sys.executable, "-m", "benchmarks.overhead", "--quick", "--detector", str(tmp_path / "none"),
        "--nemo-python", str(tmp_path / "python"),
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert f"NeMo Guardrails left out: there is no {tmp_path / 'python'}" in lines
    for peer in PEERS:
        assert sum(line.startswith(f"{peer.title} left out: ") for line in lines) == 1
    assert any("did not start" in line for line in lines[len(PEERS) :])


# -- what they are given --------------------------------------------------------------------------


def test_every_peer_is_told_the_upstream_and_listens_on_loopback(tmp_path: Path) -> None:
    """Nothing points anywhere else; each has the interpreter that was given and a port of its own."""
    found = servers(tmp_path)
    assert len({server.port for server in found}) == len(found)
    files = written(tmp_path)
    for server in found:
        assert "/opt/venv/bin/python" in server.command
        assert str(server.port) in server.command
        own = "\n".join(text for name, text in files.items() if name.startswith(f"{server.name}/"))
        whole = f"{own}\n{' '.join(server.command)}"
        assert UPSTREAM in whole
        assert whole.count("://") == whole.count(UPSTREAM)
        assert 'host="127.0.0.1"' in own or "--host 127.0.0.1" in whole
        assert "0.0.0.0" not in whole


def test_what_is_written_is_well_formed(tmp_path: Path) -> None:
    """Python compiles, TOML parses, and no placeholder is left."""
    servers(tmp_path)
    files = written(tmp_path)
    assert sum(name.endswith("start.py") for name in files) == 5
    for name, text in files.items():
        if name.endswith(".py"):
            compile(text, name, "exec")
        if name.endswith((".yaml", ".yml", ".toml")):
            assert "{upstream}" not in text
            assert "{{" not in text
    assert tomllib.loads(files["lm-proxy/config.toml"])["connections"]["mock"] == {
        "api_type": "openai", "api_base": UPSTREAM, "api_key": "sk-none",
    }  # fmt: skip


def test_litellm_gets_two_configurations(tmp_path: Path) -> None:
    """Plain, and with a guardrail that is found in its own folder."""
    servers(tmp_path)
    files = written(tmp_path)
    configs = [files[f"{name}/config.yaml"] for name in ("litellm", "litellm-guardrail")]
    assert all(f'api_base: "{UPSTREAM}"' in config for config in configs)
    assert ["trivial_guardrail.Trivial" in config for config in configs] == [False, True]


def test_nemo_runs_its_action_on_one_engine_and_its_regex_on_the_other(tmp_path: Path) -> None:
    """The faster engine is asked for by a variable, and gets no action of ours."""
    found = {server.name: server for server in servers(tmp_path)}
    files = written(tmp_path)
    switch = "NEMO_GUARDRAILS_IORAILS_ENGINE=true"
    assert [switch in found[name].command for name in ("nemo", "nemo-iorails")] == [False, True]
    assert "flows: [look at reply]" in files["nemo/rails/config.yml"]
    assert "look_at_reply" in files["nemo/rails/actions.py"]
    assert "flows: [regex check output]" in files["nemo-iorails/rails/config.yml"]
    assert "nemo-iorails/rails/actions.py" not in files


# -- how they are asked ---------------------------------------------------------------------------


def test_a_server_is_asked_by_its_own_path_and_model(tmp_path: Path) -> None:
    """Guardrails AI has the guard in its URL and the provider in the model; others have the usual."""
    routes = {server.name: server.route for server in servers(tmp_path)}
    guards = routes.pop("guardrails-ai")
    assert set(routes.values()) == {Route()}
    kinds = Kinds((TURNS,), (TURNS,))
    for route, path, model in (
        (guards, "/guards/trivial/openai/v1/chat/completions", "openai/mock"),
        (Route(), "/v1/chat/completions", "mock"),
    ):
        asked = Traffic(kinds, 10, route=route)().data
        assert asked.startswith(f"POST {path} HTTP/1.1\r\n".encode())
        assert f'"model": "{model}"'.encode() in asked
        assert b"Chat 00000001." in asked


class _Fixed(BaseHTTPRequestHandler):
    """Answers every request with one body and status; a subclass says which."""

    protocol_version = "HTTP/1.1"
    answer = (200, b"")

    def do_POST(self) -> None:
        """Answer."""
        self.rfile.read(int(self.headers["content-length"]))
        status, body = self.answer
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def answering(status: int, body: bytes) -> Iterator[Server]:
    """A server with one answer for everything."""
    handler = type("_Told", (_Fixed,), {"answer": (status, body)})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Server("somebody", (), server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


def test_a_server_counts_as_started_when_it_passes_the_reply_on() -> None:
    """An error status means that it is not ready yet."""
    request = request_bytes(TURNS)
    with answering(200, b'{"content": "The table."}') as server:
        assert relays(server, request, b"The table.")
    with answering(503, b"The table.") as server:
        assert not relays(server, request, b"The table.")


@pytest.mark.parametrize(
    "body", [b'{"content": "I cannot help."}', b'data: The table.\n\ndata: {"error": {"code": 1}}']
)
def test_a_server_that_says_something_of_its_own_is_not_measured(body: bytes) -> None:
    """A refusal, or an error behind a good head, ends the run with what was said."""
    with (
        answering(200, body) as server,
        pytest.raises(NotStartedError, match="something of its own"),
    ):
        relays(server, request_bytes(TURNS), b"The table.")


@linux
def test_nobody_is_asked_for_more_streams_than_would_end_in_time(tmp_path: Path) -> None:
    """A contender has no row where its limit is passed."""
    assert next(c for c in CONTENDERS if c.name == GUARDRAILS_AI).most_streams == 8
    mock, plan = mock_server(free_port()), Plan(connections=(1, 2), stream_seconds=0.01)
    with process(mock.command, cores()[1], tmp_path / "log") as popen:
        probe = request_bytes(TURNS)
        until_ready(popen, lambda: answered(mock.port, probe) != b"", tmp_path / "log", 30.0)
        running = {"mock": Running(mock, popen, 0.0, Memory(0.0, 0.0))}
        stage = Stage(
            running, Kinds((TURNS,), (TURNS,)), [Contender(DIRECT, "mock", most_streams=1)]
        )
        loads = streams(stage, plan, 0.0)
    assert {load: list(cells) for load, cells in loads.items()} == {
        "1 connections": [DIRECT], "2 connections": [],
    }  # fmt: skip
