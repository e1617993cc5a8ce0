"""The proxy's own paths: health, readiness, metrics; checking and explaining without an upstream."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from candor_guard.errors import DetectorError, InvalidRequestError
from candor_guard.explain import explain
from candor_guard.guard import Guard
from candor_guard.integrations.serving.inbox import (
    BodyStalledError,
    BodyTooLargeError,
    ClientGoneError,
    Inbox,
    need_room,
)
from candor_guard.wire.json import MAX_VALUES, count_values, dump, load_object
from candor_proxy.errors import Unread, error_body, error_response, unread
from candor_proxy.ids import with_id
from candor_proxy.metrics import CONTENT_TYPE, Metrics
from candor_proxy.options import ProxyOptions

# A batch may take minutes. More at the same time would be no faster, and take all the threads
# that look up the upstream's address and tell whether we are ready.
_MOST_BATCHES = 2
# Bodies that are held while they arrive, wait to be judged, or are. The others are not read yet.
_MOST_BODIES = 8
# A batch of so many takes the trained detectors a minute or two.
MOST_ROWS = 10_000

_ROW = re.compile(rb"\S[^\r\n]*")

Judge = Callable[[Iterable[dict[str, Any]]], list[dict[str, Any]]]


class TooManyRowsError(InvalidRequestError):
    """A batch has more rows than are judged at once."""


class OwnPaths:
    """Request handlers that need no upstream."""

    def __init__(self, guard: Guard, options: ProxyOptions, metrics: Metrics) -> None:
        self._guard = guard
        self._options = options
        self._metrics = metrics
        self._batches = asyncio.Semaphore(_MOST_BATCHES)
        self._bodies = asyncio.Semaphore(_MOST_BODIES)

    async def health(self, _request: Request) -> Response:
        """The process answers."""
        return JSONResponse({"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        """The detector reads; the upstream is not asked, or its outage would take us down too."""
        detector = f"{self._guard.detector.name}@{self._guard.detector.version}"
        body = {"detector": detector, "mode": self._guard.policy.mode}
        turn = [{"role": "user", "content": "Are you ready?"}]
        try:
            await asyncio.to_thread(self._guard.check, turn, "Yes.")
        except DetectorError as error:
            return JSONResponse({"status": "not ready", "error": str(error), **body}, 503)
        return JSONResponse({"status": "ready", **body})

    async def metrics(self, _request: Request) -> Response:
        """Prometheus text exposition."""
        return Response(self._metrics.render(), headers={"content-type": CONTENT_TYPE})

    async def check(self, request: Request) -> Response:
        """Judge one exchange (JSON) or many (JSON lines); answers in the same form."""
        return await self._answer(request, self._checked)

    async def explain(self, request: Request) -> Response:
        """Say what leads to the decision about one exchange or many; asks no upstream."""
        return await self._answer(request, self._explained)

    def _checked(self, entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        ids: list[dict[str, Any]] = []
        verdicts = self._guard.check_many(_noted(entries, ids))
        return [v.to_dict() | its_id for its_id, v in zip(ids, verdicts, strict=True)]

    def _explained(self, entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        return [_explanation(self._guard, entry, index) for index, entry in enumerate(entries)]

    async def _answer(self, request: Request, judge: Judge) -> Response:
        """Read exchanges, judge them off the event loop, answer in the form they came in."""
        try:
            need_room(request.scope, self._options.max_request_bytes)
            async with self._bodies:
                return await self._judged(request, judge)
        except ClientGoneError:
            self._metrics.client_gone()
            return Response(status_code=400)
        except (BodyStalledError, BodyTooLargeError, InvalidRequestError) as error:
            status, body, headers = self._refusal(error, request.scope)
            self._metrics.invalid(status)
            return error_response(status, body, headers)
        except DetectorError as error:
            told = error_body(str(error), "candor_guard_error", "detector_error")
            return error_response(503, told)

    def _refusal(self, error: Unread, scope: Scope) -> tuple[int, dict[str, Any], dict[str, str]]:
        if isinstance(error, TooManyRowsError):
            return 413, error_body(str(error), "invalid_request_error", "too_large"), {}
        return unread(error, self._options, scope)

    async def _judged(self, request: Request, judge: Judge) -> Response:
        inbox = Inbox(request.receive, self._options.body_timeout)
        body = await inbox.body(self._options.max_request_bytes)
        over, answers = threading.Event(), list[Response]()

        async def work() -> None:
            async with self._batches:
                answers.append(await asyncio.to_thread(_answer_to, body, judge, over))

        try:
            if not await inbox.run(work()):
                raise ClientGoneError
        finally:
            over.set()
        return answers[0]


def _answer_to(body: bytes, judge: Judge, over: threading.Event) -> Response:
    """Do all that takes its time with a large batch: read it, judge it, write the answer."""
    entries, single = parse_exchanges(body)
    lines = [dump(result) for result in judge(_until(over, entries))]
    if single:
        return Response(lines[0], media_type="application/json")
    return Response(b"".join(line + b"\n" for line in lines), media_type="application/x-ndjson")


def _until(over: threading.Event, entries: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield entries as long as somebody wants them: a thread cannot be cancelled."""
    for entry in entries:
        if over.is_set():
            return
        yield entry


def _noted(
    entries: Iterable[dict[str, Any]], ids: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield entries and keep of each its id alone, for its answer."""
    for entry in entries:
        ids.append(with_id(entry, {}))
        yield entry


def _explanation(guard: Guard, entry: dict[str, Any], index: int) -> dict[str, Any]:
    reply: Any = entry.get("reply")
    try:
        found = explain(guard, entry.get("messages"), reply).to_dict()
    except InvalidRequestError as error:
        raise InvalidRequestError(f"exchange {index}: {error}", param=error.param) from None
    return with_id(entry, found)


def parse_exchanges(body: bytes) -> tuple[Iterable[dict[str, Any]], bool]:
    """Read one JSON object, or JSON lines; returns the objects and whether it was a single one.

    Lines are parsed as they are taken, once more: all are tried before, and none is kept.

    Raises:
        InvalidRequestError: If there is none, a line is no JSON object, or all lines together hold
            too many values. Nothing after the first such line is read.
        TooManyRowsError: If there are more than `MOST_ROWS` lines.
    """
    lines = body.strip()
    rows = _rows(lines)
    first = next(rows, None)
    if first is None:
        raise InvalidRequestError('body is empty; send {"messages": [...], "reply": "..."}')
    try:
        return [load_object(body)], True
    except InvalidRequestError:
        if next(rows, None) is None or not first.endswith(b"}"):
            raise
    _try(_rows(lines))
    return map(load_object, _rows(lines)), False


def _rows(lines: bytes) -> Iterator[bytes]:
    return (found[0].rstrip() for found in _ROW.finditer(lines))


def _try(rows: Iterable[bytes]) -> None:
    """Say what is wrong with a batch before any of it is judged, which may take minutes."""
    values = 0
    for number, row in enumerate(rows, 1):
        if number > MOST_ROWS:
            raise TooManyRowsError(f"batch has more than {MOST_ROWS} exchanges")
        values += count_values(row)
        if values > MAX_VALUES:
            raise InvalidRequestError(f"batch has more than {MAX_VALUES} values")
        try:
            load_object(row)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"line {number}: {error}") from None
