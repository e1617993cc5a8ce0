"""HTTP clients of httpx's make that guard what they send.

Works with httpx and with httpx2, its continuation: a client library may use either, so neither is
imported here; the classes are taken from where the given client's own class comes from. The
guarded client passes everything on to the original one, so that its transports, proxies,
certificates, authentication, cookies, hooks and limits go on to apply, to every call of the guard
as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from time import perf_counter
from typing import Any, Final

from typing_extensions import override

from candor_guard.errors import ConfigurationError, InvalidRequestError
from candor_guard.flow import Annotate
from candor_guard.guard import Guard
from candor_guard.integrations.openai.answer import (
    AlreadyGuardedError,
    Answer,
    Calls,
    Head,
    Wire,
    error_head,
)
from candor_guard.integrations.openai.wires import Parcel, Signing
from candor_guard.integrations.problems import describe
from candor_guard.integrations.wishes import MODE_HEADER, mode_of
from candor_guard.outcome import Outcome
from candor_guard.surface import GuardedRequest, Surface
from candor_guard.sync import Portal
from candor_guard.upstreams import UpstreamRequest
from candor_guard.wire.chat import ChatSurface
from candor_guard.wire.responses import ResponsesSurface

_LIBRARIES: Final = frozenset({"httpx", "httpx2"})
# By how a path ends; not `/messages`, which in this client is no question to a model.
_SURFACES: Final[Mapping[str, Surface]] = {
    "/chat/completions": ChatSurface(),
    "/responses": ResponsesSurface(),
}

_Close = Callable[[], Coroutine[Any, Any, None]]
_Last = weakref.WeakKeyDictionary[object, Outcome | None]
_LAST: Final[ContextVar[_Last]] = ContextVar("candor_guard_last")


@dataclass(frozen=True)
class Setup:
    """What a guarded HTTP client knows.

    Attributes:
        inner: The original client.
        http: The library that it comes from.
        guard: What guards.
        own: Whether the guard was made for this client and closes with it.
        annotate: When the ``candor`` object is written into a body.
        signing: What the client does to each request before it gets here.
        portal: Runs the engine for a blocking client.
        closing: What closes the calls of dropped streams; the loop itself holds tasks weakly.
    """

    inner: Any
    http: Any
    guard: Guard
    own: bool
    annotate: Annotate
    signing: Signing
    portal: Portal = field(default_factory=Portal)
    closing: set[asyncio.Task[None]] = field(default_factory=set)

    def answer(
        self, parsed: GuardedRequest, request: Any, wire: Callable[[bool], Wire]
    ) -> tuple[Answer, Calls]:
        """Begin to guard a request."""
        calls = Calls(wire)
        events = self.guard.with_upstream(calls).events(
            parsed,
            # The wire knows headers and address; what it sends of this is the body.
            UpstreamRequest("POST", request.url.path, ()),
            mode=mode_of(request.headers.get(MODE_HEADER)),
            annotate=self.annotate,
        )
        return Answer(events, stream=parsed.stream), calls

    def parcel(self, request: Any, options: dict[str, Any]) -> Parcel:
        """Return what every call of a request has in common."""
        # A moment more than the engine waits: two ends at once trip over each other.
        patience = self.guard.policy.max_regeneration_seconds + 1
        return Parcel(self.inner, self.http, request, options, patience, self.signing)

    def response(self, head: Head, request: Any, first: Any = None, body: Any = None) -> Any:
        """Return an answer as the library's own response object."""
        known = {} if first is None else {"history": first.history, "extensions": _kept(first)}
        given = {"content": head.content} if body is None else {"stream": body}
        response = self.http.Response(
            head.status, headers=head.headers, request=request, **known, **given
        )
        if body is not None:
            body.response = weakref.ref(response)
        return response


def guarded(inner: Any, guard: Guard, *, own: bool, annotate: Annotate, signing: Signing) -> Any:
    """Return an HTTP client that guards what `inner` sends.

    Raises:
        ConfigurationError: If it is no client of httpx or httpx2, or is guarded already.
    """
    if setup_of(inner) is not None:
        raise ConfigurationError("this client is guarded already")
    http = _library(inner)
    if http is None:
        kind = type(inner).__name__
        raise ConfigurationError(f"cannot guard an HTTP client of type {kind}: not httpx's")
    asynchronous = isinstance(inner, http.AsyncClient)
    base, kind_ = (http.AsyncClient, _Async) if asynchronous else (http.Client, _Blocking)
    made = _joined(kind_, base)
    # Its own transport is never used; naming one spares it a set of certificates.
    idle = http.AsyncBaseTransport() if asynchronous else http.BaseTransport()
    client = made(transport=idle, timeout=inner.timeout)
    client.candor = Setup(inner, http, guard, own, annotate, signing)
    return client


def setup_of(client: object) -> Setup | None:
    """Return what a guarded HTTP client knows; None for any other object."""
    found = getattr(client, "candor", None)
    return found if isinstance(found, Setup) else None


def last_outcome(client: object) -> Outcome | None:
    """Return the record of the last guarded reply of an HTTP client in this task or thread."""
    seen = _LAST.get(None)
    return None if seen is None else seen.get(client)


def _remember(client: object, outcome: Outcome | None) -> None:
    # A new mapping each time: tasks share the old one with those that they came from.
    seen: _Last = weakref.WeakKeyDictionary(_LAST.get(None) or {})
    seen[client] = outcome
    _LAST.set(seen)


def _kept(response: Any) -> dict[str, Any]:
    # Not its network stream: the body that is delivered may be another response's.
    return {k: v for k, v in response.extensions.items() if k in ("http_version", "reason_phrase")}


def _library(client: object) -> Any:
    for base in type(client).__mro__:
        root = base.__module__.partition(".")[0]
        if root in _LIBRARIES and base.__name__ in ("Client", "AsyncClient"):
            return importlib.import_module(root)
    return None


def _surface_of(request: Any) -> Surface | None:
    """Return the surface of a request that may be guarded, from its method and path alone."""
    path = request.url.path
    found = next((made for end, made in _SURFACES.items() if path.endswith(end)), None)
    return found if request.method == "POST" else None


def _parsed(surface: Surface, body: bytes) -> GuardedRequest | None:
    try:
        return surface.parse(body)
    except InvalidRequestError:
        return None  # the server knows best what is wrong with it


def _need_asyncio() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError("a guarded asynchronous client needs asyncio's loop") from None


def _mode_problem(request: Any) -> Head | None:
    try:
        mode_of(request.headers.get(MODE_HEADER))
    except InvalidRequestError as error:
        return error_head(*describe(error))
    return None


@functools.cache
def _joined(kind: type, base: type) -> Any:
    return type(f"Guarded{base.__name__}", (kind, base), {})


# -- clients ---------------------------------------------------------------------------------------


class _Blocking:
    """Goes in front of the library's ``Client``."""

    candor: Setup

    def build_request(self, *args: Any, **options: Any) -> Any:
        return self.candor.inner.build_request(*args, **options)

    def send(self, request: Any, *, stream: bool = False, **options: Any) -> Any:
        setup = self.candor
        surface = _surface_of(request)  # an upload stays a stream, which nobody here reads
        parsed = None if surface is None else _parsed(surface, request.read())
        if parsed is None:
            return setup.inner.send(request, stream=stream, **options)
        _remember(self, None)
        if (refused := _mode_problem(request)) is not None:
            return setup.response(refused, request)
        began = perf_counter()
        answer, calls = setup.answer(parsed, request, setup.parcel(request, options).blocking)
        try:
            head = setup.portal.call(answer.begin)
        except AlreadyGuardedError as found:
            response = found.response
        else:
            _remember(self, answer.outcome)
            made = _joined(_BlockingBody, setup.http.SyncByteStream)
            body = made(answer, self, began) if head.content is None else None
            response = setup.response(head, request, calls.first, body)
            response.elapsed = timedelta(seconds=perf_counter() - began)
        if not stream:
            response.read()
        return response

    @property
    def is_closed(self) -> bool:
        return bool(self.candor.inner.is_closed)

    def close(self) -> None:
        setup = self.candor
        if setup.own and setup.portal.running:
            setup.portal.call(setup.guard.aclose)
        setup.portal.close()
        setup.inner.close()


class _Async:
    """Goes in front of the library's ``AsyncClient``."""

    candor: Setup

    def build_request(self, *args: Any, **options: Any) -> Any:
        return self.candor.inner.build_request(*args, **options)

    async def send(self, request: Any, *, stream: bool = False, **options: Any) -> Any:
        setup = self.candor
        surface = _surface_of(request)
        parsed = None if surface is None else _parsed(surface, await request.aread())
        if parsed is None:
            return await setup.inner.send(request, stream=stream, **options)
        _need_asyncio()
        _remember(self, None)
        if (refused := _mode_problem(request)) is not None:
            return setup.response(refused, request)
        began = perf_counter()
        answer, calls = setup.answer(parsed, request, setup.parcel(request, options).asynchronous)
        try:
            head = await answer.begin()
        except AlreadyGuardedError as found:
            response = found.response
        else:
            _remember(self, answer.outcome)
            made = _joined(_AsyncBody, setup.http.AsyncByteStream)
            body = made(answer, self, began) if head.content is None else None
            response = setup.response(head, request, calls.first, body)
            response.elapsed = timedelta(seconds=perf_counter() - began)
        if not stream:
            await response.aread()
        return response

    @property
    def is_closed(self) -> bool:
        return bool(self.candor.inner.is_closed)

    async def aclose(self) -> None:
        setup = self.candor
        if setup.own:
            await setup.guard.aclose()
        await setup.inner.aclose()


# -- bodies ----------------------------------------------------------------------------------------


class _Body:
    """A response's body, and what is to be done when it ends.

    A body that is dropped unread must not leave its calls open. The garbage collector would end
    the engine's generators all at once, one inside the other; so they are kept until the body is
    gone, and then closed in order.
    """

    def __init__(self, answer: Answer, client: Any, began: float) -> None:
        self.answer = answer
        self.elapsed: timedelta | None = None  # httpx2 looks here
        self.response: Callable[[], Any] = _nobody
        self._client = client
        self._began = began
        self._dropped = weakref.finalize(self, self.closer(client.candor), answer.aclose)
        self._dropped.atexit = False

    def closer(self, setup: Setup) -> Callable[[_Close], object]:
        """Return what closes the answer from wherever the garbage collector runs."""
        raise NotImplementedError

    def note(self) -> None:
        """Note record and time, in the context of whoever reads."""
        self._dropped.detach()
        _remember(self._client, self.answer.outcome)
        self.elapsed = timedelta(seconds=perf_counter() - self._began)
        if (response := self.response()) is not None:
            response.elapsed = self.elapsed


class _BlockingBody(_Body):
    """Goes in front of the library's ``SyncByteStream``."""

    @override
    def closer(self, setup: Setup) -> Callable[[_Close], object]:
        self._portal = setup.portal
        return setup.portal.spawn

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._portal.call(self.answer.read):
            yield piece

    def close(self) -> None:
        with contextlib.suppress(RuntimeError):  # the client is closed, and every call with it
            self._portal.call(self.answer.aclose)
        self.note()


class _AsyncBody(_Body):
    """Goes in front of the library's ``AsyncByteStream``."""

    @override
    def closer(self, setup: Setup) -> Callable[[_Close], object]:
        loop = asyncio.get_running_loop()

        def close(work: _Close) -> None:
            task = loop.create_task(work())
            setup.closing.add(task)
            task.add_done_callback(setup.closing.discard)

        def close_soon(work: _Close) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and every call with it
                loop.call_soon_threadsafe(close, work)

        return close_soon

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.answer.read():
            yield piece

    async def aclose(self) -> None:
        await self.answer.aclose()
        self.note()


def _nobody() -> None:
    return None
