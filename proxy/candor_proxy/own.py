"""The proxy's own paths: health, readiness, metrics; checking and explaining without an upstream."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from candor_guard.errors import DetectorError, InvalidRequestError
from candor_guard.explain import explain
from candor_guard.guard import Guard
from candor_guard.wire.json import dump, load_object
from candor_proxy.answers import answer_to
from candor_proxy.errors import describe, error_body, error_response, too_large
from candor_proxy.inbox import BodyTooLargeError, ClientGoneError, Inbox
from candor_proxy.metrics import CONTENT_TYPE, Metrics
from candor_proxy.options import ProxyOptions

# A batch may take minutes. More at the same time would be no faster, and take all the threads
# that look up the upstream's address and tell whether we are ready.
_MOST_BATCHES = 2


class OwnPaths:
    """Request handlers that need no upstream."""

    def __init__(self, guard: Guard, options: ProxyOptions, metrics: Metrics) -> None:
        self._guard = guard
        self._options = options
        self._metrics = metrics
        self._batches = asyncio.Semaphore(_MOST_BATCHES)

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
        seen: list[dict[str, Any]] = []
        verdicts = self._guard.check_many(_noted(entries, seen))
        return [answer_to(entry, v) for entry, v in zip(seen, verdicts, strict=True)]

    def _explained(self, entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        return [_explanation(self._guard, entry, index) for index, entry in enumerate(entries)]

    async def _answer(
        self, request: Request, judge: Callable[[Iterable[dict[str, Any]]], list[dict[str, Any]]]
    ) -> Response:
        """Read exchanges, judge them off the event loop, answer in the form they came in."""
        inbox, over = Inbox(request.receive), threading.Event()
        results: list[dict[str, Any]] = []

        async def work(entries: list[dict[str, Any]]) -> None:
            async with self._batches:
                results.extend(await asyncio.to_thread(judge, _until(over, entries)))

        try:
            entries, single = parse_exchanges(await inbox.body(self._options.max_request_bytes))
            if not await inbox.run(work(entries)):
                raise ClientGoneError
        except ClientGoneError:
            return Response(status_code=400)
        except BodyTooLargeError:
            return error_response(*too_large(self._options.max_request_bytes))
        except InvalidRequestError as error:
            return error_response(*describe(error))
        except DetectorError as error:
            problem = error_body(str(error), "candor_guard_error", "detector_error")
            return error_response(503, problem)
        finally:
            over.set()
        if single:
            return Response(dump(results[0]), media_type="application/json")
        lines = b"".join(dump(result) + b"\n" for result in results)
        return Response(lines, media_type="application/x-ndjson")


def _until(over: threading.Event, entries: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield entries as long as somebody wants them: a thread cannot be cancelled."""
    for entry in entries:
        if over.is_set():
            return
        yield entry


def _noted(
    entries: Iterable[dict[str, Any]], seen: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    for entry in entries:
        seen.append(entry)
        yield entry


def _explanation(guard: Guard, entry: dict[str, Any], index: int) -> dict[str, Any]:
    reply: Any = entry.get("reply")
    try:
        found = explain(guard, entry.get("messages"), reply).to_dict()
    except InvalidRequestError as error:
        raise InvalidRequestError(f"exchange {index}: {error}", param=error.param) from None
    return found | ({"id": entry["id"]} if "id" in entry else {})


def parse_exchanges(body: bytes) -> tuple[list[dict[str, Any]], bool]:
    """Read one JSON object, or JSON lines; returns the objects and whether it was a single one.

    Raises:
        InvalidRequestError: If there is none, or a line is no JSON object.
    """
    lines = [line for line in body.splitlines() if line.strip()]
    if not lines:
        raise InvalidRequestError('body is empty; send {"messages": [...], "reply": "..."}')
    try:
        return [load_object(body)], True
    except InvalidRequestError as whole:
        if len(lines) == 1 or not lines[0].rstrip().endswith(b"}"):
            raise
        entries = []
        for number, line in enumerate(lines, 1):
            try:
                entries.append(load_object(line))
            except InvalidRequestError as error:
                raise InvalidRequestError(f"line {number}: {error}") from whole
        return entries, False
