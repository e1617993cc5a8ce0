"""The last resort: what nobody expected becomes an answer with an id, and one entry in the log."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Mapping
from typing import Any, Final, cast

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import override

from candor_guard.errors import CandorGuardError
from candor_guard.guard import new_request_id
from candor_proxy.errors import REQUEST_ID, describe, error_response, stopping
from candor_proxy.line import LINE

_log = logging.getLogger("candor_proxy")
# Uvicorn's, about every body that is broken off on purpose; what was the matter is told by then.
_BROKEN_OFF: Final = "ASGI callable returned without completing response."
_PARTING_SECONDS: Final = 1.0


def request_id_of(scope: Scope) -> str:
    """Return the id of a request; a new one where it has none yet."""
    request_id: str = scope.get(REQUEST_ID) or scope.setdefault(REQUEST_ID, new_request_id())
    return request_id


def internal_error(scope: Scope) -> Response:
    """Return the answer to a request that met a fault of ours."""
    return _told(*describe(CandorGuardError()), scope)


def _told(status: int, body: Mapping[str, Any], scope: Scope) -> Response:
    own = {"x-candor-request-id": request_id_of(scope)}
    return error_response(status, body, own, scope=scope)


class Faults:
    """ASGI app around another one; no exception of that one reaches the server.

    A server would log what the exception says, which may be what a client wrote, and not the id
    that the client was told.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._running: set[asyncio.Task[Any]] = set()

    async def quiet(self) -> None:
        """Wait a second at most until no request is being answered."""
        if self._running:
            await asyncio.wait(self._running, timeout=_PARTING_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a body that has begun is broken off."""
        begun, ours = False, LINE in scope.get("extensions", ())
        task = cast("asyncio.Task[Any]", asyncio.current_task())

        def noting(message: Message) -> Awaitable[None]:
            nonlocal begun
            begun = True
            return send(message)

        self._running.add(task)
        try:
            await self._app(scope, receive, noting)
        except asyncio.CancelledError:
            if not ours:
                raise  # another server's, which knows what it does
            if not begun:  # nobody but our server ends a request: its time to drain is over
                await _told(*stopping(), scope)(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - whatever it is; it must be told with its id
            # Not the logger's own traceback: that ends with what the exception says.
            _log.error("request %s failed\n%s", request_id_of(scope), _trace(error))
            if not begun:
                await internal_error(scope)(scope, receive, send)
        finally:
            self._running.discard(task)


class Told(logging.Filter):
    """Drops the server's word on a body that was broken off, for the log that has ours."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to keep a record."""
        return record.msg != _BROKEN_OFF


def _trace(error: BaseException) -> str:
    """Say where an exception came from and of what class it is, but not what it says."""
    parts, seen = list[str](), set[int]()
    latest: BaseException | None = error
    while latest is not None and id(latest) not in seen:
        seen.add(id(latest))
        places = "".join(traceback.format_tb(latest.__traceback__))
        parts.append(f"{places}{type(latest).__name__}")
        latest = latest.__cause__ or (None if latest.__suppress_context__ else latest.__context__)
    return "Traceback (most recent call last):\n" + "\n\ncaused by\n".join(parts)
