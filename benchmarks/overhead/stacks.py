"""Whose code a sampled stack is in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

_LOOP = "uvloop: sockets, tasks"
_LIBRARIES = "aiohttp, multidict, yarl"
_SERVER = "uvicorn, httptools"
# By a part of a frame's file, the first that fits.
_OWNERS = (
    ("candor_proxy/corked", _SERVER),
    ("uvicorn/", _SERVER),
    ("starlette/", "Starlette"),
    ("aiohttp/", _LIBRARIES),
    ("_http_parser", _LIBRARIES),
    ("candor_guard/wire/", "the request's JSON"),
    ("candor_guard/conversation", "the request's JSON"),
    ("candor_guard/detectors/", "the gate"),
    ("candor_guard/neutral/", "the gate"),
    ("candor_guard/upstreams/", "upstream: deadline, headers, errors"),
    ("integrations/serving/headers", "headers"),
    ("integrations/serving/", "endpoint: body, client, answer"),
    ("candor_guard/", "flow, driver, record"),
    ("prometheus_client/", "metrics"),
    ("candor_proxy/metrics", "metrics"),
    ("candor_proxy/headers", "headers"),
    ("candor_proxy/", "endpoint: body, client, answer"),
    ("overhead/floor", "the pass-through's own lines"),
    ("asyncio/runners", _LOOP),
)
_SYSTEM_CALLS = ("write (libc", "read (libc", "epoll_pwait (libc")


def shares(raw: str) -> tuple[int, dict[str, float]]:
    """Count py-spy's raw stacks by owner.

    A sample belongs to the innermost frame that the table knows, so that libraries and the standard
    library belong to their callers. Threads that only wait are left out, and so are system calls: a
    process that is put aside in one is seen there for as long as others have the core.

    Args:
        raw: A stack a line, frames from the outermost on, then how often it was seen.

    Returns:
        The number of samples, and each owner's share of them.
    """
    found = Counter[str]()
    for line in raw.splitlines():
        stack, _, times = line.rpartition(" ")
        frames = stack.split(";")
        if "asyncio/runners" in stack and not frames[-1].startswith(_SYSTEM_CALLS):
            found[_owner(frames)] += int(times)
    n = found.total()
    return n, {owner: count / n for owner, count in found.most_common()}


def _owner(frames: Sequence[str]) -> str:
    owners = (owner for frame in reversed(frames) for part, owner in _OWNERS if part in frame)
    return next(owners, _LOOP)
