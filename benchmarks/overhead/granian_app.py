"""The proxy and the floor under Granian, which takes the name of a function and not its arguments.

What they need comes from the environment, as it would where the proxy is deployed like that.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from starlette.types import ASGIApp

from benchmarks.overhead.contenders import PORT, Server, python_server
from benchmarks.overhead.floor import create_app
from candor_proxy.serve import build_worker
from candor_proxy.settings import load

_PACKAGE = "granian"
_BACKLOG = 2048  # as the proxy has it under uvicorn


def proxy() -> ASGIApp:
    """Return what a worker of the proxy serves."""
    return build_worker(load().settings)


def floor() -> ASGIApp:
    """Return the bare pass-through."""
    return create_app(str(load().settings.upstream))


def missing() -> str | None:
    """Return a line that says why Granian cannot take part; None: it can."""
    if importlib.util.find_spec(_PACKAGE) is None:
        return "Granian left out: it is not installed (pip install granian)"
    return None


def granian_servers(port: Callable[[], int], upstream: str, detector: str) -> list[Server]:
    """Return the floor and the enforcing proxy, each with one worker.

    Args:
        port: Gives a free one.
        upstream: Base URL.
        detector: Name or folder.
    """
    settings = (
        f"CANDOR_UPSTREAM={upstream}", f"CANDOR_DETECTOR={detector}", "CANDOR_MODE=enforce",
    )  # fmt: skip
    flags = (
        "--interface", "asgi", "--factory", "--host", "127.0.0.1", "--port", PORT, "--workers", "1",
        "--loop", "uvloop", "--http", "1", "--no-ws", "--backlog", str(_BACKLOG),
        "--log-level", "warning", "--no-access-log",
    )  # fmt: skip
    return [
        python_server(port, name, _PACKAGE, *flags, f"{__name__}:{app}", settings=settings)
        for name, app in (("granian-floor", floor.__name__), ("granian", proxy.__name__))
    ]
