"""Runs the proxy: settings in, a listening server out."""

from __future__ import annotations

import functools
import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from types import FrameType
from typing import Any, Final
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE

from candor_guard import __version__
from candor_guard.detectors.shipped import build_detector
from candor_guard.errors import ConfigurationError
from candor_guard.guard import Guard
from candor_guard.upstreams import Upstream
from candor_guard.upstreams.direct import DirectUpstream
from candor_proxy import files
from candor_proxy.app import create_app
from candor_proxy.corked import CorkedProtocol
from candor_proxy.faults import Told
from candor_proxy.settings import LITELLM, Settings, share_metrics
from candor_proxy.workers import Supervisor

_BACKLOG = 2048
# Shorter than the 30 seconds after which container platforms kill.
_DRAIN_SECONDS = 25
# Longer than the 60 seconds after which common load balancers drop idle connections: who closes
# first must not be us, or a request that is just arriving is lost.
_KEEP_ALIVE_SECONDS = 75
# Of objects that are still there; Python's own 700 come together within ten requests, and some
# thousands are in use while 64 are answered. An upstream that fails leaves no circles, either.
_ALLOCATIONS_PER_COLLECTION = 25_000
_INTERRUPTED: Final = 130
_STANDARD_ERROR: Final = 2
_HANGUP: Final = b"SIGHUP: nothing is read again: restart instead\n"


def build_guard(settings: Settings) -> Guard:
    """Return the guard with its detector and upstream; connects nowhere yet.

    Raises:
        ConfigurationError: If detector, operating point or instruction do not exist, or a key is
            set that could reach the wrong provider.
        MissingExtraError: If the upstream needs an optional dependency that is not installed.
    """
    detector = build_detector(settings.detector)
    return Guard(detector, settings.policy, upstream=_build_upstream(settings))


def build_app(settings: Settings) -> ASGIApp:
    """Return the proxy's ASGI app.

    Raises:
        ConfigurationError: As `build_guard`.
        MissingExtraError: As `build_guard`.
    """
    return create_app(build_guard(settings), settings.options(), settings.bounds())


def run(settings: Settings) -> int:
    """Serve until a signal says otherwise; returns the exit status.

    Raises:
        ConfigurationError: As `build_guard`, before anything listens.
        MissingExtraError: As `build_guard`.
    """
    # From the start, or the process that tries the settings outlives this one, and for ever. Uvicorn
    # drains, and then raises the signal again that it got: the end of an orderly stop, not of a
    # killed process.
    signal.signal(signal.SIGTERM, _leave)
    alone = settings.workers == 1
    if alone:
        _outlive_hangups()
    app, detector = _app_and_name(settings) if alone else (None, _name_told_apart(settings))
    try:
        listener = _listen(settings.host, settings.port)
    except (OSError, UnicodeError) as error:
        reason = (getattr(error, "strerror", None) or "no such host").partition(" (while")[0]
        _say(f"error: cannot listen on {settings.host} port {settings.port}: {reason}")
        return 1
    with listener:
        _say(_start_line(settings, detector, listener))
        for warning in filter(None, (_pathless(settings), files.allow(settings))):
            _say(warning)
        if app is not None:
            return _run_alone(settings, app, listener)
        return _run_workers(settings, listener)


def _pathless(settings: Settings) -> str | None:
    url = settings.upstream
    if url is None or url == LITELLM or urlsplit(url).path.strip("/"):
        return None
    return (
        f"warning: the upstream's base URL has no path; most servers want one: {url.rstrip('/')}/v1"
    )


def _app_and_name(settings: Settings) -> tuple[ASGIApp, str]:
    guard = build_guard(settings)
    name = f"{guard.detector.name}@{guard.detector.version}"
    return create_app(guard, settings.options(), settings.bounds()), name


def _name_told_apart(settings: Settings) -> str:
    """Build everything once, in a process that ends at once, and return the detector's name.

    Settings that make no sense are told before any worker starts, and the parent of the workers,
    which serves nothing, keeps no model.
    """
    spawn = multiprocessing.get_context("spawn")  # a copy of this process would be no smaller
    with ProcessPoolExecutor(1, mp_context=spawn) as elsewhere:
        return elsewhere.submit(_name_of, settings).result()


def _name_of(settings: Settings) -> str:
    return _app_and_name(settings)[1]


def _build_upstream(settings: Settings) -> Upstream:
    secret = settings.upstream_api_key
    if settings.upstream is None:
        raise ConfigurationError(
            "no upstream: pass --upstream URL, or set it in candor.toml or as CANDOR_UPSTREAM"
        )
    if settings.upstream != LITELLM:
        return DirectUpstream(
            settings.upstream,
            api_key=secret.get_secret_value() if secret else None,
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            max_connections=settings.max_connections,
        )
    if secret is not None:
        # The client's `model` names the provider: one key for all would go to any of them.
        raise ConfigurationError(
            "upstream_api_key does not go with upstream 'litellm'; set each provider's own "
            "variable, such as OPENAI_API_KEY"
        )
    from candor_guard.upstreams.litellm import LiteLLMUpstream  # noqa: PLC0415 - an extra, slow

    return LiteLLMUpstream(models=settings.models, read_timeout=settings.read_timeout)


def _listen(host: str, port: int) -> socket.socket:
    """Bind and listen at once, so that a port in use is found before any worker starts."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    listener.set_inheritable(True)
    return listener


def _outlive_hangups() -> None:
    """Say that a SIGHUP changes nothing: who rotates logs sends it by habit, and it would kill.

    For a process that was started from a terminal it is the terminal's end, and so its own.
    """
    if sys.platform == "win32" or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # by nohup
        return
    ending = sys.stdin is not None and sys.stdin.isatty()  # to be asked while there is one

    def hung_up(_signal: int, _frame: FrameType | None) -> None:
        if ending:
            signal.raise_signal(signal.SIGTERM)
            return
        with suppress(OSError):
            # Not the stream: it may be in the middle of a write, which this has interrupted.
            os.write(_STANDARD_ERROR, _HANGUP)

    signal.signal(signal.SIGHUP, hung_up)


def _run_alone(settings: Settings, app: ASGIApp, listener: socket.socket) -> int:
    server = uvicorn.Server(_server_config(settings, app))
    _spare_collector()
    server.run(sockets=[listener])
    return 0 if server.started else 1


def build_worker(settings: Settings) -> ASGIApp:
    """Return the app, for a process that does nothing else: what every worker calls for itself."""
    app = build_app(settings)
    _spare_collector()
    return app


def _spare_collector() -> None:
    """Keep the garbage collector from what stays: to look through it takes a tenth of the time.

    A request that is answered leaves no circles behind, so that the collector finds next to
    nothing; it looks less often, and only at what came after the start.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_PER_COLLECTION)


def _run_workers(settings: Settings, listener: socket.socket) -> int:
    try:
        scratch = tempfile.TemporaryDirectory(prefix="candor-metrics-")
    except OSError as error:
        _say(f"error: several workers need a folder for temporary files: {error.strerror}")
        return 1
    with scratch as directory:
        share_metrics(directory)
        factory = functools.partial(build_worker, settings)
        config = _server_config(settings, factory, factory=True, workers=settings.workers)
        supervisor = Supervisor(config, sockets=[listener])
        supervisor.run()
        failed = any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes)
        return 1 if failed else _INTERRUPTED if supervisor.interrupts else 0


def _server_config(
    settings: Settings, app: ASGIApp | Callable[[], ASGIApp], **options: Any
) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="auto" if sys.platform == "win32" else "uvloop",
        http=CorkedProtocol,
        ws="none",
        interface="asgi3",
        lifespan="on",
        log_config=_log_config(settings.log_level),
        access_log=False,
        proxy_headers=False,
        server_header=False,
        # The upstream's own `date` goes through; uvicorn would add a second one.
        date_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        **{"workers": 1, **options},
    )


def _log_config(level: str) -> dict[str, Any]:
    """Plain lines on standard error. Other people's loggers stay at warnings: some show bodies."""
    ours = level.upper()
    theirs = max(logging.getLevelName(ours), logging.WARNING)
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "filters": {"told": {"()": Told}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
        "root": {"handlers": ["stderr"], "level": theirs},
        "loggers": {
            "candor_guard": {"level": ours},
            "candor_proxy": {"level": ours},
            "uvicorn": {"level": ours if level == "debug" else theirs},
            "uvicorn.error": {"filters": ["told"]},
        },
    }


def _start_line(settings: Settings, detector: str, listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return (
        f"candor-guard {__version__} on http://{shown}:{port}, upstream {settings.upstream}, "
        f"mode {settings.policy.mode}, detector {detector}, "
        f"operating point {settings.policy.operating_point}"
    )


def _say(line: str) -> None:
    prefix = "candor-guard: " if line.startswith("error:") else ""
    sys.stderr.write(f"{prefix}{line}\n")
    sys.stderr.flush()


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
