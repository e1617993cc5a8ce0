"""Errors as responses; what they say is the library's own (`candor_guard.integrations.problems`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Scope

from candor_guard.integrations import problems
from candor_guard.integrations.problems import describe, error_body, refused, too_large
from candor_guard.wire.json import dump
from candor_proxy.headers import find

# Where a request's scope keeps the id that the client is told.
REQUEST_ID: Final = "candor.request_id"
_MESSAGES: Final = "/v1/messages"
_KINDS: Final = {
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    503: "overloaded_error",
    504: "timeout_error",
}


def stalled(seconds: float) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return status, body and headers for a request whose body stopped coming."""
    # What comes after all would be taken for the next request.
    return *problems.stalled(seconds), {"connection": "close"}


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


def messages_body(status: int, body: Mapping[str, Any], request_id: str | None) -> dict[str, Any]:
    """Return an error of OpenAI's shape in Anthropic's, what stands beside it included."""
    error = body["error"]
    kind = _KINDS.get(status, "invalid_request_error" if status < 500 else "api_error")
    told = {"type": kind, "message": error["message"]}
    if error["code"] is not None:
        told["details"] = {"error_code": error["code"]}
    return {**body, "type": "error", "error": told, "request_id": request_id}


def shaped(surface: str, status: int, body: dict[str, Any], request_id: str) -> dict[str, Any]:
    """Return an error of OpenAI's shape as the clients of a surface read it."""
    return messages_body(status, body, request_id) if surface == "messages" else body


def error_frame(surface: str, body: Mapping[str, Any]) -> bytes:
    """Return the frame that tells a stream's client of an error in its shape."""
    return _FRAMES.get(surface, _plain_frame)(body)


def _plain_frame(body: Mapping[str, Any]) -> bytes:
    return b"data: " + dump(body) + b"\n\n"


def _messages_frame(body: Mapping[str, Any]) -> bytes:
    return b"event: error\n" + _plain_frame(body)  # clients overlook what has no name


def _responses_frame(body: Mapping[str, Any]) -> bytes:
    # Clients look for the error in either place, and some overlook an event without it. It is the
    # first event: whoever is told of an error here has got nothing but comments.
    told = {key: body["error"][key] for key in ("code", "message", "param")}
    event = {"type": "error", "sequence_number": 0, **told, **body}
    return b"event: error\n" + _plain_frame(event)


_FRAMES: Final[Mapping[str, Callable[[Mapping[str, Any]], bytes]]] = {
    "messages": _messages_frame,
    "responses": _responses_frame,
}


__all__ = [
    "REQUEST_ID",
    "describe",
    "error_body",
    "error_frame",
    "error_response",
    "messages_body",
    "refused",
    "shaped",
    "speaks_messages",
    "stalled",
    "too_large",
]
