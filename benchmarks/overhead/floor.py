"""The floor: a bare Starlette + aiohttp pass-through that reads nothing. Run: … PORT UPSTREAM."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route


def create_app(base_url: str) -> Starlette:
    """Return the app."""
    session: aiohttp.ClientSession

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        nonlocal session
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            yield

    async def relay(request: Request) -> StreamingResponse:
        url = base_url + request.url.path.removeprefix("/v1")
        headers = {"content-type": "application/json"}
        response = await session.post(url, data=await request.body(), headers=headers)

        async def body() -> AsyncIterator[bytes]:
            async with response:
                async for piece in response.content.iter_any():
                    yield piece

        media_type = response.headers["content-type"]
        return StreamingResponse(body(), response.status, media_type=media_type)

    route = Route("/v1/chat/completions", relay, methods=["POST"])
    return Starlette(routes=[route], lifespan=lifespan)


if __name__ == "__main__":
    uvicorn.run(
        create_app(sys.argv[2]), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning",
        access_log=False, loop="uvloop", http="httptools",
    )  # fmt: skip
