"""Errors in the shape that OpenAI clients read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from candor_guard.errors import (
    CandorGuardError,
    InvalidRequestError,
    UpstreamError,
    UpstreamInterruptedError,
    UpstreamTimeoutError,
)
from candor_guard.wire.json import dump

# Clients retry 408, 409, 429 and 5xx; a refusal must not cost three upstream calls.
REFUSED: Final = 422


def error_body(
    message: str, kind: str, code: str | None, param: str | None = None, **extra: Any
) -> dict[str, Any]:
    """Return OpenAI's error object, with extra top-level members beside it."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}, **extra}


def error_response(
    status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error as a JSON response."""
    return Response(dump(body), status, dict(headers or {}), media_type="application/json")


def too_large(limit: int) -> tuple[int, dict[str, Any]]:
    """Return status and error object for a request body that is over the limit."""
    message = f"body is over the limit of {limit} bytes"
    return 413, error_body(message, "invalid_request_error", "too_large")


def describe(error: CandorGuardError) -> tuple[int, dict[str, Any]]:
    """Translate an exception to a status and an error object."""
    if isinstance(error, InvalidRequestError):
        return 400, error_body(str(error), "invalid_request_error", None, error.param)
    if isinstance(error, UpstreamTimeoutError):
        return 504, error_body(str(error), "upstream_error", "upstream_timeout")
    if isinstance(error, UpstreamInterruptedError):
        return 502, error_body(str(error), "upstream_error", "upstream_interrupted")
    if isinstance(error, UpstreamError):
        return 502, error_body(str(error), "upstream_error", "upstream_unreachable")
    return 500, error_body("internal error", "candor_guard_error", "internal_error")


def refusal(code: str, candor: Mapping[str, Any]) -> dict[str, Any]:
    """Return the error object of a reply that the policy refuses to deliver."""
    reasons = {
        "unresolved": "the reply gave in to pressure or confirmed a doubtful claim, and policy"
        " refuses to deliver it",
        "detector_error": "the reply could not be checked, and policy refuses to deliver it",
    }
    return error_body(reasons[code], "candor_guard_refusal", code, candor=candor)
