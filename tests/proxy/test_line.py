"""The line that our server leaves in a request's scope."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import Scope

from candor_proxy.line import LINE, line_of


class _Line:
    """A client whose request is complete."""

    complete = True

    def on_leaving(self, tell: Callable[[], None] | None) -> None:
        """Do nothing: this one stays."""


def test_line_is_taken_out_of_the_scope() -> None:
    """A scope is left without the line, and one without a line is fine."""
    line = _Line()
    scope: Scope = {"type": "http", "extensions": {LINE: line}}
    assert line_of(scope) is line
    assert scope["extensions"] == {}
    assert line_of({"type": "http"}) is None
