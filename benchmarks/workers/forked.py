"""The proxy, loaded once and then forked: python -m benchmarks.workers.forked URL PORT N DETECTOR.

A trial, to be measured and not to be used: it restarts no worker, counts no metrics across them,
and forks a process without looking for threads.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

import uvicorn
from starlette.types import ASGIApp

from candor_proxy.corked import CorkedProtocol
from candor_proxy.serve import build_worker
from candor_proxy.settings import Settings

_BACKLOG = 2048


def main(upstream: str, port: int, workers: int, detector: str) -> int:
    """Serve until terminated."""
    app = build_worker(Settings(upstream=upstream, port=port, workers=workers, detector=detector))
    with socket.create_server(("127.0.0.1", port), backlog=_BACKLOG) as listener:
        children = [_forked(app, listener) for _ in range(workers)]
        stopping = {signal.SIGTERM, signal.SIGINT}
        signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
        signal.sigwait(stopping)
    for child in children:
        os.kill(child, signal.SIGTERM)
    for child in children:
        os.waitpid(child, 0)
    return 0


def _forked(app: ASGIApp, listener: socket.socket) -> int:
    child = os.fork()
    if child:
        return child
    try:
        config = uvicorn.Config(
            app, loop="uvloop", http=CorkedProtocol, ws="none", interface="asgi3", lifespan="on",
            log_level="warning", access_log=False,
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        os._exit(0)  # what the parent would clean up is the parent's


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
