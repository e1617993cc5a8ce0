"""How many files a process may have open, connections among them."""

from __future__ import annotations

import sys
from contextlib import suppress

from candor_proxy.settings import Settings

if sys.platform != "win32":
    import resource

# Kept connections that ask nothing are bounded by no setting; the usual 1,024 are soon used up.
_PLENTY = 65_536
# The process's own: models, logs, the event loop, and clients that are about to be refused.
_SPARE = 64


def needed(settings: Settings) -> int:
    """Return how many files a worker may come to need, by its own bounds."""
    clients = settings.max_concurrent + settings.max_waiting
    return clients + settings.max_connections + _SPARE


def allow(settings: Settings) -> str | None:
    """Raise this process's limit, which its workers inherit; returns a warning if it is too low."""
    if sys.platform == "win32":
        return None  # connections are no files there
    wanted = needed(settings)
    for enough in (max(_PLENTY, wanted), wanted):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = enough if hard == resource.RLIM_INFINITY else min(enough, hard)
        if soft == resource.RLIM_INFINITY or soft >= most:
            break
        with suppress(ValueError, OSError):  # macOS has a limit below the one that it tells
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return None
    return (
        f"warning: only {soft} open files are allowed, but max_concurrent {settings.max_concurrent}"
        f" + max_waiting {settings.max_waiting} + max_connections {settings.max_connections}"
        f" may need {wanted} a worker: raise the limit (ulimit -n, LimitNOFILE), or lower these"
    )
