"""The proxy under Granian in the overhead benchmark; most of it without Granian."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import signal
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.loopback import free_port, process, until_ready
from benchmarks.machine import Memory, cores, family
from benchmarks.overhead import __main__ as command
from benchmarks.overhead.client import answered
from benchmarks.overhead.contenders import CONTENDERS, Server, mock_server
from benchmarks.overhead.granian_app import granian_servers, missing
from benchmarks.overhead.stand import Running, relays, stand
from benchmarks.overhead.traffic import request_bytes

UPSTREAM = "http://127.0.0.1:1/v1"
PROBE = request_bytes([{"role": "user", "content": "Please write a short poem."}])
GRANIAN = importlib.util.find_spec("granian")
linux = pytest.mark.skipif(sys.platform != "linux", reason="pins processes and reads /proc")


def state(pid: int) -> str:
    """What the kernel says that a process is doing: S, R, T (suspended) and so on."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    return stat.rpartition(")")[2].split()[0]


def test_both_servers_have_one_worker_and_their_own_contender() -> None:
    """Each has a port of its own on loopback, and is told upstream and detector by the environment."""
    found = granian_servers(free_port, UPSTREAM, "lexical")
    assert {server.name for server in found} <= {contender.server for contender in CONTENDERS}
    assert len({server.port for server in found}) == len(found) == 2
    for server in found:
        told = " ".join(server.command)
        assert told.startswith(f"env CANDOR_UPSTREAM={UPSTREAM} CANDOR_DETECTOR=lexical ")
        assert f"--host 127.0.0.1 --port {server.port} --workers 1 " in told


def test_whether_granian_is_there_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to tell where it is installed."""
    there = types.ModuleType("granian")
    there.__spec__ = importlib.machinery.ModuleSpec("granian", None)
    monkeypatch.setitem(sys.modules, "granian", there)
    assert missing() is None
    monkeypatch.setitem(sys.modules, "granian", None)  # which means: not installed
    assert missing() == "Granian left out: it is not installed (pip install granian)"


@linux
def test_the_command_goes_on_without_granian(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The line comes before anything is started, and what ends this run is another error."""
    flags = ["--quick", "--granian", "--detector", str(tmp_path / "none")]
    monkeypatch.setattr(sys, "argv", ["overhead", *flags])
    monkeypatch.setitem(sys.modules, "granian", None)  # which means: not installed
    assert command.main() == 1
    lines = capsys.readouterr().err.splitlines()
    left_out = lines.index("Granian left out: it is not installed (pip install granian)")
    assert any("did not start" in line for line in lines[left_out:])


@pytest.fixture(name="mock")
def _mock(tmp_path: Path) -> Iterator[Server]:
    mock, log = mock_server(free_port()), tmp_path / "mock.log"
    with process(mock.command, cores()[1], log) as popen:
        until_ready(popen, lambda: answered(mock.port, PROBE) != b"", log, 30.0)
        yield mock


@linux
@pytest.mark.parametrize("number", [0, 1], ids=["floor", "proxy"])
def test_what_granian_is_given_makes_a_server(mock: Server, tmp_path: Path, number: int) -> None:
    """Either function, run by uvicorn with the same variables, passes the mock's words on."""
    upstream, log = f"http://127.0.0.1:{mock.port}/v1", tmp_path / "log"
    given = granian_servers(free_port, upstream, "lexical")[number]
    module = given.command.index("-m")
    uvicorn = ("-m", "uvicorn", "--factory", "--port", str(given.port), given.command[-1])
    server = Server(given.name, (*given.command[:module], *uvicorn), given.port)
    with process(server.command, cores()[0], log) as popen:
        until_ready(popen, lambda: relays(server, PROBE, b"The table has four legs"), log, 30.0)
        (contender,) = (c for c in CONTENDERS if c.server == server.name)
        assert contender.expected(False).search(answered(server.port, PROBE))


@linux
def test_workers_are_suspended_with_the_process_that_started_them(tmp_path: Path) -> None:
    """Neither takes anything from whoever is measured, and both go on when they are woken."""
    code = "import subprocess; subprocess.run(['sleep', '60'])"
    parent = [sys.executable, "-c", code]
    with process(parent, cores()[0], tmp_path / "log") as popen:
        until_ready(popen, lambda: "sleep" in map(_name, family(popen.pid)), tmp_path / "log", 30.0)
        running = Running(Server("workers", (), 0), popen, 0.0, Memory(0.0, 0.0))
        running.sleep()
        assert _become(popen.pid, suspended=True) == 2
        running.wake()
        assert _become(popen.pid, suspended=False) == 2
        _, worker = family(popen.pid)
        os.kill(worker, signal.SIGTERM)
        popen.wait()
        running.wake()  # there is nobody left to wake


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip()


def _become(pid: int, *, suspended: bool) -> int:
    """Wait until a process and its children are all so; returns how many they are."""
    deadline = time.monotonic() + 10
    while any((state(each) == "T") is not suspended for each in family(pid)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return len([*family(pid)])


@linux
@pytest.mark.skipif(GRANIAN is None, reason="needs Granian")
def test_granian_passes_the_words_on_and_leaves_nobody_behind() -> None:
    """Both servers start behind the mock, whole and streamed, and their workers end with them."""
    with stand("lexical", {}, granian=True) as running:
        there = [pid for server in running.values() for pid in family(server.popen.pid)]
        assert {"granian", "granian-floor"} < set(running)
        assert len(there) >= len(running) + 2
    assert not [pid for pid in there if Path(f"/proc/{pid}").exists()]
