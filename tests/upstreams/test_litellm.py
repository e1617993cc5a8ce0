"""LiteLLM against a real OpenAI-compatible server; runs where the extra is installed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
import time
from contextlib import aclosing

import pytest
from tests.upstreams.litellm_kit import (
    JSON,
    KEY,
    REPLY,
    STREAM_END,
    STREAM_HEAD,
    chat,
    event,
    litellm_for,
    needs_litellm,
    provider,
    read_all,
    read_json,
)
from tests.upstreams.servers import Connection, Received, answer, serve

from candor_guard.errors import (
    UpstreamInterruptedError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from candor_guard.upstreams.litellm import LiteLLMUpstream

# LiteLLM's imports and clients warn on their own; those are not ours to mend.
pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore")]


@needs_litellm
async def test_reply_looks_like_openais() -> None:
    """The body is OpenAI's JSON, and only what a client may send reaches the provider."""
    seen: list[Received] = []
    script = provider(answer(json.dumps(REPLY).encode(), JSON, "x-request-id: r1"), seen=seen)
    async with litellm_for(script) as upstream:
        response = await upstream.open(chat(temperature=0, top_k=3, metadata={"a": "b"}))
        body = await read_json(response)

    assert response.status == 200
    assert dict(response.headers)["content-type"] == "application/json"
    assert dict(response.headers)["x-request-id"] == "r1"
    assert body["object"] == "chat.completion"
    assert body["choices"] == REPLY["choices"]
    assert body["usage"] == REPLY["usage"]
    assert json.loads(seen[0].body) == {
        "model": "x",
        "messages": [{"role": "user", "content": "q"}],
        "temperature": 0,
        "top_k": 3,
    }


@needs_litellm
async def test_clients_key_and_headers_stay_here() -> None:
    """The provider sees the operator's key and none of the client's headers."""
    seen: list[Received] = []
    async with litellm_for(
        provider(answer(json.dumps(REPLY).encode(), JSON), seen=seen)
    ) as upstream:
        await read_all(await upstream.open(chat()))

    assert seen[0].all("authorization") == [f"Bearer {KEY}"]
    assert "client-key" not in str(seen[0])
    assert seen[0].all("x-client") == []


@needs_litellm
@pytest.mark.parametrize("model", ["openai/x", "gpt-4o"])
async def test_key_of_the_provider_is_used(model: str) -> None:
    """`api_keys` is by provider, also where the model's name does not say it."""
    seen: list[Received] = []
    script = provider(answer(json.dumps(REPLY).encode(), JSON), seen=seen)
    keys = {"openai": "sk-by-provider", "anthropic": "sk-other"}
    async with serve(script) as server:
        params = {"api_base": server.url}
        async with aclosing(LiteLLMUpstream(api_keys=keys, litellm_params=params)) as upstream:
            await read_all(await upstream.open(chat(model=model)))

    assert seen[0].all("authorization") == ["Bearer sk-by-provider"]


@needs_litellm
async def test_stream_is_server_sent_events() -> None:
    """Chunks become frames one by one, and [DONE] ends them."""
    script = provider(STREAM_HEAD, event("h\u00e9"), event("llo"), STREAM_END)
    async with litellm_for(script) as upstream:
        response = await upstream.open(chat(stream=True))
        first = await asyncio.wait_for(response.read(), 2)
        rest = await read_all(response)

    assert dict(response.headers)["content-type"].startswith("text/event-stream")
    frames = (first + rest).decode().split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    choices = [json.loads(frame.removeprefix("data: "))["choices"][0] for frame in frames[:-2]]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == "h\u00e9llo"
    assert [choice["finish_reason"] for choice in choices] == [None, None, "stop"]


@needs_litellm
async def test_closing_a_stream_closes_the_providers_connection() -> None:
    """An abandoned reply costs no further tokens: the socket is closed within 100 ms."""
    closed = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(STREAM_HEAD + event("a"))
        await connection.closed()
        closed.set()

    async with litellm_for(script) as upstream:
        response = await upstream.open(chat(stream=True))
        assert b'"a"' in await response.read()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.read(), 0.05)

        start = time.perf_counter()
        await response.aclose()
        await asyncio.wait_for(closed.wait(), 1)
        assert time.perf_counter() - start < 0.1
        with pytest.raises(UpstreamInterruptedError):
            await response.read()


@needs_litellm
async def test_cancelled_open_closes_the_providers_connection() -> None:
    """The same before the first byte."""
    closed, ready = asyncio.Event(), asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        ready.set()
        await connection.closed()
        closed.set()

    async with litellm_for(script) as upstream:
        opening = asyncio.create_task(upstream.open(chat()))
        await ready.wait()
        start = time.perf_counter()
        opening.cancel()
        await asyncio.wait_for(closed.wait(), 1)
        assert time.perf_counter() - start < 0.1
        await asyncio.gather(opening, return_exceptions=True)


@needs_litellm
async def test_cancelled_read_loses_nothing() -> None:
    """A read that is given up leaves its piece for the next one."""
    go_on = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(STREAM_HEAD + event("a"))
        await go_on.wait()
        await connection.send(event("b") + STREAM_END)

    async with litellm_for(script) as upstream:
        response = await upstream.open(chat(stream=True))
        await response.read()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.read(), 0.05)
        go_on.set()
        rest = await read_all(response)

    assert b'"content":"b"' in rest
    assert rest.endswith(b"data: [DONE]\n\n")


@needs_litellm
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("400 Bad", "invalid_request_error"),
        ("401 Unauthorized", "invalid_request_error"),
        ("404 Not Found", "invalid_request_error"),
        ("429 Too Many", "rate_limit_error"),
        ("500 Oops", "server_error"),
        ("503 Busy", "server_error"),
    ],
)
async def test_providers_error_keeps_its_status(status: str, kind: str, stream: bool) -> None:
    """Errors come in OpenAI's shape, with the provider's words and without the operator's key."""
    said = {"error": {"message": f"no, {KEY}", "type": "t", "code": "c", "param": "p"}}
    script = provider(answer(json.dumps(said).encode(), JSON, "retry-after: 7", status=status))
    async with litellm_for(script) as upstream:
        response = await upstream.open(chat(stream=stream))
        error = (await read_json(response))["error"]

    assert response.status == int(status[:3])
    assert dict(response.headers)["content-type"] == "application/json"
    assert dict(response.headers).get("retry-after") == "7"
    assert error == {"message": "no, ***", "type": kind, "param": "p", "code": "c"}


@needs_litellm
@pytest.mark.parametrize("stream", [False, True])
async def test_no_connection_is_unreachable(stream: bool) -> None:
    """A provider that cannot be reached is no status 500 that somebody sent."""
    params = {"api_base": "http://127.0.0.1:1/v1", "api_key": KEY}
    async with aclosing(LiteLLMUpstream(litellm_params=params)) as upstream:
        with pytest.raises(UpstreamUnreachableError) as caught:
            await upstream.open(chat(stream=stream))

    assert KEY not in str(caught.value)


@needs_litellm
async def test_silence_is_a_timeout() -> None:
    """Before the answer and within a stream."""

    async def silent(connection: Connection) -> None:
        request = await connection.request()
        if b'"stream":true' in request.body.replace(b" ", b""):
            await connection.send(STREAM_HEAD + event("a"))
        await connection.closed()

    async with litellm_for(silent, read_timeout=1) as upstream:
        with pytest.raises(UpstreamTimeoutError):
            await upstream.open(chat())
        response = await upstream.open(chat(stream=True))
        await response.read()
        with pytest.raises(UpstreamTimeoutError):
            await response.read()


@needs_litellm
async def test_stream_that_breaks_off_is_interrupted() -> None:
    """A cut stream does not end in [DONE]."""
    async with litellm_for(provider(STREAM_HEAD, event("a"))) as upstream:
        response = await upstream.open(chat(stream=True))
        await response.read()
        with pytest.raises(UpstreamInterruptedError):
            await read_all(response)


@needs_litellm
async def test_closing_the_upstream_closes_its_streams() -> None:
    """Nothing stays open behind a proxy that shuts down."""
    closed = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(STREAM_HEAD + event("a"))
        await connection.closed()
        closed.set()

    async with litellm_for(script) as upstream:
        await (await upstream.open(chat(stream=True))).read()
        await upstream.aclose()
        await asyncio.wait_for(closed.wait(), 1)


# --- without LiteLLM


def run(code: str) -> str:
    """Run code in a fresh interpreter and return what it prints."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_library_does_not_import_litellm() -> None:
    """Two seconds and 190 MB are paid by those who use it."""
    code = """
        import sys, candor_guard, candor_guard.upstreams, candor_guard.upstreams.litellm
        print("litellm" in sys.modules)
    """
    assert run(code) == "False"


def test_missing_litellm_names_the_extra() -> None:
    """The error says what to install."""
    code = """
        import sys
        sys.modules["litellm"] = None
        from candor_guard.upstreams.litellm import LiteLLMUpstream
        try:
            LiteLLMUpstream()
        except ImportError as error:
            print(type(error).__name__, error)
    """
    assert run(code).startswith("MissingExtraError")
    assert "candor-guard[litellm]" in run(code)
