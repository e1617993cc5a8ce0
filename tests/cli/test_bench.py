"""`candor-guard bench`: figures for two addresses, bounded, and errors in one line."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from candor_guard.testing import chat_body, chat_stream
from candor_proxy.cli import main

KEY = "sk-very-secret"
LATE = 0.02


@dataclass
class Model:
    """A model server that remembers what it was asked.

    Attributes:
        wait: Seconds before every answer.
        status: Of every answer.
        body: Instead of a completion.
    """

    wait: float = 0.0
    status: int = 200
    body: bytes | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)

    async def chat(self, request: Request) -> Response:
        """Answer as told."""
        import asyncio

        sent = await request.json()
        self.asked.append(sent)
        self.keys.add(request.headers.get("authorization"))
        await asyncio.sleep(self.wait)
        stream = sent["stream"]
        usual = chat_stream(["An ", "hour."]) if stream else chat_body("An hour.")
        kind = "text/event-stream" if stream else "application/json"
        return Response(self.body or usual, self.status, media_type=kind)


@contextmanager
def serving(model: Model) -> Iterator[str]:
    """Serve in a thread; yields the base URL."""
    app = Starlette(routes=[Route("/v1/chat/completions", model.chat, methods=["POST"])])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join()


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must fail; returns what it says."""
    try:
        status = main(["bench", *arguments])
    except SystemExit as left:
        status = int(left.code or 0)
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.startswith("candor-guard: error: ")
    assert err.count("\n") == 1
    return err


def test_added_is_the_difference_to_direct(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A proxy that takes 20 ms longer adds 20 ms to everything; every request is counted."""
    key = tmp_path / "key.txt"
    key.write_text(f"{KEY}\n")
    slow, fast = Model(wait=LATE), Model()
    with serving(slow) as proxy, serving(fast) as direct:
        flags = ("--direct", direct, "--requests", "6", "--clients", "1,3", "--format", "json")
        assert main(["bench", "--base-url", proxy, *flags, "--api-key-file", str(key)]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    loads = ("whole replies, 1 client", "whole replies, 3 clients", "streams, 1 client",
             "streams, 3 clients")  # fmt: skip
    assert tuple(report["loads"]) == loads
    for rows in report["loads"].values():
        assert rows["proxy"]["n"] == rows["direct"]["n"] == 6
        assert rows["added"]["last_p50_ms"] > 1000 * LATE / 2
        assert rows["proxy"]["first_p50_ms"] <= rows["proxy"]["last_p50_ms"]
    assert report["complete"] is True
    assert slow.keys == fast.keys == {f"Bearer {KEY}"}
    assert len(slow.asked) == 4 * 7  # a warm-up for each load
    assert KEY not in out + err


def test_no_two_requests_are_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody can answer from memory, and --at-risk asks under pressure."""
    model = Model()
    with serving(model) as proxy:
        flags = ("--requests", "3", "--clients", "1", "--max-tokens", "9", "--model", "m")
        assert main(["bench", "--base-url", proxy, *flags, "--at-risk"]) == 0
    table = capsys.readouterr().out
    texts = [json.dumps(sent["messages"]) for sent in model.asked]
    assert len(set(texts)) == len(texts) == 8
    assert all("that is wrong" in text for text in texts)
    assert {(sent["model"], sent["max_tokens"]) for sent in model.asked} == {("m", 9)}
    assert "whole replies, 1 client" in table
    assert "added" not in table


def test_time_is_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    """When the time is over nothing more is sent, and the report says so."""
    model = Model(wait=0.3)
    with serving(model) as proxy:
        began = time.perf_counter()
        flags = ("--requests", "1000", "--clients", "1", "--seconds", "1", "--format", "json")
        assert main(["bench", "--base-url", proxy, *flags]) == 0
        taken = time.perf_counter() - began
    report = json.loads(capsys.readouterr().out)
    assert report["complete"] is False
    assert taken < 5
    assert len(model.asked) < 10


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Model(status=401), "answered 401 (Unauthorized)"),
        (Model(status=503), "answered 503 (Service Unavailable)"),
        (Model(status=299), "answered 299"),
        (Model(body=b"<html>"), "no completion"),
        (Model(body=b"{}"), "no completion"),
        (Model(wait=3), "did not answer in time"),
    ],
)
def test_no_completion_is_an_error(
    capsys: pytest.CaptureFixture[str], model: Model, message: str
) -> None:
    """Times of errors are no figures: the first one ends the run, and says what it was."""
    with serving(model) as proxy:
        assert message in complaint(capsys, "--base-url", proxy, "--seconds", "1")


def test_stream_without_events_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A server that answers streams with JSON is found out."""
    model = Model(body=chat_body("An hour."))
    with serving(model) as proxy:
        flags = ("--base-url", proxy, "--requests", "1", "--clients", "1")
        assert "no completion" in complaint(capsys, *flags)


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    """An address without a server is told without its path."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    err = complaint(capsys, "--base-url", f"http://127.0.0.1:{port}/v1")
    assert "cannot ask" in err
    assert str(port) in err


@pytest.mark.parametrize(
    "flags",
    [
        (), ("--base-url", "nowhere"), ("--base-url", "http://m/v1", "--requests", "0"),
        ("--base-url", "http://m/v1", "--requests", "20000"),
        ("--base-url", "http://m/v1", "--clients", "1,,2"),
        ("--base-url", "http://m/v1", "--seconds", "x"),
        ("--base-url", "http://m/v1", "--api-key-file", "missing.txt"),
    ],
)  # fmt: skip
def test_wrong_arguments(capsys: pytest.CaptureFixture[str], flags: tuple[str, ...]) -> None:
    """What makes no sense is refused before anything is sent."""
    complaint(capsys, *flags)


@pytest.mark.parametrize(
    ("flags", "flag"),
    [
        (("--base-url", "nowhere"), "--base-url"),
        (("--base-url", "http://m/v1", "--direct", "nowhere"), "--direct"),
    ],
)
def test_of_two_addresses_the_bad_one_is_named(
    capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], flag: str
) -> None:
    """The complaint about a URL begins with the flag that has it."""
    assert f"error: {flag}: the upstream's base URL must begin" in complaint(capsys, *flags)


@pytest.mark.parametrize("content", [b"", b"one two", b"\xff\xfe", b"a\nb", "schlüssel".encode()])
def test_key_files_that_hold_no_key(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes
) -> None:
    """A file that holds something else is refused, and its content is not shown."""
    path = tmp_path / "key.txt"
    path.write_bytes(content)
    err = complaint(capsys, "--base-url", "http://m/v1", "--api-key-file", str(path))
    assert "key" in err
    assert "one two" not in err
