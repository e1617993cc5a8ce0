"""The container file: its health check finds the port that the proxy listens on."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typing_extensions import override

DOCKERFILE = Path(__file__).parents[2] / "proxy" / "Dockerfile"


class Healthy(BaseHTTPRequestHandler):
    """Answers where the proxy would."""

    def do_GET(self) -> None:
        """Say that all is well."""
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def listening() -> Iterator[int]:
    """A server on a free port."""
    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "by", ["variable", "file", "file, the variable empty", "variable and file"]
)
def test_the_health_check_asks_the_port_that_is_set(by: str, tmp_path: Path) -> None:
    """Whether by a variable, which wins, or in the mounted file; an empty variable is none."""
    found = re.search(r"HEALTHCHECK .*?CMD (\[.*?\])\n", DOCKERFILE.read_text(), re.DOTALL)
    assert found is not None
    _, *arguments = json.loads(found[1])
    with listening() as port:
        in_file = 9 if by == "variable and file" else port
        if "file" in by:
            (tmp_path / "candor.toml").write_text(f"port = {in_file}\n[policy]\nmode = 'observe'\n")
        variable = {"file": {}, "file, the variable empty": {"CANDOR_PORT": ""}}
        environment = variable.get(by, {"CANDOR_PORT": str(port)})
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, check=False, timeout=30)
    assert done.returncode == 0
