"""The upstream that served proxies are tried in front of."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from tests.proxy.serving import Upstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    served = Upstream()
    app = Starlette(routes=[Route("/v1/chat/completions", served.chat, methods=["POST"])])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        served.port = listener.getsockname()[1]
        config = uvicorn.Config(
            app, log_config=None, date_header=False, server_header=False, lifespan="off"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield served
        server.should_exit = True
        thread.join()
