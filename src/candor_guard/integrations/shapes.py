"""Which format a path speaks, and how the clients of each format are told of an error.

Errors are made in OpenAI's shape (`candor_guard.integrations.problems`) and turned here into what
the clients of a format read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from candor_guard.surface import Surface
from candor_guard.wire.chat import ChatSurface
from candor_guard.wire.json import dump
from candor_guard.wire.messages import MessagesSurface
from candor_guard.wire.responses import ResponsesSurface

_KINDS: Final = {
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    503: "overloaded_error",
    504: "timeout_error",
}


def surface_of(path: str) -> Surface:
    """Return the format of a path by its end: Messages, Responses, otherwise Chat Completions."""
    if path.endswith("/messages"):
        return MessagesSurface()
    return ResponsesSurface() if path.endswith("/responses") else ChatSurface()


def plain_path(path: str) -> str:
    """Return a path without the extra slashes and dots that a lenient server would overlook."""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


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
