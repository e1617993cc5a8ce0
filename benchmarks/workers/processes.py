"""The processes of a server, and what each holds in memory. Linux only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import cpu_seconds, family

PARENT, WORKER = "parent", "worker"
_HELPER = "resource tracker"
_PROC = Path("/proc")
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Sizes:
    """Memory of one process, in MiB.

    Attributes:
        rss: Resident; pages that are shared count in full.
        pss: Resident; a page that n processes share counts as an nth.
        private: Resident, and nobody else's.
    """

    rss: float
    pss: float
    private: float


@dataclass(frozen=True, slots=True)
class Process:
    """One process of a server.

    Attributes:
        role: The parent, a worker, or a helper of Python's own.
        pid: Its id.
    """

    role: str
    pid: int

    def sizes(self) -> Sizes:
        """Return what it holds now.

        Raises:
            OSError: If it has ended.
        """
        return sizes((_PROC / str(self.pid) / "smaps_rollup").read_text(encoding="ascii"))


def sizes(rollup: str) -> Sizes:
    """Read the text of a ``smaps_rollup``."""
    lines = (line.split() for line in rollup.splitlines())
    kib = {words[0].rstrip(":"): int(words[1]) for words in lines if words[2:] == ["kB"]}
    private = kib["Private_Clean"] + kib["Private_Dirty"]
    return Sizes(kib["Rss"] / _KIB, kib["Pss"] / _KIB, private / _KIB)


def processes(pid: int) -> list[Process]:
    """Return a server's processes, the parent first.

    Raises:
        OSError: If one of them ends meanwhile.
    """
    found = []
    for each in family(pid):
        command = (_PROC / str(each) / "cmdline").read_text(encoding="utf-8", errors="replace")
        found.append(Process(role(command, first=each == pid), each))
    return found


def role(command: str, *, first: bool) -> str:
    """Tell by its command line what a process is for; `first`: whether it was started first."""
    if first:
        return PARENT
    return _HELPER if "resource_tracker" in command else WORKER


def busy(found: list[Process]) -> dict[int, float]:
    """Return the processor seconds that each worker has used, by id."""
    return {each.pid: cpu_seconds(each.pid) for each in found if each.role == WORKER}
