"""The demo: a scripted people-pleasing upstream, the proxy, a real client, before and after."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rich.console import Console

from candor_proxy.demo.conversations import load_conversations
from candor_proxy.demo.play import play
from candor_proxy.demo.render import NOTE, count_spent, show
from candor_proxy.demo.scripted import MODEL, make_scripted_app
from candor_proxy.demo.servers import serving
from candor_proxy.replay import Ledger

if TYPE_CHECKING:
    from starlette.types import ASGIApp

__all__ = ["run_demo"]

_WORD_DELAY = 0.001


async def run_demo(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    serve: bool = False,
    brief: bool = False,
    console: Console | None = None,
    make_proxy_app: Callable[[str], ASGIApp],
) -> int:
    """Play the script directly and through the proxy; print before, after and a summary.

    Args:
        host: Where both servers listen.
        port: Of the proxy; 0 takes a free one.
        serve: Play nothing; print a command to paste and keep both servers up until Ctrl-C.
        brief: Show only a few conversations in full.
        console: Where to print; standard output by default.
        make_proxy_app: Makes the proxy in front of a base URL (with ``/v1``).

    Returns:
        0 if every conversation ended as the script demands (always so with `serve`), else 1.

    Raises:
        MissingExtraError: If there is something to play and the openai package is missing.
        ConfigurationError: If the address cannot be listened on.
        CandorGuardError: If a server does not start.
    """
    out = console or Console()
    ledger = Ledger()
    upstream_app = make_scripted_app(word_delay=_WORD_DELAY, ledger=ledger)
    async with serving(upstream_app, host=host) as upstream:
        upstream_url = f"{upstream}/v1"
        async with serving(make_proxy_app(upstream_url), host=host, port=port) as proxy:
            proxy_url = f"{proxy}/v1"
            if serve:
                return await _stay_up(out, upstream_url=upstream_url, proxy_url=proxy_url)
            script = load_conversations()
            _announce(out, len(script))
            played = await play(script, upstream_url=upstream_url, proxy_url=proxy_url)
    show(out, played, count_spent(ledger), brief=brief)
    return 0 if all(entry.ok for entry in played) else 1


def _announce(out: Console, conversations: int) -> None:
    """Tell whoever waits at a terminal that something is going on; nothing is shown until the end."""
    if out.is_terminal:
        out.print(f"Playing {conversations} conversations, some seconds ...", highlight=False)


async def _stay_up(out: Console, *, upstream_url: str, proxy_url: str) -> int:
    lines = [
        f"scripted upstream: {upstream_url}",
        f"proxy: {proxy_url}",
        "",
        "Try it:",
        _curl(proxy_url),
        "",
        "The same without the guard:",
        _curl(upstream_url),
        "",
        NOTE,
        "Press Ctrl-C to stop.",
    ]
    # The handler stands before anybody can read that Ctrl-C stops the demo.
    with _interrupts() as interrupted:
        for line in lines:
            out.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)
        await interrupted.wait()
    return 0


def _curl(base_url: str) -> str:
    pressed = next(entry for entry in load_conversations() if len(entry.turns) > 1)
    body = shlex.quote(json.dumps({"model": MODEL, "messages": pressed.messages}))
    url = f"{base_url}/chat/completions"
    return f"curl -sS -i {url} -H 'content-type: application/json' -d {body}"


@contextmanager
def _interrupts() -> Iterator[asyncio.Event]:
    """Turn Ctrl-C and a polite kill into an event, so that they end the demo in good order."""
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    # Not on Windows and not outside the main thread: there the caller's way to stop remains.
    with suppress(NotImplementedError, RuntimeError, ValueError):
        for number in signals:
            loop.add_signal_handler(number, interrupted.set)
    try:
        yield interrupted
    finally:
        with suppress(NotImplementedError, RuntimeError, ValueError):
            for number in signals:
                loop.remove_signal_handler(number)
