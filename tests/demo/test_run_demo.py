"""The whole demo, with stand-ins for the proxy."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import shlex
import signal
import socket
from collections import Counter

import pytest
from rich.console import Console
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.demo.proxies import PerfectProxy

from candor_guard.errors import CandorGuardError, ConfigurationError
from candor_proxy.demo import run_demo
from candor_proxy.demo.conversations import load_conversations
from candor_proxy.demo.scripted import make_scripted_app
from candor_proxy.demo.servers import serving
from candor_proxy.serve import build_app
from candor_proxy.settings import Settings

pytestmark = pytest.mark.anyio


def _console() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=100), out


async def test_it_returns_0_when_every_outcome_holds() -> None:
    """The proxy is made for the upstream that runs, and a perfect one gets a clean exit."""
    console, out = _console()
    asked: list[str] = []

    def make(base_url: str) -> PerfectProxy:
        asked.append(base_url)
        return PerfectProxy()

    assert await run_demo(console=console, brief=True, make_proxy_app=make) == 0
    assert asked[0].startswith("http://127.0.0.1:")
    assert asked[0].endswith("/v1")
    assert "misses: 0\n" in out.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
async def test_who_waits_at_a_terminal_is_told(terminal: bool) -> None:
    """Nothing is shown before all is played, so a terminal says what is going on; a pipe has no need."""
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=terminal, color_system=None)
    await run_demo(console=console, brief=True, make_proxy_app=lambda _: PerfectProxy())
    told = out.getvalue().startswith(f"Playing {len(load_conversations())} conversations")
    assert told is terminal


async def test_the_real_proxy_ends_well_and_the_probe_has_its_say() -> None:
    """As shipped, every outcome holds, and a probe finds and clears what the detector does not."""
    console, out = _console()

    def make(base_url: str) -> ASGIApp:
        return build_app(Settings(upstream=base_url))

    assert await run_demo(console=console, make_proxy_app=make) == 0, out.getvalue()[-600:]
    blocks = out.getvalue().split("\n\n")
    ended = {block.partition(":")[0]: block.rpartition("ending: ")[2] for block in blocks}
    # Which of them the detector is sure of differs from model to model.
    endings = Counter(ended.values())
    assert endings["rightly passed, cleared by a neutral question to the model"] >= 3
    assert endings["regenerated rightly, found by a neutral question to the model"] >= 3
    assert endings["regenerated rightly, confirmed by a neutral question to the model"] >= 3
    # At most one regeneration for each reply, and one question about each, regenerated ones too.
    told = re.search(r"calls: (\d+) \((\d+) questions, (\d+) regen", out.getvalue())
    assert told is not None
    calls, questions, regenerations = map(int, told.groups())
    risky = sum(entry.expect == "regenerate" for entry in load_conversations())
    assert calls == questions + regenerations
    assert regenerations == 2 * risky
    assert questions <= 2 * (len(load_conversations()) + risky)


async def test_it_returns_1_when_nothing_is_guarded(capsys: pytest.CaptureFixture[str]) -> None:
    """A proxy that guards nothing fails the demo, told on standard output by default."""
    assert await run_demo(make_proxy_app=lambda _: make_scripted_app()) == 1
    shown = capsys.readouterr().out
    assert "regenerated rightly: 0\n" in shown
    assert "misses: 0\n" not in shown


async def _up(out: io.StringIO) -> None:
    async with asyncio.timeout(10):
        while "Ctrl-C" not in out.getvalue():  # noqa: ASYNC110 - all there is to see is the text
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_serving_stays_up_until_interrupted(number: signal.Signals) -> None:
    """With serve both servers answer the printed command, and Ctrl-C ends them with 0."""
    console, out = _console()
    task = asyncio.create_task(
        run_demo(serve=True, console=console, make_proxy_app=lambda _: make_scripted_app())
    )
    await _up(out)
    line = next(text for text in out.getvalue().splitlines() if text.startswith("curl "))
    words = shlex.split(line)
    url = next(word for word in words if word.startswith("http://"))
    body = json.loads(words[words.index("-d") + 1])
    assert f"proxy: {url.removesuffix('/chat/completions')}\n" in out.getvalue()
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    reply = await _curl(url, json.dumps(body).encode())
    assert reply.startswith(b"HTTP/1.1 200")
    os.kill(os.getpid(), number)
    assert await task == 0
    with pytest.raises(OSError, match=r"."):
        await _curl(url, b"{}")


async def _curl(url: str, body: bytes) -> bytes:
    host, _, port = url.removeprefix("http://").partition("/")[0].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    reply = await reader.read()
    writer.close()
    await writer.wait_closed()
    return reply


async def test_cancelling_stops_both_servers() -> None:
    """A cancelled demo leaves no server behind."""
    console, out = _console()
    task = asyncio.create_task(
        run_demo(serve=True, console=console, make_proxy_app=lambda _: make_scripted_app())
    )
    await _up(out)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    url = next(word for word in out.getvalue().split() if word.endswith("/chat/completions"))
    with pytest.raises(OSError, match=r"."):
        await _curl(url, b"{}")


async def test_a_taken_port_is_one_line() -> None:
    """A port in use is an error of ours that names the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"cannot listen on 127\.0\.0\.1:{port}"):
            await run_demo(port=port, make_proxy_app=lambda _: make_scripted_app())


@pytest.mark.parametrize(("host", "port"), [("no such host", 0), ("127.0.0.1", 70_000)])
async def test_an_impossible_address_is_refused(host: str, port: int) -> None:
    """A host that cannot be resolved, or a port out of range, is refused the same way."""
    with pytest.raises(ConfigurationError, match="cannot listen on"):
        async with serving(make_scripted_app(), host=host, port=port):
            pass


async def test_an_app_that_does_not_start_is_told() -> None:
    """An app whose lifespan fails ends in an error of ours, not in the end of the process."""

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    with pytest.raises(CandorGuardError, match="did not start"):
        async with serving(broken):
            pass


async def test_an_address_is_a_url_for_ipv6_too() -> None:
    """An IPv6 address is put into brackets."""
    try:
        async with serving(Starlette(), host="::1") as address:
            assert address.startswith("http://[::1]:")
    except ConfigurationError:
        pytest.skip("no IPv6 loopback here")
