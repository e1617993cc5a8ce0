"""What goes wrong with Messages requests, in the shape that Anthropic's clients read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from tests.proxy.http.stage import stage
from tests.proxy.http.test_messages import EAGER, HEADERS, PATH, ask, asked, says
from tests.proxy.http.upstream import Cut, answer, streamed
from tests.wire.messages_kit import body, events_of, stream

from candor_proxy.admission import Bounds
from candor_proxy.options import ProxyOptions

pytestmark = pytest.mark.anyio

EACH_WAY = pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
OFF = {"x-candor-mode": "off"}


def assert_error(
    response: httpx2.Response, raw: bytes, status: int, kind: str, code: str | None = None
) -> dict[str, Any]:
    """The whole shape: status, JSON and its members; returns what stands beside the error."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    told: dict[str, Any] = json.loads(raw)
    error = told.pop("error")
    assert (told.pop("type"), error.pop("type")) == ("error", kind)
    assert error.pop("message")
    assert error == ({} if code is None else {"details": {"error_code": code}})
    number = told.pop("request_id")
    assert number is None or number == response.headers.get("x-candor-request-id", number)
    return told


BAD: dict[str, tuple[bytes, dict[str, str]]] = {
    "no JSON": (b"{", {}),
    "no messages": (b'{"model": "m"}', {}),
    "unknown mode": (asked(), {"x-candor-mode": "maybe"}),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_request(case: str) -> None:
    """What cannot be read is refused with a 400 and our request id."""
    raw, headers = BAD[case]
    async with stage() as on:
        response, got = await on.post(PATH, raw, HEADERS | headers)
        assert on.upstream.calls == []
    assert_error(response, got, 400, "invalid_request_error")
    assert json.loads(got)["request_id"] == response.headers["x-candor-request-id"]


async def test_too_large() -> None:
    """A body over the limit gets a 413."""
    async with stage(options=ProxyOptions(max_request_bytes=10)) as on:
        response, got = await ask(on)
    assert_error(response, got, 413, "request_too_large", "too_large")


@pytest.mark.parametrize("path", [PATH, f"{PATH}/count_tokens", "/v1/models"])
async def test_upstream_without_an_answer(path: str) -> None:
    """No connection: a 502, guarded and passed through alike."""
    async with stage(upstream={"base_url": "http://127.0.0.1:1/v1"}) as on:
        response, got = await on.post(path, asked(), HEADERS)
    assert_error(response, got, 502, "api_error", "upstream_unreachable")


async def test_silent_upstream() -> None:
    """No answer in time: a 504."""
    async with stage((20.0,), upstream={"read_timeout": 0.2}) as on:
        response, got = await ask(on)
    assert_error(response, got, 504, "timeout_error", "upstream_timeout")


@EACH_WAY
async def test_held_reply_that_breaks_off(streams: bool) -> None:
    """A held reply that breaks off is an error that the client can act on."""
    pieces = streamed(stream(["CAVE"])[:200], Cut.CLOSE) if streams else (
        answer(body("CAVE"))[:-9], Cut.CLOSE,
    )  # fmt: skip
    async with stage(pieces) as on:
        response, got = await ask(on, stream=streams)
    assert_error(response, got, 502, "api_error", "upstream_interrupted")


@EACH_WAY
async def test_refusal_by_policy(streams: bool) -> None:
    """A refused reply is a 422 that says so, with the record beside the error."""
    async with stage(says("CAVE", streams=streams), on_unresolved="refuse") as on:
        response, got = await ask(on, stream=streams)
    told = assert_error(response, got, 422, "invalid_request_error", "unresolved")
    assert told["candor"]["action"] == "block"
    assert response.headers["x-should-retry"] == "false"


async def test_refusal_after_deferral() -> None:
    """Once headers are out, a refusal is an error event, after the pings."""
    slow = streamed(0.15, stream(["CAVE"]))
    async with stage(slow, options=EAGER, on_unresolved="refuse") as on:
        response, got = await ask(on, stream=True)
    assert response.status_code == 200
    *_, last = got.rstrip().split(b"\n\n")
    assert last.startswith(b"event: error\ndata: ")
    told = events_of(got)[-1]
    assert (told["type"], told["error"]["details"]) == ("error", {"error_code": "unresolved"})
    assert b"CAVE" not in got


@pytest.mark.parametrize("path", [PATH, f"{PATH}/batches"])
async def test_body_that_stops(path: str) -> None:
    """A body that stops coming gets a 408, guarded and passed through alike."""
    short = ProxyOptions(body_timeout=0.05)
    async with stage(says("56.", streams=False), options=short) as on:
        response = await on.client.post(path, content=_half(), headers=HEADERS)
    assert_error(response, response.content, 408, "timeout_error", "body_timeout")


async def _half() -> AsyncIterator[bytes]:
    yield b"{"
    await asyncio.sleep(0.3)


async def test_overload() -> None:
    """A worker that is busy says so, and when to come again."""
    async with stage(says("56.", streams=False), bounds=Bounds(0, 0)) as on:
        response, got = await ask(on)
    assert_error(response, got, 503, "overloaded_error", "overloaded")
    assert response.headers["retry-after"] == "1"


async def test_foreign_method() -> None:
    """A method that would show what was sent upstream is refused."""
    async with stage() as on:
        response = await on.client.request("TRACE", PATH)
    assert_error(response, response.content, 405, "invalid_request_error", "method_not_allowed")


@EACH_WAY
async def test_error_of_the_upstream(streams: bool) -> None:
    """Upstream's own error keeps status, body and headers."""
    raw = b'{"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}'
    limited = answer(raw, "retry-after: 7", "request-id: req_9", status="429 Too Many Requests")
    async with stage((limited,)) as on:
        response, got = await ask(on, stream=streams)
    assert (response.status_code, got) == (429, raw)
    assert (response.headers["retry-after"], response.headers["request-id"]) == ("7", "req_9")
    assert response.headers["x-candor-skipped"] == "upstream_error"


async def test_unread_request_when_off() -> None:
    """With the mode off, a body that is no request goes to the upstream as it is."""
    async with stage((answer(b"{}"),)) as on:
        _, got = await on.post(PATH, b"{", HEADERS | OFF)
        assert bytes(on.upstream.calls[0].body) == b"{"
    assert got == b"{}"
