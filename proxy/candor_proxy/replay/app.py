"""The replay upstream as an ASGI app."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from candor_guard.errors import InvalidRequestError
from candor_proxy.replay import chat
from candor_proxy.replay.ledger import UNKNOWN, Ledger
from candor_proxy.replay.matching import Library
from candor_proxy.replay.recordings import Recording

MODEL = "replay-1"


def make_replay_app(
    recordings: Iterable[Recording],
    *,
    pace: chat.Pace | None = None,
    json_mode: bool = True,
    ledger: Ledger | None = None,
) -> Starlette:
    """Return an OpenAI-compatible server that knows these recordings and nothing else.

    ``GET /replay/calls`` tells what was asked, ``DELETE /replay/calls`` tells it and forgets it.
    Both lie outside ``/v1``, where no proxy in front of the server can reach them.

    Args:
        recordings: With unique ids.
        pace: Of every reply; default: at once.
        json_mode: Whether a ``response_format`` is accepted; else it gets a 400, as from servers
            that have no such mode. It never changes an answer.
        ledger: Counts the calls; default: one of its own.
    """
    library = Library(recordings)
    counts = ledger or Ledger()

    async def complete(request: Request) -> Response:
        asked = chat.read_request(await request.body())
        if not json_mode and "response_format" in asked.payload:
            detail = "response_format is not supported by this model"
            raise InvalidRequestError(detail, param="response_format")
        found = library.find(asked.payload, asked.messages)
        if found is None:
            counts.enter("", UNKNOWN, None)
            detail = f"No reply to this conversation is recorded ({len(library)} recordings)."
            return chat.error(404, detail, param="messages", code="unknown_conversation")
        usage = chat.count_usage(asked.messages, found.text)
        counts.enter(found.recording.id, found.purpose.value, usage)
        return await chat.answer(asked, found.text, pace)

    async def calls(request: Request) -> Response:
        rows = counts.to_list()
        if request.method == "DELETE":
            counts.clear()
        return JSONResponse(rows)

    return Starlette(
        routes=[
            Route("/v1/chat/completions", complete, methods=["POST"]),
            Route("/v1/models", _models, methods=["GET"]),
            Route("/replay/calls", calls, methods=["GET", "DELETE"]),
        ],
        exception_handlers={InvalidRequestError: bad_request, HTTPException: http_error},
    )


async def bad_request(_request: Request, error: Exception) -> Response:
    """Answer a request that cannot be read."""
    return chat.error(400, str(error), param=getattr(error, "param", None))


async def http_error(request: Request, error: Exception) -> Response:
    """Answer a path or method that does not exist."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    return chat.error(status, f"Invalid URL ({request.method} {request.url.path})")


async def _models(_request: Request) -> Response:
    model = {"id": MODEL, "object": "model", "created": chat.CREATED, "owned_by": "replay"}
    return JSONResponse({"object": "list", "data": [model]})
