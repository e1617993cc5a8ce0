"""Whose code a sampled stack counts for."""

from __future__ import annotations

from benchmarks.overhead.profile import render
from benchmarks.overhead.stacks import shares

LOOP = "run (/x/asyncio/runners.py:118);uv_run (core.c:452)"


def test_the_innermost_known_frame_owns_a_sample() -> None:
    """Libraries count for their callers, C frames of the loop for the loop."""
    raw = (
        f"{LOOP};drive (candor_guard/driver.py:97);shield (asyncio/tasks.py:870) 3\n"
        f"{LOOP};send (aiohttp/client.py:1);loads (json/__init__.py:2) 2\n"
        f"{LOOP};Loop__on_idle (loop.c:1) 5\n"
    )
    assert shares(raw) == (
        10,
        {
            "uvloop: sockets, tasks": 0.5,
            "flow, driver, record": 0.3,
            "aiohttp, multidict, yarl": 0.2,
        },
    )


def test_waiting_does_not_count() -> None:
    """System calls and threads without an event loop are no part of any share."""
    raw = (
        f"{LOOP};epoll_pwait (libc.so.6) 7\n"
        f"{LOOP};write (aiohttp/http_writer.py:9);write (libc.so.6) 7\n"
        "worker (concurrent/futures/thread.py:81);get (queue.c:1) 7\n"
        f"{LOOP};inc (prometheus_client/metrics.py:1) 1\n"
    )
    assert shares(raw) == (1, {"metrics": 1.0})


def test_the_table_has_every_owner_of_every_server() -> None:
    """An owner that one server lacks has a share of nothing there."""
    table = render(
        {
            "a": {"cpu_us": 100.0, "n": 10, "shares": {"Starlette": 1.0}},
            "b": {"cpu_us": 200.0, "n": 20, "shares": {"the gate": 0.25, "the kernel": 0.75}},
        }
    )
    rows = {line.split("  ")[0]: line.split()[-4:] for line in table.splitlines()[1:-2]}
    assert "50 ( 25.0%)" in table
    assert list(rows) == ["Starlette", "the kernel", "the gate"]
