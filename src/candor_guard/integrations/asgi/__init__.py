"""The guard around an ASGI app that serves an OpenAI-compatible API, or Anthropic's, itself.

Works with every ASGI app (Starlette, FastAPI, the servers of vLLM, SGLang and others) and imports
none of them::

    app = FastAPI()
    app.add_middleware(CandorMiddleware)

The mounted app is the upstream: a regeneration calls the app again, in the same process, with an
edited body. Everything that is not a guarded request reaches the app as the server sent it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from candor_guard.errors import ConfigurationError, InvalidRequestError
from candor_guard.flow import Annotate
from candor_guard.guard import Guard, new_request_id
from candor_guard.integrations.asgi.inner import InnerApp
from candor_guard.integrations.problems import describe, stalled, too_large
from candor_guard.integrations.serving.answer import Answer, Unwitnessed, send_error
from candor_guard.integrations.serving.asgi import ASGIApp, Message, Receive, Scope, Send
from candor_guard.integrations.serving.headers import find
from candor_guard.integrations.serving.inbox import (
    BodyStalledError,
    BodyTooLargeError,
    ClientGoneError,
    Inbox,
)
from candor_guard.integrations.shapes import plain_path, shaped, surface_of
from candor_guard.integrations.wishes import MODE_HEADER, annotate_of, guard_of, kind_of, mode_of
from candor_guard.policy import Mode, Policy
from candor_guard.surface import GuardedRequest, Surface
from candor_guard.upstreams import Headers, UpstreamRequest


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a held stream may be silent, and a client within its body.

    Attributes:
        header_wait: Seconds that the headers of a held stream wait for the decision.
        keepalive_interval: Seconds between keepalive comments after that.
        body_timeout: Seconds of silence that a client is allowed before and within its body; then
            it gets a 408.
    """

    header_wait: float = 10.0
    keepalive_interval: float = 10.0
    body_timeout: float = 30.0


class CandorMiddleware:
    """Pure ASGI middleware that guards the replies of the app it wraps.

    Needs an event loop of asyncio, as the servers have it. Put it inside of what authenticates
    and limits clients, and outside of what compresses replies.

    Args:
        app: The app that serves the API.
        guard: What judges; its own upstream is not used. The caller closes it.
        policy: For a guard with the bundled detector, instead of `guard`.
        paths: Paths whose POST requests are guarded, below the ``root_path`` that the app is
            mounted at. One that ends in ``/messages`` speaks Anthropic's Messages, one in
            ``/responses`` OpenAI's Responses, and every other Chat Completions.
        annotate: When the ``candor`` object is written into bodies: ``flagged`` replies only,
            ``all`` replies that were read, or ``none``.
        allow_mode_header: Whether a client may set ``x-candor-mode`` for its request.
        max_request_bytes: Largest body of a guarded request; a larger one gets a 413.
        patience: How long a held stream may be silent, and a client within its body; default:
            `Patience()`.

    Raises:
        ConfigurationError: If `app` is no app, both a guard and a policy are given, there is no such
            `annotate`, or a path is no path.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        guard: Guard | None = None,
        policy: Policy | None = None,
        paths: Iterable[str] = ("/v1/chat/completions",),
        annotate: Annotate = "flagged",
        allow_mode_header: bool = True,
        max_request_bytes: int = 20 * 1024 * 1024,
        patience: Patience | None = None,
    ) -> None:
        _need_app(app)
        self.app = app
        self._owned = guard is None
        self._guard = guard_of(guard, policy)
        self._surfaces = {path: surface_of(path) for path in _checked_paths(paths)}
        self._annotate = annotate_of(annotate)
        self._allow_mode_header = allow_mode_header
        self._limit = max_request_bytes
        self._patience = Patience() if patience is None else patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Guard a request, or hand it to the app untouched."""
        if scope["type"] == "http" and scope["method"] == "POST":
            surface = self._surfaces.get(_path(scope))
            if surface is not None:
                await self._guarded(surface, scope, receive, send)
                return
        try:
            await self.app(scope, receive, send)
        finally:
            if scope["type"] == "lifespan" and self._owned:
                await self._guard.aclose()

    async def _guarded(self, surface: Surface, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = new_request_id()
        inbox = Inbox(receive, self._patience.body_timeout)
        try:
            request = surface.parse(await inbox.body(self._limit))
            mode = self._mode(scope)
        except ClientGoneError:
            return
        except (BodyTooLargeError, BodyStalledError, InvalidRequestError) as error:
            status, problem = self._problem(error)
            told = shaped(surface.name, status, problem, request_id)
            closing = _closing(scope) if isinstance(error, BodyStalledError) else []
            await send_error(send, status, told, [("x-candor-request-id", request_id), *closing])
            return
        await self._answer(scope, request, mode, request_id, inbox, send)

    def _problem(
        self, error: BodyTooLargeError | BodyStalledError | InvalidRequestError
    ) -> tuple[int, dict[str, Any]]:
        if isinstance(error, BodyTooLargeError):
            return too_large(self._limit)
        if isinstance(error, BodyStalledError):
            return stalled(self._patience.body_timeout)
        return describe(error)

    async def _answer(
        self,
        scope: Scope,
        request: GuardedRequest,
        mode: Mode,
        request_id: str,
        inbox: Inbox,
        send: Send,
    ) -> None:
        inner = InnerApp(self.app, scope, request_id)
        read = mode != "off" and request.skip is None
        template = UpstreamRequest("POST", _path(scope), _headers(scope, identity=read))
        events = self._guard.with_upstream(inner).events(
            request, template, mode=mode, request_id=request_id, annotate=self._annotate
        )
        reply = inbox.answering(send)
        answer = Answer(request, request_id, self._patience, reply, Unwitnessed())
        try:
            try:
                await inbox.run(answer.give(events))
            finally:
                await inner.finish()
        except Exception as error:  # whatever it is: it is only noted upon, and raised on
            # The server logs it, and knows nothing else that leads to what the client was told.
            error.add_note(f"x-candor-request-id: {request_id}")
            raise

    def _mode(self, scope: Scope) -> Mode:
        wish = find(scope["headers"], MODE_HEADER.encode())
        return mode_of(wish, allowed=self._allow_mode_header) or self._guard.policy.mode


def _need_app(app: object) -> None:
    if not callable(app) or isinstance(app, type):
        raise ConfigurationError(f"CandorMiddleware takes an ASGI app, not {kind_of(app)}")


def _checked_paths(paths: Iterable[str]) -> frozenset[str]:
    if isinstance(paths, str):
        raise ConfigurationError('paths must be a list of paths, such as ["/v1/chat/completions"]')
    checked = frozenset(paths)
    for path in checked:
        if not path.startswith("/") or plain_path(path) != path:
            raise ConfigurationError(f"not a path that can be guarded: {path!r}")
    if not checked:
        raise ConfigurationError("paths is empty: nothing would be guarded")
    return checked


def _path(scope: Scope) -> str:
    """Return the path below the place where the app is mounted."""
    path: str = scope["path"]
    root = str(scope.get("root_path") or "").rstrip("/")
    return plain_path(path[len(root) :] if root and path.startswith(root + "/") else path)


def _closing(scope: Scope) -> list[tuple[str, str]]:
    """What makes the server close a connection of which more of a request may come after all.

    HTTP/2 forbids it, and needs it not: a request is a stream of its own there.
    """
    return [("connection", "close")] if scope.get("http_version", "1.1") < "2" else []


def _headers(scope: Scope, *, identity: bool) -> Headers:
    """Return the client's headers as the app gets them.

    Args:
        scope: As the server gave it.
        identity: Ask for an unencoded body, because it has to be read.
    """
    dropped = {"content-length", "transfer-encoding", *(["accept-encoding"] if identity else ())}
    pairs = [(k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in scope["headers"]]
    kept = [(k, v) for k, v in pairs if k not in dropped and not k.startswith("x-candor-")]
    return (*kept, ("accept-encoding", "identity")) if identity else tuple(kept)


__all__ = ["ASGIApp", "CandorMiddleware", "Message", "Patience", "Receive", "Scope", "Send"]
