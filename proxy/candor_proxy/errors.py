"""Errors as responses; what they say is the library's own (`candor_guard.integrations.problems`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from candor_guard.integrations.problems import describe, error_body, refused, too_large
from candor_guard.wire.json import dump


def error_response(
    status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error as a JSON response."""
    return Response(dump(body), status, dict(headers or {}), media_type="application/json")


__all__ = ["describe", "error_body", "error_response", "refused", "too_large"]
