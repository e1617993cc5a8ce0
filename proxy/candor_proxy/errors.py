"""Errors as responses; what they say is the library's own (`candor_guard.integrations.problems`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from candor_guard.integrations import problems
from candor_guard.integrations.problems import describe, error_body, refused, too_large
from candor_guard.wire.json import dump


def stalled(seconds: float) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return status, body and headers for a request whose body stopped coming."""
    # What comes after all would be taken for the next request.
    return *problems.stalled(seconds), {"connection": "close"}


def error_response(
    status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error as a JSON response."""
    return Response(dump(body), status, dict(headers or {}), media_type="application/json")


__all__ = ["describe", "error_body", "error_response", "refused", "stalled", "too_large"]
