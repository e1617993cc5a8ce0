"""Where our server leaves the line to a request's client, and who takes it."""

from __future__ import annotations

from typing import Final

from starlette.types import Scope

from candor_guard.integrations.serving.inbox import Line

# In the extensions of a request's scope, where the server is ours.
LINE: Final = "candor_proxy.line"


def line_of(scope: Scope) -> Line | None:
    """Take the line out of a scope; it is for whoever reads the body, and that is done once."""
    line: Line | None = scope.get("extensions", {}).pop(LINE, None)
    return line
