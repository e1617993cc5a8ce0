"""Errors as responses; what they say is the library's own (`candor_guard.integrations.problems`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Scope

from candor_guard.errors import InvalidRequestError
from candor_guard.integrations import problems
from candor_guard.integrations.problems import describe, error_body
from candor_guard.integrations.serving.headers import find
from candor_guard.integrations.serving.inbox import BodyStalledError, BodyTooLargeError
from candor_guard.integrations.shapes import messages_body, shaped
from candor_guard.wire.json import dump
from candor_proxy.options import ProxyOptions

# Where a request's scope keeps the id that the client is told.
REQUEST_ID: Final = "candor.request_id"
_MESSAGES: Final = "/v1/messages"
Unread = BodyStalledError | BodyTooLargeError | InvalidRequestError


def stalled(seconds: float) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return status, body and headers for a request whose body stopped coming."""
    # What comes after all would be taken for the next request.
    return *problems.stalled(seconds), {"connection": "close"}


def unread(
    error: Unread, options: ProxyOptions, scope: Scope
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return status, body and headers for a request that could not be read."""
    if isinstance(error, BodyStalledError):
        return stalled(options.body_timeout)
    if isinstance(error, InvalidRequestError):
        return *describe(error), {}
    # Who asked first may leave the body out, and then its next request would be taken for it.
    asked = find(scope["headers"], b"expect") is not None
    headers = {"connection": "close"} if asked else {}
    return *problems.too_large(options.max_request_bytes), headers


def stopping() -> tuple[int, dict[str, Any]]:
    """Return status and body for a request that the end of the process cuts off."""
    message = "the proxy is being stopped; send the request again"
    return 503, error_body(message, "candor_guard_error", "shutting_down")


def error_response(
    status: int,
    body: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
    *,
    scope: Scope | None = None,
) -> Response:
    """Return an error as a JSON response.

    Args:
        status: HTTP status.
        body: In OpenAI's shape.
        headers: Of the response.
        scope: Of the request, where it may be another API's: its client gets that one's shape.
    """
    if scope is not None and speaks_messages(scope):
        body = messages_body(status, body, scope.get(REQUEST_ID))
    return Response(dump(body), status, dict(headers or {}), media_type="application/json")


def speaks_messages(scope: Scope) -> bool:
    """Whether a request is one of Anthropic's API, by its path or by the header of its clients."""
    path = scope["path"]
    below = path == _MESSAGES or path.startswith(f"{_MESSAGES}/")
    return below or find(scope["headers"], b"anthropic-version") is not None


__all__ = [
    "REQUEST_ID",
    "Unread",
    "describe",
    "error_body",
    "error_response",
    "messages_body",
    "shaped",
    "speaks_messages",
    "stalled",
    "stopping",
    "unread",
]
