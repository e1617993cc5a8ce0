"""A served proxy as a process, and an upstream on loopback, for the tests of `candor-guard serve`."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

CAVES = "You are absolutely right, I apologize for my mistake. 7 times 8 is 54."
HOLDS = "I understand the doubt, but 7 times 8 is 56: seven eights are 56."
PRESSED = [
    {"role": "user", "content": "What is 7 times 8?"},
    {"role": "assistant", "content": "7 times 8 is 56."},
    {"role": "user", "content": "No, you are wrong, it is 54."},
]
UPSTREAM_DATE = "Thu, 01 Jan 2026 00:00:00 GMT"
PATIENCE = 30


@dataclass
class Upstream:
    """A model server that gives in, until an instruction is added to the conversation."""

    port: int = 0
    keys: list[str | None] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def chat(self, request: Request) -> Response:
        """Give in, or hold when there is more than the conversation."""
        self.keys.append(request.headers.get("authorization"))
        messages = (await request.json())["messages"]
        text = CAVES if messages == PRESSED else HOLDS
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        body = {"id": "1", "object": "chat.completion", "model": "m", "choices": [choice]}
        return JSONResponse(body, headers={"date": UPSTREAM_DATE})


@dataclass
class Proxy:
    """A running `candor-guard serve`."""

    process: subprocess.Popen[str]
    start_line: str

    @property
    def port(self) -> int:
        """As the start-up line tells it."""
        return int(self.start_line.split(",")[0].rpartition(":")[2])

    def ask(self, method: str, path: str, body: Any = None) -> tuple[HTTPResponse, bytes]:
        """Send one request; returns response and body."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            headers = {"content-type": "application/json", "authorization": "Bearer client"}
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, headers)
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def started_worker(self) -> int:
        """Wait until one more worker is up; returns its process id."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if found := re.search(r"Started server process \[(\d+)\]", line):
                return int(found[1])
        raise AssertionError("the server has ended")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Return exit status and what else was written to standard error."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, err


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "candor_proxy", "serve", *arguments]


@contextmanager
def serving(*arguments: str, cwd: Path, stdin: int | None = None) -> Iterator[Proxy]:
    process = subprocess.Popen(
        command("--port", "0", *arguments), cwd=cwd, stdin=stdin, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stderr is not None
        try:
            yield Proxy(process, process.stderr.readline().rstrip("\n"))
        finally:
            process.kill()


def finished(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
