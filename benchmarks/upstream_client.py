"""Measure what an HTTP client costs a pass-through: python -m benchmarks.upstream_client.

The same Starlette pass-through with `DirectUpstream` (aiohttp), with aiohttp used directly, and
with httpx2, each in its own process, asked in turn over kept-alive loopback connections, one
request at a time. Two figures for each: the time added to asking the upstream directly, and the
processor time of the pass-through itself, which a busy machine disturbs less. Absolute values
differ from machine to machine. Linux only; takes less than a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from benchmarks.loopback import free_port, wait_for
from benchmarks.overhead.client import Client
from benchmarks.overhead.floor import create_app as bare_aiohttp_app
from candor_guard.upstreams import UpstreamRequest
from candor_guard.upstreams.direct import DirectUpstream

RESULTS = Path(__file__).parent / "results" / "upstream_client.json"
PAYLOAD = {
    "model": "mock",
    "messages": [{"role": "user", "content": "How long does it bake? " * 20}],
}
HEADERS = (("content-type", "application/json"), ("accept", "*/*"))
ROUNDS, WHOLE, STREAMS = 50, 25, 5

Relay = Callable[[Request], Awaitable[StreamingResponse]]


def main() -> None:
    """Run the comparison, print a table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the figures go")
    args = parser.parse_args()
    with _servers() as servers:
        report = {
            "setup": _setup(args.rounds),
            "whole replies": _measure(servers, {"stream": False}, args.rounds, WHOLE),
            "streams of 200 chunks": _measure(servers, {"stream": True}, args.rounds, STREAMS),
        }
    _print(report)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


# --- the contenders


def direct_upstream_app(base_url: str) -> Starlette:
    """Pass through with our own upstream."""
    upstream = DirectUpstream(base_url)

    async def relay(request: Request) -> StreamingResponse:
        path = request.url.path.removeprefix("/v1")
        sent = UpstreamRequest(request.method, path, HEADERS, await request.body())
        response = await upstream.open(sent)

        async def body() -> AsyncIterator[bytes]:
            async with aclosing(response):
                while piece := await response.read():
                    yield piece

        return StreamingResponse(body(), response.status, dict(response.headers))

    return _app(relay, upstream.aclose)


def httpx2_app(base_url: str) -> Starlette:
    """Pass through with httpx2, raw bytes, no limit on its pool."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    client = httpx2.AsyncClient(limits=limits, timeout=600, trust_env=False)

    async def relay(request: Request) -> StreamingResponse:
        url = base_url + request.url.path.removeprefix("/v1")
        body = await request.body()
        sent = client.build_request(request.method, url, headers=HEADERS, content=body)
        response = await client.send(sent, stream=True)

        async def pieces() -> AsyncIterator[bytes]:
            async with aclosing(response):
                async for piece in response.aiter_raw():
                    yield piece

        headers = {k: v for k, v in response.headers.items() if k != "transfer-encoding"}
        return StreamingResponse(pieces(), response.status_code, headers)

    return _app(relay, client.aclose)


def _app(relay: Relay, close: Callable[[], Awaitable[None]]) -> Starlette:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await close()

    route = Route("/v1/chat/completions", relay, methods=["POST"])
    return Starlette(routes=[route], lifespan=lifespan)


APPS = {
    "DirectUpstream": direct_upstream_app,
    "aiohttp alone": bare_aiohttp_app,
    "httpx2": httpx2_app,
}


def serve(name: str, port: int, base_url: str) -> None:
    """Run one contender."""
    uvicorn.run(
        APPS[name](base_url), host="127.0.0.1", port=port, log_level="warning",
        access_log=False, loop="uvloop", http="httptools",
    )  # fmt: skip


# --- the measurement


@dataclass(frozen=True, slots=True)
class _Server:
    port: int
    pid: int

    def cpu_ms(self) -> float:
        schedstat = Path(f"/proc/{self.pid}/schedstat").read_text(encoding="ascii")
        return int(schedstat.split()[0]) / 1e6


@dataclass(slots=True)
class _Samples:
    rounds: list[list[float]] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


@contextmanager
def _servers() -> Iterator[dict[str, _Server]]:
    """Start the upstream and the contenders; client and upstream share a core."""
    cores = sorted(os.sched_getaffinity(0))
    upstream = free_port()
    url = f"http://127.0.0.1:{upstream}/v1"
    arguments = ["benchmarks.overhead.mock_upstream", str(upstream), "0"]
    os.sched_setaffinity(0, {cores[-1]})
    with ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, set(cores))
        pid = stack.enter_context(_process(arguments, cores[-1]))
        servers = {"direct": _Server(upstream, pid)}
        for name in APPS:
            port = free_port()
            command = [__spec__.name, "serve", name, str(port), url]
            servers[name] = _Server(port, stack.enter_context(_process(command, cores[0])))
        for server in servers.values():
            wait_for(server.port)
        yield servers


@contextmanager
def _process(arguments: list[str], core: int) -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-m", *arguments]) as process:
        os.sched_setaffinity(process.pid, {core})
        try:
            yield process.pid
        finally:
            process.kill()


def _measure(
    servers: dict[str, _Server], options: dict[str, bool], rounds: int, requests: int
) -> dict[str, dict[str, float]]:
    samples = {name: _Samples() for name in servers}
    order, shuffle = list(servers), random.Random(0)
    for number in range(rounds + 1):
        shuffle.shuffle(order)
        for name in order:
            client = Client(servers[name].port)
            before = servers[name].cpu_ms()
            timings = [client.request({**PAYLOAD, **options}) for _ in range(requests)]
            used = servers[name].cpu_ms() - before
            client.close()
            if number:  # the first round warms up
                samples[name].rounds.append([timing.last * 1000 for timing in timings])
                samples[name].cpu.append(used / requests)
    return {name: _row(sample, samples["direct"]) for name, sample in samples.items()}


def _row(ours: _Samples, base: _Samples) -> dict[str, float]:
    # Each round is compared with its own neighbours, so slow drifts of the machine cancel out.
    added = sorted(
        statistics.median(mine) - statistics.median(theirs)
        for mine, theirs in zip(ours.rounds, base.rounds, strict=True)
    )
    quarter = len(added) // 4
    return {
        "p50_ms": statistics.median(value for values in ours.rounds for value in values),
        "added_p50_ms": statistics.median(added),
        "added_p50_quartile_low_ms": added[quarter],
        "added_p50_quartile_high_ms": added[-quarter - 1],
        "cpu_ms": statistics.median(ours.cpu),
    }


def _setup(rounds: int) -> dict[str, Any]:
    packages = ("aiohttp", "httpx2", "httptools", "starlette", "uvicorn", "uvloop")
    return {
        "python": platform.python_version(),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "packages": {name: version(name) for name in packages},
        "rounds": rounds,
        "requests a round": {"whole": WHOLE, "streams": STREAMS},
    }


def _print(report: dict[str, Any]) -> None:
    for title, rows in report.items():
        if title == "setup":
            continue
        print(f"\n{title}: milliseconds to the last byte, quartiles of the rounds; CPU per request")
        print(f"{'':16}{'p50':>8}{'added p50':>12}{'quartiles':>18}{'CPU':>8}")
        for name, row in rows.items():
            low, high = row["added_p50_quartile_low_ms"], row["added_p50_quartile_high_ms"]
            print(
                f"{name:16}{row['p50_ms']:8.3f}{row['added_p50_ms']:12.3f}"
                f"{low:10.3f} to {high:.3f}{row['cpu_ms']:8.3f}"
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    else:
        main()
