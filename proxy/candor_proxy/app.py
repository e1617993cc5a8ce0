"""The proxy as an ASGI app."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from candor_guard.errors import ConfigurationError
from candor_guard.guard import Guard
from candor_guard.wire.chat import ChatSurface
from candor_proxy.errors import error_body, error_response
from candor_proxy.guarded import GuardedEndpoint
from candor_proxy.metrics import Metrics
from candor_proxy.options import ProxyOptions
from candor_proxy.own import OwnPaths
from candor_proxy.passthrough import PassThrough

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def create_app(guard: Guard, options: ProxyOptions | None = None) -> Starlette:
    """Return the app that guards `guard.upstream`.

    Its lifespan closes the guard, and with it the upstream's connections.

    Raises:
        ConfigurationError: If the guard has no upstream.
    """
    if guard.upstream is None:
        raise ConfigurationError("the proxy's guard needs an upstream")
    options = options or ProxyOptions()
    metrics = Metrics()
    own = OwnPaths(guard, options, metrics)
    chat = GuardedEndpoint(ChatSurface(), guard, options, metrics)
    passing = PassThrough(guard.upstream, metrics)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None, None]:
        yield
        await guard.aclose()

    app = Starlette(
        routes=[
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/{path:path}", passing, methods=_METHODS),
            Route("/healthz", own.health, methods=["GET"]),
            Route("/readyz", own.ready, methods=["GET"]),
            Route("/metrics", own.metrics, methods=["GET"]),
            Route("/candor/v1/check", own.check, methods=["POST"]),
        ],
        exception_handlers={HTTPException: _not_ours},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # an API client wants an error, not another address
    return app


async def _not_ours(request: Request, error: Exception) -> Response:
    """Unknown paths and methods, in the shape that clients of this API read."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    what = "method not allowed" if status == 405 else "unknown path"
    message = f"{what}: {request.method} {request.url.path}; the API is under /v1/"
    code = "method_not_allowed" if status == 405 else "unknown_url"
    return error_response(status, error_body(message, "invalid_request_error", code))
