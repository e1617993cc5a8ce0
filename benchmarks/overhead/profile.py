"""Say what an ungated turn's processor time goes into: python -m benchmarks.overhead.profile.

The real servers, one after the other, pinned like those of ``benchmarks.overhead``: the bare
pass-through, the proxy switched off, the proxy that gates. py-spy, which has to be installed, looks
at their stacks from outside, C frames included, while they answer. Processor time, and the
kernel's share of it, are the kernel's own figures, of rounds without py-spy. Linux only, two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.loopback import NotStartedError, free_port, process, until_ready
from benchmarks.machine import cores, pinned
from benchmarks.overhead import contenders
from benchmarks.overhead.client import answered
from benchmarks.overhead.contenders import CONTENDERS, FLOOR, UNGATED, Server
from benchmarks.overhead.load import AnswerError, closed_loop
from benchmarks.overhead.stacks import shares
from benchmarks.overhead.traffic import Kinds, Traffic, conversations, request_bytes
from candor_guard.conversation import Conversation
from candor_guard.detectors.encoder.detector import shipped

_SHOWN = (FLOOR, "off", UNGATED)
_RATE = 200
_ROUNDS = 5
_KERNEL = "the kernel"
_USER_FIELD = 11  # of /proc/PID/stat, behind the name: ticks in user mode, then in the kernel


def main() -> int:
    """Profile all, print the table, and write it down where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1, help="in a closed loop; default 1")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each profile; default 10")
    parser.add_argument("--py-spy", default=shutil.which("py-spy"), metavar="PATH")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON")
    args = parser.parse_args()
    if args.py_spy is None:
        parser.error("py-spy is not installed, and --py-spy names none")
    core, client_core = cores()
    mock = contenders.mock_server(free_port())
    servers = contenders.our_servers(free_port, f"http://127.0.0.1:{mock.port}/v1", "encoder")
    named = {server.name: server for server in servers}
    plain = _plain()
    report = dict[str, dict[str, Any]]()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="profile-") as name,
            pinned(client_core),
            process(mock.command, client_core, Path(name) / "mock"),
        ):
            for contender in (each for each in CONTENDERS if each.name in _SHOWN):
                traffic = Traffic(Kinds(plain, plain), 0, expected=contender.expected)
                run = _Run(named[contender.server], traffic, args.clients, args.seconds)
                report[contender.name] = run.profile(core, Path(name), args.py_spy)
    except (NotStartedError, AnswerError, subprocess.SubprocessError) as error:
        print(f"profile: {error}", file=sys.stderr)
        return 1
    print(render(report))
    if args.out is not None:
        args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def render(report: dict[str, dict[str, Any]]) -> str:
    """Return the table: microseconds of a request and shares, by owner."""
    rows = list(report.values())
    most = {o: max(r["shares"].get(o, 0.0) for r in rows) for row in rows for o in row["shares"]}
    lines = [f"{'CPU of a request, µs (share)':38}" + "".join(f"{name:>24}" for name in report)]
    for owner in sorted(most, key=most.__getitem__, reverse=True):
        cells = ((row["cpu_us"], row["shares"].get(owner, 0.0)) for row in rows)
        lines.append(f"{owner:38}" + "".join(f"{cpu * s:15.0f} ({s:6.1%})" for cpu, s in cells))
    for title, key in (("all", "cpu_us"), ("samples", "n")):
        lines.append(f"{title:38}" + "".join(f"{row[key]:24.0f}" for row in rows))
    return "\n".join(lines)


class _Run:
    """One server under load."""

    def __init__(self, server: Server, traffic: Traffic, clients: int, seconds: float) -> None:
        self._server = server
        self._load = (server.port, traffic, clients, seconds / _ROUNDS)
        self._seconds = max(1, round(seconds))

    def profile(self, core: int, folder: Path, spy: str) -> dict[str, Any]:
        """Return ``cpu_us`` of a request, the number of samples ``n``, and ``shares`` by owner."""
        log, stacks = folder / self._server.name, folder / f"{self._server.name}.stacks"
        with process(self._server.command, core, log) as running:
            until_ready(running, self._answers, log, self._server.limit)
            rounds = [self._cpu(running.pid) for _ in range(_ROUNDS + 1)][1:]
            command = (
                spy, "record", "--native", "--format", "raw", "--rate", str(_RATE), "--duration",
                str(self._seconds), "--output", str(stacks), "--pid", str(running.pid),
            )  # fmt: skip
            with subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as spying:
                while spying.poll() is None:
                    self._cpu(running.pid)
        if spying.returncode:
            raise subprocess.CalledProcessError(spying.returncode, spy)
        n, found = shares(stacks.read_text(encoding="utf-8", errors="replace"))
        user, kernel = (statistics.median(values) for values in zip(*rounds, strict=True))
        told = {owner: share * user / (user + kernel) for owner, share in found.items()}
        told[_KERNEL] = kernel / (user + kernel)
        return {"cpu_us": (user + kernel) * 1e6, "n": n, "shares": told}

    def _answers(self) -> bool:
        probe = request_bytes([{"role": "user", "content": "How long does bread bake?"}])
        return answered(self._server.port, probe).startswith(b"HTTP/1.1 200")

    def _cpu(self, pid: int) -> tuple[float, float]:
        """Ask for a while; returns the seconds of a request in user mode and in the kernel."""
        import uvloop  # noqa: PLC0415 - not there on Windows, where nothing of this runs

        before = _ticks(pid)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            sent = runner.run(closed_loop(*self._load)).sent
        user, kernel = (now - then for now, then in zip(_ticks(pid), before, strict=True))
        return user / sent, kernel / sent


def _ticks(pid: int) -> tuple[float, float]:
    told = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    hertz = os.sysconf("SC_CLK_TCK")
    return int(told[_USER_FIELD]) / hertz, int(told[_USER_FIELD + 1]) / hertz


def _plain() -> tuple[Any, ...]:
    """The demo's conversations that the gate lets go at once."""
    detector = shipped(encoder=True)
    risks = [(c, detector.pre_gate(Conversation.parse(list(c)))) for c in conversations()]
    return tuple(c for c, risk in risks if risk is not None and not risk.at_risk)


if __name__ == "__main__":
    raise SystemExit(main())
