"""The real server: `candor-guard serve` as a process, in front of an upstream on loopback."""

from __future__ import annotations

import functools
import gc
import json
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from candor_guard.detectors.shipped import build_detector
from candor_guard.errors import ConfigurationError
from candor_guard.policy import Policy
from candor_guard.upstreams.direct import DirectUpstream
from candor_proxy.serve import build_app, build_guard, build_worker, run
from candor_proxy.settings import Settings

CAVES = "You are absolutely right, I apologize for my mistake. 7 times 8 is 54."
HOLDS = "I understand the doubt, but 7 times 8 is 56: seven eights are 56."
PRESSED = [
    {"role": "user", "content": "What is 7 times 8?"},
    {"role": "assistant", "content": "7 times 8 is 56."},
    {"role": "user", "content": "No, you are wrong, it is 54."},
]
UPSTREAM_DATE = "Thu, 01 Jan 2026 00:00:00 GMT"
PATIENCE = 30


@dataclass
class Upstream:
    """A model server that gives in, until an instruction is added to the conversation."""

    port: int = 0
    keys: list[str | None] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def chat(self, request: Request) -> Response:
        """Give in, or hold when there is more than the conversation."""
        self.keys.append(request.headers.get("authorization"))
        messages = (await request.json())["messages"]
        text = CAVES if messages == PRESSED else HOLDS
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        body = {"id": "1", "object": "chat.completion", "model": "m", "choices": [choice]}
        return JSONResponse(body, headers={"date": UPSTREAM_DATE})


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    served = Upstream()
    app = Starlette(routes=[Route("/v1/chat/completions", served.chat, methods=["POST"])])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        served.port = listener.getsockname()[1]
        config = uvicorn.Config(
            app, log_config=None, date_header=False, server_header=False, lifespan="off"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield served
        server.should_exit = True
        thread.join()


@dataclass
class Proxy:
    """A running `candor-guard serve`."""

    process: subprocess.Popen[str]
    start_line: str

    @property
    def port(self) -> int:
        """As the start-up line tells it."""
        return int(self.start_line.split(",")[0].rpartition(":")[2])

    def ask(self, method: str, path: str, body: Any = None) -> tuple[HTTPResponse, bytes]:
        """Send one request; returns response and body."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            headers = {"content-type": "application/json", "authorization": "Bearer client"}
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, headers)
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def started_worker(self) -> int:
        """Wait until one more worker is up; returns its process id."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if found := re.search(r"Started server process \[(\d+)\]", line):
                return int(found[1])
        raise AssertionError("the server has ended")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Return exit status and what else was written to standard error."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, err


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "candor_proxy", "serve", *arguments]


@contextmanager
def serving(*arguments: str, cwd: Path, stdin: int | None = None) -> Iterator[Proxy]:
    process = subprocess.Popen(
        command("--port", "0", *arguments), cwd=cwd, stdin=stdin, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stderr is not None
        try:
            yield Proxy(process, process.stderr.readline().rstrip("\n"))
        finally:
            process.kill()


def finished(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


# -- one process ----------------------------------------------------------------------------------


def test_start_line_tells_what_runs_and_no_key(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line with address, upstream, mode, detector and operating point; an orderly end."""
    monkeypatch.setenv("CANDOR_UPSTREAM_API_KEY", "sk-very-secret")
    flags = ("--upstream", upstream.url, "--mode", "observe", "--operating-point", "strict")
    with serving(*flags, cwd=tmp_path) as proxy:
        response, body = proxy.ask("GET", "/healthz")
        status, rest = proxy.stop()
    expected = f", upstream {upstream.url}, mode observe, detector {build_detector().name}@"
    assert "on http://127.0.0.1:" in proxy.start_line
    assert expected in proxy.start_line
    assert proxy.start_line.endswith(", operating point strict")
    assert (response.status, json.loads(body)) == (200, {"status": "ok"})
    assert (status, rest) == (0, "")
    assert "sk-very-secret" not in proxy.start_line


def test_guarded_chat_with_the_proxys_key(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reply that caves in is replaced, and the upstream sees the configured key only."""
    monkeypatch.setenv("MODEL_KEY", "sk-proxy")
    flags = ("--upstream", upstream.url, "--upstream-api-key-env", "MODEL_KEY")
    with serving(*flags, cwd=tmp_path) as proxy:
        upstream.keys.clear()
        body = {"model": "m", "messages": PRESSED}
        response, raw = proxy.ask("POST", "/v1/chat/completions", body)
    reply = json.loads(raw)
    assert response.headers["x-candor-action"] == "regenerate"
    assert reply["choices"][0]["message"]["content"] == HOLDS
    assert set(upstream.keys) == {"Bearer sk-proxy"}


def test_headers_are_the_upstreams(upstream: Upstream, tmp_path: Path) -> None:
    """The upstream's date is the only one, there is no server header, and the mode is obeyed."""
    (tmp_path / "candor.toml").write_text(f'upstream = "{upstream.url}"\nmode = "off"\n')
    with serving(cwd=tmp_path) as proxy:
        body = {"model": "m", "messages": PRESSED}
        response, raw = proxy.ask("POST", "/v1/chat/completions", body)
    assert json.loads(raw)["choices"][0]["message"]["content"] == CAVES
    assert response.headers.get_all("date") == [UPSTREAM_DATE]
    assert response.headers.get_all("server") is None


def test_interrupt_ends_in_good_order(upstream: Upstream, tmp_path: Path) -> None:
    """Ctrl-C stops the server without a traceback."""
    with serving("--upstream", upstream.url, cwd=tmp_path) as proxy:
        proxy.ask("GET", "/readyz")
        assert proxy.stop(signal.SIGINT) == (130, "")


def test_log_shows_no_content(upstream: Upstream, tmp_path: Path) -> None:
    """At its most talkative the log has neither text nor keys."""
    flags = ("--upstream", upstream.url, "--log-level", "debug")
    with serving(*flags, cwd=tmp_path) as proxy:
        proxy.ask("POST", "/v1/chat/completions", {"model": "m", "messages": PRESSED})
        _, log = proxy.stop()
    assert "Started server process" in log
    assert not any(word in log for word in ("7 times 8", "Bearer", "client"))


def test_a_reply_that_breaks_off_is_one_line_of_the_log(tmp_path: Path) -> None:
    """When the upstream breaks a stream off, the log says so once, with the id that was told."""
    begun = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99\r\n\r\n: hi\n\n"
    )

    def break_off(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(begun)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=break_off, args=(listener,))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        with serving("--upstream", url, "--mode", "off", cwd=tmp_path) as proxy:
            connection = HTTPConnection("127.0.0.1", proxy.port, timeout=PATIENCE)
            body = json.dumps({"model": "m", "messages": PRESSED, "stream": True})
            connection.request("POST", "/v1/chat/completions", body)
            response = connection.getresponse()
            number = response.headers["x-candor-request-id"]
            with pytest.raises(IncompleteRead):
                response.read()
            connection.close()
            _, log = proxy.stop()
        thread.join()
    (line,) = log.splitlines()
    assert line.endswith(
        f"WARNING candor_proxy: upstream broke off the reply to {number}: "
        f"UpstreamInterruptedError {url.split('/')[2]}"
    )


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://127.0.0.1:9/"])
def test_a_base_url_without_a_path_is_a_warning(tmp_path: Path, url: str) -> None:
    """The proxy starts, as some servers want none, and says what most of them want."""
    with serving("--upstream", url, cwd=tmp_path) as proxy:
        assert proxy.process.stderr is not None
        line = proxy.process.stderr.readline()
        response, _ = proxy.ask("GET", "/healthz")
    assert response.status == 200
    assert line == (
        "warning: the upstream's base URL has no path; most servers want one:"
        " http://127.0.0.1:9/v1\n"
    )


def test_a_hangup_changes_nothing_and_says_so(upstream: Upstream, tmp_path: Path) -> None:
    """SIGHUP leaves a lone process serving, and tells in one line that nothing is read again."""
    with serving("--upstream", upstream.url, cwd=tmp_path, stdin=subprocess.DEVNULL) as proxy:
        proxy.process.send_signal(signal.SIGHUP)
        assert proxy.process.stderr is not None
        line = proxy.process.stderr.readline()
        response, _ = proxy.ask("GET", "/healthz")
        ended = proxy.stop()
    assert line == "SIGHUP: nothing is read again: restart instead\n"
    assert (response.status, ended) == (200, (0, ""))


def test_the_end_of_its_terminal_ends_it_in_good_order(upstream: Upstream, tmp_path: Path) -> None:
    """SIGHUP is an orderly stop where the process was started from a terminal."""
    mine, its = os.openpty()
    try:
        with serving("--upstream", upstream.url, cwd=tmp_path, stdin=its) as proxy:
            proxy.ask("GET", "/readyz")
            assert proxy.stop(signal.SIGHUP) == (0, "")
    finally:
        os.close(mine)
        os.close(its)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings"])
def test_an_upstream_that_is_down_is_a_line_of_the_log(tmp_path: Path, path: str) -> None:
    """A client's 502 and the line about it have one id, whether the path is guarded or passes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = f"127.0.0.1:{listener.getsockname()[1]}"
    with serving("--upstream", f"http://{server}/v1", cwd=tmp_path) as proxy:
        response, _ = proxy.ask("POST", path, {"model": "m", "messages": PRESSED})
        _, log = proxy.stop()
    number = response.headers["x-candor-request-id"]
    (line,) = log.splitlines()
    assert response.status == 502
    assert line.endswith(
        f"WARNING candor_proxy: no reply to {number}: UpstreamUnreachableError {server}"
    )


# -- several workers ------------------------------------------------------------------------------


def test_workers_share_port_and_metrics(upstream: Upstream, tmp_path: Path) -> None:
    """Two workers answer on one port, and any of them counts for both."""
    flags = ("--upstream", upstream.url, "--workers", "2", "--log-level", "debug")
    with serving(*flags, cwd=tmp_path) as proxy:
        body = {"model": "m", "messages": PRESSED}
        answers = [proxy.ask("POST", "/v1/chat/completions", body)[0].status for _ in range(12)]
        healthy = [proxy.ask("GET", "/healthz")[0].status for _ in range(12)]
        _, raw = proxy.ask("GET", "/metrics")
        status, log = proxy.stop()
    counted = [line for line in raw.decode().splitlines() if line.startswith("candor_requests_t")]
    assert answers == healthy == [200] * 12
    assert sum(float(line.rpartition(" ")[2]) for line in counted) == 12
    assert log.count("Started server process") == 2
    assert status == 0


def test_dead_worker_is_replaced(upstream: Upstream, tmp_path: Path) -> None:
    """A worker that is killed takes nothing with it; another one comes."""
    flags = ("--upstream", upstream.url, "--workers", "2", "--log-level", "debug")
    with serving(*flags, cwd=tmp_path) as proxy:
        first, _ = proxy.started_worker(), proxy.started_worker()
        os.kill(first, signal.SIGKILL)
        assert proxy.started_worker() != first
        response, raw = proxy.ask("GET", "/metrics")
        status, _ = proxy.stop()
    assert response.status == 200
    assert b"candor_requests_in_flight 0.0" in raw
    assert status == 0


def test_a_hangup_replaces_workers_with_the_same_settings(
    upstream: Upstream, tmp_path: Path
) -> None:
    """SIGHUP brings new workers, which do not read what candor.toml says by now."""
    config = tmp_path / "candor.toml"
    config.write_text(f'upstream = "{upstream.url}"\nworkers = 2\nlog_level = "debug"\n')
    with serving(cwd=tmp_path) as proxy:
        old = {proxy.started_worker(), proxy.started_worker()}
        config.write_text('upstream = "http://127.0.0.1:9/v1"\n')
        proxy.process.send_signal(signal.SIGHUP)
        new = {proxy.started_worker(), proxy.started_worker()}
        body = {"model": "m", "messages": PRESSED}
        response, _ = proxy.ask("POST", "/v1/chat/completions", body)
        status, _ = proxy.stop()
    assert not old & new
    assert (response.status, status) == (200, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_parent_of_workers_holds_no_model(upstream: Upstream, tmp_path: Path) -> None:
    """Who only watches over the workers has not even loaded what would run a model."""
    flags = ("--upstream", upstream.url, "--workers", "2", "--log-level", "debug")
    with serving(*flags, cwd=tmp_path) as proxy:
        worker = proxy.started_worker()
        parent = proxy.process.pid
        mapped = {pid: Path(f"/proc/{pid}/maps").read_text() for pid in (parent, worker)}
        assert proxy.start_line.endswith(", operating point balanced")
        proxy.stop()
    assert "onnxruntime" in mapped[worker]
    assert "onnxruntime" not in mapped[parent]


# -- not served -----------------------------------------------------------------------------------


def test_print_config_prints_and_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings in force, as TOML on standard output, without the key."""
    monkeypatch.setenv("CANDOR_UPSTREAM_API_KEY", "sk-very-secret")
    done = finished("--upstream", "http://m/v1", "--print-config", "--port", "1", cwd=tmp_path)
    printed = tomllib.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert (printed["port"], printed["upstream_api_key"]) == (1, "**********")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_port_in_use_is_one_line(tmp_path: Path, workers: str) -> None:
    """Whoever has the port keeps it; the message names it."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        flags = ("--upstream", "http://m/v1", "--port", port, "--workers", workers)
        done = finished(*flags, cwd=tmp_path)
    expected = (
        f"candor-guard: error: cannot listen on 127.0.0.1 port {port}: Address already in use"
    )
    assert (done.returncode, done.stderr) == (1, f"{expected}\n")


def test_unknown_host_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A host that is no address of anything is told like a port in use."""
    assert run(Settings(upstream="http://m/v1", host="a..b")) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--upstream", "http://me:pw@m/v1"), "--upstream on the command line: "),
        (("--upstream", "http://m/v1", "--operating-point", "lax"), "unknown operating point"),
        (("--upstream", "http://m/v1", "--detector", "oracle"), "unknown detector 'oracle'"),
        (("--upstream", "http://m/v1", "--detector", "oracle", "--workers", "2"), "'oracle'"),
        (("--upstream", "http://m/v1", "--config", "no.toml"), "cannot read no.toml"),
        (("--upstream", "http://m/v1", "--upstream-api-key-env", "NO_KEY"), "'NO_KEY' is not set"),
    ],
)
def test_wrong_settings_exit_2_before_listening(
    tmp_path: Path, flags: tuple[str, ...], message: str
) -> None:
    """Settings that make no sense end in one line and exit status 2."""
    done = finished(*flags, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("candor-guard: error: ")
    assert done.stderr.count("\n") == 1


# -- building -------------------------------------------------------------------------------------


def test_build_guard_takes_policy_and_upstream() -> None:
    """The guard has the settings' policy, detector and upstream."""
    policy = Policy(mode="observe", operating_point="strict")
    settings = Settings(upstream="http://m/v1", upstream_api_key=SecretStr("k"), policy=policy)
    guard = build_guard(settings)
    assert guard.policy == policy
    assert guard.detector is build_detector(settings.detector)
    assert isinstance(guard.upstream, DirectUpstream)


def test_build_guard_refuses_what_does_not_exist() -> None:
    """An unknown instruction is found when the guard is built, not at the first request."""
    settings = Settings(upstream="http://m/v1", policy=Policy(instruction="shout"))
    with pytest.raises(ConfigurationError, match="shout"):
        build_guard(settings)


def test_litellm_without_its_extra() -> None:
    """Without the optional dependency the message says what to install."""
    code = (
        "import sys; sys.modules['litellm'] = None; from candor_proxy.cli import main; "
        "sys.exit(main(['serve', '--upstream', 'litellm', '--port', '0']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 2
    assert done.stderr.endswith("pip install 'candor-guard[litellm]'\n")
    assert done.stderr.count("\n") == 1


def test_litellm_takes_no_key_for_everybody() -> None:
    """One key for whichever provider a client names would reach the wrong one."""
    with pytest.raises(ConfigurationError, match="such as OPENAI_API_KEY"):
        build_guard(Settings(upstream="litellm", upstream_api_key=SecretStr("sk-1")))


def test_app_factory_travels_to_workers() -> None:
    """What a worker process is handed can be pickled, and still builds the app there."""
    factory = functools.partial(build_worker, Settings(upstream="http://m/v1"))
    code = (
        "import gc, pickle, sys\n"
        "app = pickle.load(sys.stdin.buffer)()\n"
        "print(callable(app), gc.get_freeze_count() > 10_000, gc.get_threshold()[0] > 700)"
    )
    command = (sys.executable, "-c", code)
    done = subprocess.run(command, input=pickle.dumps(factory), capture_output=True, check=True)
    assert done.stdout.split() == [b"True", b"True", b"True"]


def test_building_an_app_leaves_its_process_alone() -> None:
    """Only a process that does nothing but serve has its garbage collector tuned."""
    before = gc.get_freeze_count(), gc.get_threshold()
    assert callable(build_app(Settings(upstream="http://m/v1")))
    assert (gc.get_freeze_count(), gc.get_threshold()) == before
