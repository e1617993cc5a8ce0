"""Memory of several workers: what is read from the kernel, and both ways from end to end."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from benchmarks.workers.__main__ import main
from benchmarks.workers.measure import AS_IT_IS, FORKED, UnevenLoadError, need_even
from benchmarks.workers.processes import PARENT, WORKER, Process, processes, role, sizes

linux = pytest.mark.skipif(sys.platform != "linux", reason="pins processes and reads /proc")
ROLLUP = """\
55d0c8a00000-7ffd1f5fe000 ---p 00000000 00:00 0                          [rollup]
Rss:              192512 kB
Pss:              151552 kB
Pss_Anon:         120000 kB
Shared_Clean:      40960 kB
Private_Clean:      1024 kB
Private_Dirty:    139264 kB
Locked:                0 kB
"""


def test_sizes_are_in_mib() -> None:
    """Resident, shared out and private memory are told apart; clean private pages count, too."""
    found = sizes(ROLLUP)
    assert (found.rss, found.pss, found.private) == (188.0, 148.0, 137.0)


def test_roles_follow_from_command_lines() -> None:
    """The first process is the parent, whatever it is called; Python's helper is no worker."""
    tracker = "python\0-c\0from multiprocessing.resource_tracker import main;main(5)\0"
    spawned = "python\0-c\0from multiprocessing.spawn import spawn_main; spawn_main()\0"
    assert role(tracker, first=True) == PARENT
    assert role(tracker, first=False) not in (PARENT, WORKER)
    assert role(spawned, first=False) == WORKER


def test_a_load_that_missed_a_worker_is_refused() -> None:
    """A worker that did next to nothing makes the run worthless; a smaller share does not."""
    need_even({1: 5.0, 2: 2.0})
    with pytest.raises(UnevenLoadError, match=r"0\.01 s"):
        need_even({1: 5.0, 2: 0.01})


def test_other_systems_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where there is no /proc the command says what it needs."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert main([]) == 1
    assert "needs Linux" in capsys.readouterr().err


def test_one_worker_is_none_of_several(capsys: pytest.CaptureFixture[str]) -> None:
    """One worker has no parent to compare it with: the command says so."""
    with pytest.raises(SystemExit):
        main(["--workers", "1"])
    assert "must be 2 or more" in capsys.readouterr().err


@linux
def test_a_process_reads_itself() -> None:
    """A process finds itself first, and its own memory is no more than what it shares out."""
    first = processes(os.getpid())[0]
    assert first == Process(PARENT, os.getpid())
    found = first.sizes()
    assert 0 < found.private <= found.pss <= found.rss


@linux
def test_both_ways_are_loaded_and_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two workers each, all of them busy; forked ones keep less to themselves."""
    assert main(["--detector", "lexical", "--quick", "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "workers.json").read_text(encoding="utf-8"))
    own = {}
    for way, found in report["memory, MiB"].items():
        workers = [row for row in found["processes"] if row["role"] == WORKER]
        assert len(workers) == 2
        assert all(row["cpu_s"] > 0 for row in workers)
        assert found["pss_together"] == pytest.approx(sum(r["pss"] for r in found["processes"]))
        own[way] = sum(row["private"] for row in workers)
    assert own[FORKED] < own[AS_IT_IS]
    assert "all together" in capsys.readouterr().out
