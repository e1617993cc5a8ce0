"""Faults that nobody expected: an OpenAI error with our id, and one line in the log that names it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx2
import pytest
from tests.proxy.http.stage import CHAT, DISPUTE, PATIENCE, request_body, served, stage
from tests.proxy.http.upstream import SSE, Cut, chunk, head
from typing_extensions import override

from candor_guard.conversation import Exchange
from candor_guard.detectors import Detector
from candor_guard.guard import Guard
from candor_guard.testing import FakeDetector, FakeReply, FakeResponse, FakeUpstream, chat_stream
from candor_guard.upstreams import UpstreamRequest
from candor_proxy.options import ProxyOptions

pytestmark = pytest.mark.anyio

WORD = "secretword"
HEAD = chat_stream(["It ", "is "], finish=None).removesuffix(b"data: [DONE]\n\n")


class Faulty(FakeUpstream):
    """Raises what no upstream should, in words of the request: at once, or in the body."""

    begins: bool = False

    @override
    async def open(self, request: UpstreamRequest) -> FakeResponse:
        """Fail now, or answer and fail then."""
        if not self.begins:
            raise LookupError(WORD)
        headers = (("content-type", "text/event-stream"),)
        return Failing(200, headers, [HEAD])


class Failing(FakeResponse):
    """A response whose body cannot be read to its end."""

    @override
    async def read(self) -> bytes:
        """Play the pieces, then fail."""
        if self.pieces:
            return await FakeResponse.read(self)
        try:
            raise KeyError(WORD)
        except KeyError as error:
            raise LookupError(WORD) from error


class Mute(FakeDetector):
    """Cannot show what it reads."""

    def shown(self, exchange: Exchange) -> Mapping[str, str]:
        """Fail."""
        raise LookupError(exchange.reply)


@asynccontextmanager
async def faulty(
    *, begins: bool = False, detector: Detector | None = None
) -> AsyncIterator[httpx2.AsyncClient]:
    upstream = Faulty([FakeReply.chat("never")])
    upstream.begins = begins
    guard = Guard(detector or FakeDetector(at_risk=False), upstream=upstream)
    async with (
        asyncio.timeout(PATIENCE),
        served(guard, ProxyOptions()) as url,
        httpx2.AsyncClient(base_url=url, timeout=PATIENCE) as client,
    ):
        yield client


def told(log: pytest.LogCaptureFixture) -> list[str]:
    """What an operator sees of warnings and errors, tracebacks included."""
    shown = logging.Formatter("%(levelname)s %(name)s: %(message)s")
    return [shown.format(r) for r in log.records if r.levelno >= logging.WARNING]


def need_internal_error(response: httpx2.Response) -> str:
    """The answer in OpenAI's shape; returns its id."""
    assert response.status_code == 500
    assert response.json()["error"] == {
        "message": "internal error", "type": "candor_guard_error", "param": None,
        "code": "internal_error",
    }  # fmt: skip
    return response.headers["x-candor-request-id"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("at_risk", [False, True], ids=["ungated", "held"])
async def test_a_guarded_request(
    stream: bool, at_risk: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The client is told an id; the one log entry has it, with the place and without any content."""
    async with faulty(detector=FakeDetector(at_risk=at_risk)) as client:
        response = await client.post(
            CHAT, content=request_body(stream=stream), headers={"authorization": f"Bearer {WORD}"}
        )
        counts = (await client.get("/metrics")).text
    number = need_internal_error(response)
    (entry,) = told(caplog)
    assert entry.startswith(f"ERROR candor_proxy: request {number} failed\n")
    assert entry.count("Traceback") == 1
    assert "test_internal.py" in entry
    assert entry.endswith("\nLookupError")
    assert WORD not in entry
    assert "candor_requests_in_flight 0.0" in counts
    labels = 'action="failed",evaluated="none",mode="enforce",surface="chat"'
    assert f"candor_requests_total{{{labels}}} 1.0" in counts


@pytest.mark.parametrize("at_risk", [False, True], ids=["ungated", "held"])
async def test_in_the_middle_of_a_body(at_risk: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A fault after the beginning breaks a running body off, and is an error where it was held."""
    async with faulty(begins=True, detector=FakeDetector(at_risk=at_risk)) as client:
        if at_risk:
            response = await client.post(CHAT, content=request_body(stream=True))
            number = need_internal_error(response)
        else:
            async with client.stream("POST", CHAT, content=request_body(stream=True)) as response:
                number = response.headers["x-candor-request-id"]
                with pytest.raises(httpx2.RemoteProtocolError):
                    await response.aread()
    entry = told(caplog)[0]
    assert entry.startswith(f"ERROR candor_proxy: request {number} failed\n")
    assert "LookupError\n\ncaused by\n" in entry
    assert entry.endswith("\nKeyError")
    assert WORD not in "".join(told(caplog))


async def test_a_request_of_anthropics_api() -> None:
    """A client of the other API gets that one's shape, with the same id as in the header."""
    async with faulty() as client:
        response = await client.post("/v1/messages", content=request_body())
    told = {"type": "api_error", "message": "internal error"}
    assert response.status_code == 500
    assert response.json() == {
        "type": "error", "error": {**told, "details": {"error_code": "internal_error"}},
        "request_id": response.headers["x-candor-request-id"],
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/v1/models", "/candor/v1/explain"])
async def test_the_other_paths(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """What is passed through, and the proxy's own paths, answer and log in the same way."""
    body = json.dumps({"messages": DISPUTE, "reply": WORD}).encode()
    async with faulty(detector=Mute()) as client:
        response = await client.request(
            "GET" if path == "/v1/models" else "POST", path, content=body
        )
    number = need_internal_error(response)
    (entry,) = told(caplog)
    assert entry.startswith(f"ERROR candor_proxy: request {number} failed\n")
    assert WORD not in entry


async def test_a_reply_that_the_upstream_breaks_off(caplog: pytest.LogCaptureFixture) -> None:
    """What the upstream does to a reply is told with its id, in one line and as no fault of ours."""
    broken = (head(*SSE), chunk(HEAD), Cut.CLOSE)
    async with stage(broken, detector=FakeDetector(at_risk=False)) as on:
        request = on.client.build_request("POST", CHAT, content=request_body(stream=True))
        response = await on.client.send(request, stream=True)
        number = response.headers["x-candor-request-id"]
        with pytest.raises(httpx2.RemoteProtocolError):
            await response.aread()
        await response.aclose()
    ours = [entry for entry in told(caplog) if "candor_proxy" in entry]
    assert ours == [
        f"WARNING candor_proxy: upstream broke off the reply to {number}: "
        "UpstreamInterruptedError upstream"
    ]


async def test_a_body_that_passes_and_breaks_off(caplog: pytest.LogCaptureFixture) -> None:
    """What passes unread and breaks off is a line with an id, too."""
    async with stage((head(*SSE), chunk(HEAD), Cut.CLOSE)) as on:
        with pytest.raises(httpx2.RemoteProtocolError):
            await on.client.get("/v1/models")
    (entry,) = [entry for entry in told(caplog) if "candor_proxy" in entry]
    assert entry.startswith("WARNING candor_proxy: upstream broke off the reply to ")
    assert entry.endswith(": UpstreamInterruptedError upstream")
