"""What benchmarks say about the machine, and what they read about other processes. Linux only."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PROC = Path("/proc")
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a process and its children, in MiB.

    Attributes:
        rss: Resident; pages that are shared count in full, once for every process.
        pss: Resident; a page that n processes share counts as an nth for each.
    """

    rss: float
    pss: float


def describe(packages: tuple[str, ...]) -> dict[str, Any]:
    """Return date, machine and versions; packages that are not installed are left out."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{processor()}, {os.cpu_count()} cores, {platform.system()} "
        f"{platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: found for name in packages if (found := _version(name))},
        "load before": [round(value, 2) for value in os.getloadavg()],
    }


def processor() -> str:
    """Return the processor's name."""
    info = _PROC / "cpuinfo"
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown processor")


def cores() -> tuple[int, int]:
    """Return the core of the servers under test, and that of client and upstream."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Keep this process, and what it starts meanwhile, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and its living children, ended threads included."""
    used = 0.0
    for process in family(pid):
        try:
            # The kernel's name for another process's clock, as clock_getcpuclockid(3) builds it.
            used += time.clock_gettime(~process << 3 | 2)
        except OSError:
            continue  # that child has just ended
    return used


def memory(pid: int) -> Memory:
    """Return what a process and its living children hold."""
    rss = pss = 0
    for process in family(pid):
        try:
            text = (_PROC / str(process) / "smaps_rollup").read_text(encoding="ascii")
        except OSError:
            continue  # that child has just ended
        sizes = dict(line.split(":", 1) for line in text.splitlines() if ":" in line[:20])
        rss += int(sizes["Rss"].split()[0])
        pss += int(sizes["Pss"].split()[0])
    return Memory(rss / _KIB, pss / _KIB)


def family(pid: int) -> Iterator[int]:
    """Yield a process and all its living children's ids."""
    yield pid
    for task in (_PROC / str(pid) / "task").glob("*/children"):
        try:
            children = task.read_text(encoding="ascii").split()
        except OSError:
            continue
        for child in children:
            yield from family(int(child))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
