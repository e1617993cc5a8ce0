"""The proxy as an ASGI app."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override

from candor_guard.errors import ConfigurationError
from candor_guard.guard import Guard
from candor_guard.integrations.shapes import plain_path
from candor_guard.neutral import prepare
from candor_guard.surface import Surface
from candor_guard.wire.chat import ChatSurface
from candor_guard.wire.messages import MessagesSurface
from candor_guard.wire.responses import ResponsesSurface
from candor_proxy.admission import Admission, Bounds
from candor_proxy.errors import error_body, error_response
from candor_proxy.faults import Faults, internal_error
from candor_proxy.guarded import GuardedEndpoint
from candor_proxy.journal import Journal
from candor_proxy.metrics import Metrics
from candor_proxy.options import ProxyOptions
from candor_proxy.own import OwnPaths
from candor_proxy.passthrough import PassThrough

# They would show the client what the upstream was sent, an operator's key included.
_REFLECTING = frozenset({"TRACE", "CONNECT"})
_TWICE = "/v1/v1/"
_Refuse = Callable[[Request, Exception], Awaitable[Response]]
_GUARDED: Mapping[str, Surface] = {
    "/v1/chat/completions": ChatSurface(),
    "/v1/messages": MessagesSurface(),
    "/v1/responses": ResponsesSurface(),
}


def create_app(
    guard: Guard, options: ProxyOptions | None = None, bounds: Bounds | None = None
) -> Starlette:
    """Return the app that guards `guard.upstream`.

    Its lifespan closes the guard, and with it the upstream's connections.

    Args:
        guard: With an upstream.
        options: Default: `ProxyOptions()`.
        bounds: How many requests at the same time; default: `Bounds()`.

    Raises:
        ConfigurationError: If the guard has no upstream, or `PROMETHEUS_MULTIPROC_DIR` is no folder
            that can be written to.
    """
    if guard.upstream is None:
        raise ConfigurationError("the proxy's guard needs an upstream")
    options = options or ProxyOptions()
    metrics = _metrics()
    journal = Journal(options.server)
    own = OwnPaths(guard, options, metrics)
    passing = PassThrough(guard.upstream, options, metrics, journal)
    guarded = {
        path: GuardedEndpoint(surface, guard, options, metrics, journal, passing)
        for path, surface in _GUARDED.items()
    }
    not_ours = functools.partial(_not_ours, metrics)
    api = _Api(guarded, passing, not_ours)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None, None]:
        # In a thread, and not waited for: only the first probe would have to.
        prepared = asyncio.ensure_future(asyncio.to_thread(prepare))
        with suppress(asyncio.CancelledError):  # by a server that is ended by force
            yield
        await asyncio.gather(prepared, app.quiet(), return_exceptions=True)
        await guard.aclose()

    def refused(status: int) -> None:
        metrics.invalid(status)
        journal.overloaded()

    admission = Admission(api, bounds or Bounds(), refused, metrics.client_gone)
    app = _App(
        admission,
        routes=[
            Route("/healthz", own.health, methods=["GET"]),
            Route("/readyz", own.ready, methods=["GET"]),
            Route("/metrics", own.metrics, methods=["GET"]),
            Route("/candor/v1/check", own.check, methods=["POST"]),
            Route("/candor/v1/explain", own.explain, methods=["POST"]),
        ],
        exception_handlers={HTTPException: not_ours, Exception: _failed},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # an API client wants an error, not another address
    return app


def _metrics() -> Metrics:
    try:
        return Metrics()
    except OSError as error:  # whoever sets the variable has counts shared by files
        reason = error.strerror or "no reason known"
        told = f"cannot write metrics to the folder in PROMETHEUS_MULTIPROC_DIR: {reason}"
        raise ConfigurationError(told) from None


class _App(Starlette):
    """Starlette for the proxy's own paths, and around it for those of the API.

    Its routing, middleware and wrapped `send` would cost a request of the API a tenth of what
    the proxy costs as a whole, for nothing that it needs.
    """

    def __init__(self, api: ASGIApp, **options: Any) -> None:
        super().__init__(**options)
        self._api = Faults(api)
        self._own = Faults(super().__call__)

    async def quiet(self) -> None:
        """Wait a moment for what the server has cancelled: a reply's end takes some turns."""
        await asyncio.gather(self._api.quiet(), self._own.quiet())

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        app = self._api if scope["path"].startswith("/v1/") else self._own
        await app(scope, receive, send)


class _Api:
    """Everything under ``/v1/``: guarded where a surface is at home, passed through elsewhere."""

    def __init__(self, guarded: Mapping[str, ASGIApp], passing: ASGIApp, not_ours: _Refuse) -> None:
        self._guarded = guarded
        self._passing = passing
        self._not_ours = not_ours

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request to whom it belongs."""
        if scope["method"] in _REFLECTING:
            response = await self._not_ours(Request(scope), HTTPException(405))
            await response(scope, receive, send)
            return
        posted = scope["method"] == "POST"
        endpoint = self._guarded.get(scope["path"]) if posted else None
        if endpoint is None:
            path = plain_path(scope["path"])
            if path.startswith(_TWICE):  # a lenient upstream would answer it, unguarded
                response = await self._not_ours(Request(scope), HTTPException(404))
                await response(scope, receive, send)
                return
            endpoint = self._guarded.get(path) if posted else None
        await (endpoint or self._passing)(scope, receive, send)


async def _failed(request: Request, _error: Exception) -> Response:
    return internal_error(request.scope)


async def _not_ours(metrics: Metrics, request: Request, error: Exception) -> Response:
    """Unknown paths and methods, in the shape that clients of this API read."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    metrics.invalid(status)
    what = "method not allowed" if status == 405 else "unknown path"
    message = f"{what}: {request.method} {request.url.path}; the API is under /v1/"
    if plain_path(request.url.path).startswith(_TWICE):
        message += "; your client adds /v1 by itself: leave it out of its base URL"
    code = "method_not_allowed" if status == 405 else "unknown_url"
    return error_response(
        status, error_body(message, "invalid_request_error", code), scope=request.scope
    )
