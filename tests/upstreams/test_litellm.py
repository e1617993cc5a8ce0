"""LiteLLM against a real OpenAI-compatible server; runs where the extra is installed."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from tests.upstreams.servers import Connection, Received, Script, answer, head, serve

from candor_guard.errors import (
    UpstreamInterruptedError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from candor_guard.upstreams import UpstreamRequest, UpstreamResponse
from candor_guard.upstreams.litellm import LiteLLMUpstream

INSTALLED = importlib.util.find_spec("litellm") is not None

# LiteLLM's imports and clients warn on their own; those are not ours to mend.
pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore")]
needs_litellm = pytest.mark.skipif(not INSTALLED, reason="needs candor-guard[litellm]")

KEY = "sk-operator-secret"
JSON = "content-type: application/json"
REPLY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "x",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "h\u00e9"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}


def chat(**more: Any) -> UpstreamRequest:
    body = {"model": "openai/x", "messages": [{"role": "user", "content": "q"}], **more}
    headers = (("authorization", "Bearer client-key"), ("x-client", "1"))
    return UpstreamRequest("POST", "/chat/completions", headers, json.dumps(body).encode())


def event(content: str | None, finish: str | None = None) -> bytes:
    delta = {} if content is None else {"role": "assistant", "content": content}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "x"}
    return framed(b"data: " + json.dumps({**chunk, "choices": [choice]}).encode() + b"\n\n")


def framed(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


STREAM_HEAD = head("content-type: text/event-stream", "transfer-encoding: chunked")
STREAM_END = event(None, "stop") + framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def provider(*pieces: bytes, seen: list[Received] | None = None) -> Script:
    async def script(connection: Connection) -> None:
        request = await connection.request()
        if seen is not None:
            seen.append(request)
        for piece in pieces:
            await connection.send(piece)
            await asyncio.sleep(0.02)

    return script


@asynccontextmanager
async def litellm_for(script: Script, **options: Any) -> AsyncIterator[LiteLLMUpstream]:
    """An upstream whose operator has pointed LiteLLM at a scripted server."""
    async with serve(script) as server:
        params = {"api_base": server.url, "api_key": KEY, **options.pop("litellm_params", {})}
        async with aclosing(LiteLLMUpstream(litellm_params=params, **options)) as upstream:
            yield upstream


async def read_all(response: UpstreamResponse) -> bytes:
    pieces = []
    while piece := await response.read():
        pieces.append(piece)
    await response.aclose()
    return b"".join(pieces)


async def read_json(response: UpstreamResponse) -> Any:
    return json.loads(await read_all(response))


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
@pytest.mark.parametrize(
    "key",
    [
        "api_base", "base_url", "api_key", "api_version", "custom_llm_provider", "extra_headers",
        "headers", "extra_body", "mock_response", "model_list", "fallbacks", "timeout",
        "azure_ad_token", "vertex_credentials", "aws_bedrock_runtime_endpoint", "ssl_verify",
        "litellm_metadata", "whatever",
    ],
)  # fmt: skip
async def test_forbidden_parameter_is_refused_by_name(key: str) -> None:
    """The client can never choose the upstream host, nor any other option of the operator."""
    async with litellm_for(provider()) as upstream:
        response = await upstream.open(chat(**{key: "http://evil.example"}))
        error = (await read_json(response))["error"]

    assert response.status == 400
    assert error["param"] == key
    assert key in error["message"]


@needs_litellm
@pytest.mark.parametrize(
    "model",
    [
        "huggingface/https://evil.example/x",
        "openai//evil",
        "openai/../x",
        "x?y=1",
        "",
        "a b",
        7,
        None,
    ],
)
async def test_model_that_is_no_name_is_refused(model: object) -> None:
    """Some providers would take a URL in the place of a model."""
    async with litellm_for(provider()) as upstream:
        response = await upstream.open(chat(model=model))

        assert response.status == 400
        assert (await read_json(response))["error"]["param"] == "model"


@needs_litellm
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"model": "openai/x"}']
)
async def test_unreadable_body_is_refused(body: bytes) -> None:
    """As an OpenAI server would: 400, in JSON."""
    async with litellm_for(provider()) as upstream:
        response = await upstream.open(UpstreamRequest("POST", "/chat/completions", (), body))

        assert response.status == 400
        assert (await read_json(response))["error"]["type"] == "invalid_request_error"


@needs_litellm
async def test_streamed_request_body_is_collected() -> None:
    """A body that arrives in pieces is the same request."""

    async def pieces() -> AsyncIterator[bytes]:
        body = chat().body
        assert isinstance(body, bytes)
        yield body[:10]
        yield body[10:]

    async with litellm_for(provider(answer(json.dumps(REPLY).encode(), JSON))) as upstream:
        request = UpstreamRequest("POST", "/chat/completions?a=1", (), pieces())
        response = await upstream.open(request)

        assert (await read_json(response))["id"] == "chatcmpl-1"


@needs_litellm
async def test_models_are_listed_and_then_nothing_else_is_served() -> None:
    """`models` is what ``GET /models`` shows and all that can be asked for."""
    async with litellm_for(provider(), models=["openai/a", "anthropic/b"]) as upstream:
        listed = await read_json(await upstream.open(UpstreamRequest("GET", "/models", ())))
        response = await upstream.open(chat(model="openai/x"))

        assert response.status == 404
        assert (await read_json(response))["error"]["param"] == "model"
    assert listed == {
        "object": "list",
        "data": [
            {"id": "openai/a", "object": "model", "created": 0, "owned_by": "openai"},
            {"id": "anthropic/b", "object": "model", "created": 0, "owned_by": "anthropic"},
        ],
    }


@needs_litellm
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/embeddings"), ("GET", "/chat/completions"), ("DELETE", "/models"), ("GET", "/")],
)
async def test_other_paths_do_not_exist(method: str, path: str) -> None:
    """Nothing else is passed on."""
    async with litellm_for(provider()) as upstream:
        response = await upstream.open(UpstreamRequest(method, path, ()))

        assert response.status == 404
        assert path in (await read_json(response))["error"]["message"]


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
