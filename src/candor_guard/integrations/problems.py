"""What goes wrong, in the shape that OpenAI's clients read; and what the policy refuses.

Shared by everything that answers over HTTP, or as if it did.
"""

from __future__ import annotations

from typing import Any, Final

from candor_guard.errors import (
    CandorGuardError,
    InvalidRequestError,
    UpstreamError,
    UpstreamInterruptedError,
    UpstreamTimeoutError,
)
from candor_guard.outcome import Outcome, refusal_code

# Clients retry 408, 409, 429 and 5xx; a refusal must not cost three calls of the model.
REFUSED: Final = 422
NO_RETRY: Final = ("x-should-retry", "false")
_REASONS: Final = {
    "unresolved": "the reply gave in to pressure or confirmed a doubtful claim, and policy"
    " refuses to deliver it",
    "detector_error": "the reply could not be checked, and policy refuses to deliver it",
}


def error_body(
    message: str, kind: str, code: str | None, param: str | None = None, **extra: Any
) -> dict[str, Any]:
    """Return OpenAI's error object, with extra top-level members beside it."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}, **extra}


def describe(error: CandorGuardError) -> tuple[int, dict[str, Any]]:
    """Return status and body for an exception."""
    if isinstance(error, InvalidRequestError):
        return 400, error_body(str(error), "invalid_request_error", None, error.param)
    if isinstance(error, UpstreamTimeoutError):
        return 504, error_body(str(error), "upstream_error", "upstream_timeout")
    if isinstance(error, UpstreamInterruptedError):
        return 502, error_body(str(error), "upstream_error", "upstream_interrupted")
    if isinstance(error, UpstreamError):
        return 502, error_body(str(error), "upstream_error", "upstream_unreachable")
    return 500, error_body("internal error", "candor_guard_error", "internal_error")


def too_large(limit: int) -> tuple[int, dict[str, Any]]:
    """Return status and body for a request body that is over the limit of so many bytes."""
    message = f"body is over the limit of {limit} bytes"
    return 413, error_body(message, "invalid_request_error", "too_large")


def stalled(seconds: float) -> tuple[int, dict[str, Any]]:
    """Return status and body for a request body of which nothing came for so many seconds."""
    message = f"nothing of the body came for {seconds:g} seconds"
    return 408, error_body(message, "invalid_request_error", "body_timeout")


def refused(outcome: Outcome) -> tuple[int, dict[str, Any]]:
    """Return status and body for a reply that the policy refuses to deliver."""
    code = refusal_code(outcome)
    return REFUSED, error_body(
        _REASONS[code], "candor_guard_refusal", code, candor=outcome.to_dict()
    )
