"""Ports on the loopback interface, for benchmarks that start servers of their own."""

from __future__ import annotations

import socket
import time


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, limit: float = 20.0) -> None:
    """Wait until somebody listens on a port.

    Raises:
        OSError: If nobody does within `limit` seconds.
    """
    deadline = time.monotonic() + limit
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
