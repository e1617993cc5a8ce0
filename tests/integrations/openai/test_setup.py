"""What a client was set up with goes on to apply, to the guard's own calls as well."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from tests.integrations.openai.kit import (
    CAVE,
    DISPUTE,
    KINDS,
    RIGHT,
    Asker,
    Kind,
    asking,
    bare,
    candor,
    close,
    fake_guard,
    made,
    plays,
)
from tests.proxy.http.stage import stage
from tests.proxy.http.upstream import answer, playing, says

from candor_guard.errors import ConfigurationError, MissingExtraError
from candor_guard.guard import Guard
from candor_guard.integrations.openai import guard, last_outcome
from candor_guard.testing import FakeDetector, chat_body

pytestmark = pytest.mark.anyio

# The library that the installed client itself is made of, and httpx where a client may be given one.
OWN = type(OpenAI(api_key="k")._client).__mro__[2].__module__.partition(".")[0]
LIBRARIES = [OWN] + [n for n in ("httpx",) if n != OWN and importlib.util.find_spec(n)]


def http_client(kind: Kind, library: str, **options: Any) -> Any:
    http: Any = importlib.import_module(library)
    return http.Client(**options) if kind == "sync" else http.AsyncClient(**options)


def signing(library: str) -> Any:
    """An authentication that signs bodies, as some clouds demand."""
    http: Any = importlib.import_module(library)

    class Signing(http.Auth):  # type: ignore[misc]  # which class depends on what is installed
        requires_request_body = True

        def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            request.headers["x-signature"] = hashlib.sha256(request.content).hexdigest()
            yield request

    return Signing()


@KINDS
@pytest.mark.parametrize("library", LIBRARIES)
async def test_the_http_client_survives(kind: Kind, library: str) -> None:
    """Authentication, hooks, cookies and headers of the given HTTP client reach every call."""
    seen: list[str] = []

    def hook(request: Any) -> None:
        seen.append(request.headers["x-team"])

    async def ahook(request: Any) -> None:
        hook(request)

    inner = http_client(
        kind, library,
        auth=signing(library),
        event_hooks={"request": [hook if kind == "sync" else ahook]},
        headers={"x-team": "a"},
        cookies={"k": "v"},
    )  # fmt: skip
    async with asking(kind, *plays(CAVE), http_client=inner) as (asker, server):
        assert candor(await asker.create())["action"] == "regenerate"
    assert seen == ["a", "a"]
    for call in server.calls:
        assert call.values("x-signature") == [hashlib.sha256(bytes(call.body)).hexdigest()]
        assert call.values("authorization") == ["Bearer sk-client"]
        assert call.values("cookie") == ["k=v"]
    bodies = [bytes(call.body) for call in server.calls]
    assert bodies[0] != bodies[1]


@KINDS
async def test_an_http_proxy_is_used(kind: Kind) -> None:
    """A client that goes through a proxy goes through it for every call of the guard."""
    async with playing(says(CAVE), says(RIGHT)) as proxy:
        address = proxy.url.removesuffix("/v1")
        inner = http_client(kind, OWN, proxy=address)
        client = guard(made(kind, "http://model.invalid/v1", http_client=inner), fake_guard())
        reply = await Asker(client).create()
        await close(client)
    assert candor(reply)["action"] == "regenerate"
    target = "http://model.invalid/v1/chat/completions"
    assert [call.target for call in proxy.calls] == [target, target]


@KINDS
async def test_the_first_call_is_the_clients_own(kind: Kind) -> None:
    """The first call goes out byte for byte as without the guard; only the second is ours."""
    async with bare(kind, says(RIGHT)) as (asker, server):
        await asker.create(temperature=0.5)
    (plain,) = server.calls
    async with asking(kind, *plays(CAVE)) as (asker, server):
        await asker.create(temperature=0.5)
    first, second = server.calls
    varying = {"host", "idempotency-key"}
    assert bytes(first.body) == bytes(plain.body)
    assert [h for h in first.headers if h[0] not in varying] == [
        h for h in plain.headers if h[0] not in varying
    ]
    assert second.json["temperature"] == 0.5
    assert second.values("idempotency-key") == []
    assert len(second.values("content-length")) == len(second.values("host")) == 1


@KINDS
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_compressed_replies(kind: Kind, stream: bool) -> None:
    """A reply that comes compressed is read, and replaced, like any other."""
    packed = answer(gzip.compress(chat_body(CAVE)), "content-encoding: gzip")
    if stream:
        frames = says(CAVE, stream=True)[1:-1]
        raw = b"".join(f.split(b"\r\n", 1)[1][:-2] for f in frames if isinstance(f, bytes))
        kind_ = "content-type: text/event-stream"
        packed = answer(gzip.compress(raw), "content-encoding: gzip", kind_)
    async with asking(kind, (packed,), says(RIGHT, stream=stream)) as (asker, server):
        if stream:
            _, outcome = await asker.chunks()
            assert outcome is not None
            assert outcome.action == "regenerate"
        else:
            assert candor(await asker.create())["action"] == "regenerate"
    assert len(server.calls) == 2


@KINDS
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_behind_the_proxy(kind: Kind, stream: bool) -> None:
    """Replies of candor-guard's own proxy are not guarded a second time."""
    plain = [says(CAVE, stream=stream), says(CAVE, stream=stream)]
    detector = FakeDetector()
    async with stage(*plain, max_attempts=0) as on:
        client = guard(made(kind, f"{on.url}/v1"), Guard(detector))
        asker = Asker(client)
        if stream:
            chunks, outcome = await asker.chunks()
            record = next(candor(chunk) for chunk in chunks if candor(chunk))
            assert outcome is None
        else:
            record = candor(await asker.create())
        await close(client)
    assert (record["action"], record["upstream_calls"]) == ("flag", 1)
    assert len(on.upstream.calls) == 1
    assert detector.read_exchanges == []


@KINDS
async def test_other_endpoints(kind: Kind) -> None:
    """Every other endpoint is left alone."""
    body = b'{"object": "list", "data": []}'
    async with asking(kind, (answer(body),)) as (asker, server):
        await asker.run(
            lambda c: c.embeddings.create(model="m", input="x", encoding_format="float"),
            lambda c: c.embeddings.create(model="m", input="x", encoding_format="float"),
        )
        await asker.run(lambda c: c.models.list(), lambda c: c.models.list())
    assert [call.target for call in server.calls] == ["/v1/embeddings", "/v1/models"]


@KINDS
async def test_an_upload_stays_a_stream(kind: Kind, tmp_path: Path) -> None:
    """A file that is sent to another endpoint is read as it goes out, and is never whole in memory."""
    seen: list[bool] = []

    def hook(request: Any) -> None:
        seen.append(hasattr(request, "_content"))

    async def ahook(request: Any) -> None:
        hook(request)

    inner = http_client(kind, OWN, event_hooks={"request": [hook if kind == "sync" else ahook]})
    big = tmp_path / "lines.jsonl"
    big.write_bytes(b"{}\n" * 200_000)
    body = b'{"id": "file-1", "object": "file"}'
    async with asking(kind, (answer(body),), http_client=inner) as (asker, server):
        await asker.run(
            lambda c: c.files.create(file=big, purpose="batch"),
            lambda c: c.files.create(file=big, purpose="batch"),
        )
    assert seen == [False]
    assert len(server.calls[0].body) > big.stat().st_size


@KINDS
async def test_unreadable_requests(kind: Kind) -> None:
    """A request that makes no sense is the server's to refuse."""
    refusal = answer(b'{"error": {"message": "no messages"}}', status="400 Bad Request")
    async with asking(kind, (refusal,)) as (asker, server):
        with pytest.raises(openai.BadRequestError, match="no messages"):
            await asker.create(messages=[])
    assert len(server.calls) == 1


@KINDS
async def test_mode_of_one_request(kind: Kind) -> None:
    """The header `x-candor-mode` sets the mode of one request; a mistake in it is a 400."""
    async with asking(kind, says(CAVE)) as (asker, server):
        observed = await asker.create(extra_headers={"x-candor-mode": "observe"})
        off = await asker.create(extra_headers={"x-candor-mode": "off"})
        with pytest.raises(openai.BadRequestError, match="off, observe, enforce"):
            await asker.create(extra_headers={"x-candor-mode": "on"})
    assert candor(observed)["action"] == "flag"
    assert candor(off) is None
    assert len(server.calls) == 2


@KINDS
async def test_observers(kind: Kind) -> None:
    """Observers of the given guard get the record of every reply, streams included."""
    seen: list[Any] = []
    using = Guard(FakeDetector(), observers=[seen.append])
    async with asking(kind, says(RIGHT), says(RIGHT, stream=True), using=using) as (asker, _):
        await asker.create()
        await asker.chunks()
    assert [outcome.action for outcome in seen] == ["pass", "pass"]


async def test_whose_guard_is_closed() -> None:
    """A guard that was given stays open, one that was made for the client closes with it."""
    detector = FakeDetector(inline=False)
    given = Guard(detector)
    async with asking("async", says(RIGHT), using=given) as (asker, _):
        await asker.create()
    async with asking("async", says(RIGHT), using=given) as (asker, _):
        assert candor(await asker.create())["action"] == "pass"
    await given.aclose()
    for kind in ("sync", "async"):
        own = guard(made(kind, "http://127.0.0.1:9/v1"))
        await close(own)
        assert own.is_closed()


MISUSES: dict[str, tuple[Any, str]] = {
    "text": ("sk-...", "takes an OpenAI or AsyncOpenAI client, not str"),
    "a class": (OpenAI, "the class OpenAI: pass an instance"),
    "the module": (openai, "not module"),
    "an HTTP client": (OpenAI(api_key="k")._client, "not SyncHttpxClientWrapper"),
    "guarded": (guard(OpenAI(api_key="k")), "guarded already"),
}


@pytest.mark.parametrize(("client", "message"), MISUSES.values(), ids=MISUSES)
def test_misuse(client: Any, message: str) -> None:
    """Something that is no client is one error that says what is wanted."""
    with pytest.raises(ConfigurationError, match=message):
        guard(client)


def test_no_guard() -> None:
    """A policy in the place of a guard, and a client that is not guarded, are errors that say so."""
    with pytest.raises(
        ConfigurationError, match=r"must be a candor_guard\.Guard, not FakeDetector"
    ):
        guard(OpenAI(api_key="k"), FakeDetector())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="not guarded: OpenAI"):
        last_outcome(OpenAI(api_key="k"))


def test_strange_http_clients() -> None:
    """A client whose HTTP client is not httpx's is refused, as nothing could be guarded."""
    client = OpenAI(api_key="k")
    client._client = object()  # type: ignore[assignment]
    with pytest.raises(ConfigurationError, match="HTTP client of type object"):
        guard(client)


def test_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the openai package, the error names the extra that brings it."""
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtraError, match=r"candor-guard\[openai\]"):
        guard(object())  # type: ignore[type-var]


def test_without_asyncio() -> None:
    """An asynchronous client outside asyncio fails with an error that says so."""
    client = guard(AsyncOpenAI(api_key="k"))
    http: Any = client._client
    body = {"model": "m", "messages": DISPUTE}
    request = http.build_request("POST", "http://127.0.0.1:9/v1/chat/completions", json=body)
    with pytest.raises(ConfigurationError, match="needs asyncio"):
        http.send(request).send(None)


async def test_a_call_from_an_observer() -> None:
    """A blocking call from an observer, which would wait for itself, is refused and logged."""
    failed: list[str] = []

    def ask_again(_outcome: object) -> None:
        try:
            client.chat.completions.create(model="m", messages=DISPUTE)
        except (ConfigurationError, openai.APIConnectionError) as error:
            failed.append(str(error.__cause__ or error))  # older clients wrap what they don't know

    using = Guard(FakeDetector(), observers=[ask_again])
    async with playing(says(RIGHT)) as server:
        client = guard(OpenAI(base_url=server.url, api_key="k", max_retries=0), using)
        await asyncio.to_thread(client.chat.completions.create, model="m", messages=DISPUTE)
        await asyncio.to_thread(client.close)
    assert [text.partition(" would")[0] for text in failed] == [
        "a synchronous call from the guard's own thread"
    ]
