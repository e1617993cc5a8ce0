"""The real server: `candor-guard serve` as a process, in front of an upstream on loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path

import pytest
from tests.proxy.serving import (
    CAVES,
    HOLDS,
    PATIENCE,
    PRESSED,
    UPSTREAM_DATE,
    Upstream,
    serving,
)

from candor_guard.detectors.shipped import build_detector

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


def test_workers_that_start_slowly_are_waited_for(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that takes over five seconds to come to answering is not killed and begun anew."""
    slow = f"""
import os, pathlib, sys, time
if "--multiprocessing-fork" in sys.orig_argv:
    try:
        pathlib.Path({str(tmp_path / "tried")!r}).touch(exist_ok=False)  # by what only tries settings
    except FileExistsError:
        time.sleep(6)
"""
    (tmp_path / "sitecustomize.py").write_text(slow)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    with serving("--upstream", upstream.url, "--workers", "2", cwd=tmp_path) as proxy:
        assert proxy.ask("GET", "/healthz")[0].status == 200


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
