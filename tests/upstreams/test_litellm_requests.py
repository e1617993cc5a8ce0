"""What the LiteLLM upstream lets through, and what it refuses before any provider is asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from tests.upstreams.litellm_kit import (
    JSON,
    REPLY,
    chat,
    litellm_for,
    needs_litellm,
    provider,
    read_json,
)
from tests.upstreams.servers import answer

from candor_guard.upstreams import UpstreamRequest

# LiteLLM's imports and clients warn on their own; those are not ours to mend.
pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore")]


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
