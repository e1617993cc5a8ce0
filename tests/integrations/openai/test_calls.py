"""The guard's own calls leave as the client's do: its context, its signature, its connections."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
from contextvars import ContextVar
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from tests.integrations.openai.kit import (
    CAVE,
    KINDS,
    RIGHT,
    Asker,
    Kind,
    asking,
    candor,
    close,
    fake_guard,
    plays,
    said,
)
from tests.proxy.http.upstream import Play, playing, says, streamed
from typing_extensions import override

from candor_guard.errors import ConfigurationError
from candor_guard.integrations.openai import guard
from candor_guard.testing import chat_stream

pytestmark = pytest.mark.anyio

HTTP: Any = importlib.import_module(
    type(OpenAI(api_key="k")._client).__mro__[2].__module__.partition(".")[0]
)
REQUEST: ContextVar[str] = ContextVar("request", default="none")


def signed(request: Any) -> None:
    request.headers["x-signature"] = hashlib.sha256(request.content).hexdigest()


class Signing(OpenAI):
    """A client that signs bodies in its own hook, as Bedrock's does."""

    @override
    def _prepare_request(self, request: Any) -> None:
        signed(request)


class AsyncSigning(AsyncOpenAI):
    """The same, asynchronous."""

    @override
    async def _prepare_request(self, request: Any) -> None:
        signed(request)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_the_callers_context(stream: bool) -> None:
    """Hooks of a blocking client see the caller's context variables in every call of the guard."""
    seen: list[str] = []
    hooks = {
        "request": [lambda _: seen.append(REQUEST.get())],
        "response": [lambda _: seen.append(REQUEST.get())],
    }
    inner = HTTP.Client(event_hooks=hooks)
    REQUEST.set("r-1")
    async with asking("sync", *plays(CAVE, stream=stream), http_client=inner) as (asker, _):
        await (asker.chunks() if stream else asker.create())
    assert seen == ["r-1"] * 4


@KINDS
async def test_a_client_that_signs(kind: Kind) -> None:
    """A client that signs each request in its own hook signs the guard's, too."""
    async with playing(*plays(CAVE)) as server:
        bare = (Signing if kind == "sync" else AsyncSigning)(base_url=server.url, api_key="k")
        asker = Asker(guard(bare, fake_guard()))
        assert candor(await asker.create())["action"] == "regenerate"
        await close(asker.client)
    for call in server.calls:
        assert call.values("x-signature") == [hashlib.sha256(bytes(call.body)).hexdigest()]
        assert call.values("authorization") == ["Bearer k"]


@KINDS
async def test_a_providers_token(kind: Kind) -> None:
    """A provider that wants to write the authorization itself writes it for every call."""
    providers: Any = pytest.importorskip("openai.providers.bedrock")
    tokens = iter(["first", "second"])
    async with playing(*plays(CAVE)) as server:
        provider = providers.bedrock(
            region="eu-west-1", base_url=server.url, token_provider=lambda: next(tokens)
        )
        bare: Any = (OpenAI if kind == "sync" else AsyncOpenAI)(provider=provider)
        asker = Asker(guard(bare, fake_guard()))
        assert candor(await asker.create())["action"] == "regenerate"
        await close(asker.client)
    sent = [call.values("authorization") for call in server.calls]
    assert sent == [["Bearer first"], ["Bearer second"]]


def test_an_x509_identity() -> None:
    """A client that sends around its HTTP client is refused: none of its replies would be read."""
    identity = {"type": "x509", "identity_provider_id": "p", "service_account_id": "s"}
    options: dict[str, Any] = {"workload_identity": identity}
    try:
        client = OpenAI(**options)
    except (TypeError, openai.OpenAIError):
        pytest.skip("this version has no such identities")
    with pytest.raises(ConfigurationError, match=r"X\.509"):
        guard(client)


@KINDS
async def test_few_connections(kind: Kind) -> None:
    """A held stream gives its connection back at its end, so that one is enough for every call."""
    limits = HTTP.Limits(max_connections=1)
    inner = (HTTP.Client if kind == "sync" else HTTP.AsyncClient)(limits=limits)
    script = plays(CAVE, stream=True)
    async with asking(kind, *script, http_client=inner, timeout=60) as (asker, _):
        chunks, outcome = await asker.chunks()
    assert said(chunks).strip() == RIGHT
    assert outcome is not None
    assert outcome.action == "regenerate"


class Shared(HTTP.HTTPTransport):  # type: ignore[misc]  # which class depends on what is installed
    """Connections that say that they are shared, as those of HTTP/2 are."""

    @override
    def handle_request(self, request: Any) -> Any:
        response = super().handle_request(request)
        response.extensions["http_version"] = b"HTTP/2"
        return response


async def test_a_shared_connection() -> None:
    """A call that is given up does not end a connection that other requests are on."""
    goes_on = asyncio.Event()
    frames = [frame + b"\n\n" for frame in chat_stream(["It ", "is "]).split(b"\n\n")[:2]]
    stalling: Play = (*streamed(*frames)[:-1], goes_on, *streamed(*frames)[-1:])
    inner = HTTP.Client(transport=Shared())
    using = fake_guard(max_regeneration_seconds=0.3)
    script = [says(CAVE, stream=True), stalling]
    async with asking("sync", *script, using=using, http_client=inner) as (asker, server):
        chunks, outcome = await asker.chunks()
        assert said(chunks).strip() == CAVE
        assert outcome is not None
        assert outcome.skipped == "regeneration_timeout"
        await asyncio.sleep(0.2)
        assert not server.calls[1].left.is_set()
        goes_on.set()
