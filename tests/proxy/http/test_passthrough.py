"""Everything under /v1/ that is not guarded: any body, both ways, as it is and as it comes."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from collections.abc import AsyncIterator

import pytest
from starlette.types import Message
from tests.proxy.http.stage import CHAT, openai_client, raw_request, request_body, stage
from tests.proxy.http.upstream import END, Cut, Line, answer, chunk, head, says

from candor_guard.guard import Guard
from candor_guard.testing import FakeDetector, FakeReply, FakeUpstream
from candor_proxy.app import create_app

pytestmark = pytest.mark.anyio

MODELS = b'{"object":"list", "data":[{"id":"gpt-x","object":"model","created":1,"owned_by":"me"}]}'


async def test_models_are_listed() -> None:
    """The official client lists the upstream's models; nothing of ours is added."""
    async with stage((answer(MODELS, "x-request-id: r1"),)) as on:
        response = await on.client.get("/v1/models", headers={"authorization": "Bearer sk-client"})
        async with openai_client(f"{on.url}/v1") as client:
            assert [model.id async for model in client.models.list()] == ["gpt-x"]
    assert response.content == MODELS
    assert response.headers["x-request-id"] == "r1"
    assert not [name for name in response.headers if name.startswith("x-candor")]
    assert on.upstream.calls[0].target == "/v1/models"
    assert on.upstream.calls[0].values("authorization") == ["Bearer sk-client"]


async def test_upload_is_streamed() -> None:
    """A multipart upload reaches the upstream piece by piece, before the client has sent its end."""
    first, done = asyncio.Event(), asyncio.Event()
    parts = [
        b"--b\r\ncontent-disposition: form-data; name=file\r\n\r\n",
        os.urandom(9000),
        b"\r\n--b--\r\n",
    ]

    async def play(line: Line) -> bool:
        await line.piece()
        first.set()
        await line.body()
        done.set()
        return await line.play(answer(b'{"text":"hello"}'))

    async def pieces() -> AsyncIterator[bytes]:
        yield parts[0]
        await first.wait()
        assert not done.is_set()
        for part in parts[1:]:
            yield part

    kind = "multipart/form-data; boundary=b"
    async with stage(play) as on:
        response = await on.client.post(
            "/v1/audio/transcriptions", content=pieces(), headers={"content-type": kind}
        )
    assert response.json() == {"text": "hello"}
    call = on.upstream.calls[0]
    assert bytes(call.body) == b"".join(parts)
    assert call.values("content-type") == [kind]


async def test_answer_may_begin_before_the_upload_ends() -> None:
    """An upstream that answers while it is still reading gets the rest, and its answer passes."""

    async def play(line: Line) -> bool:
        await line.play(head("transfer-encoding: chunked"))
        while piece := await line.piece():
            await line.play(chunk(piece))
        return await line.play(END)

    async with stage(play) as on, on.wire() as wire:
        start = b"POST /v1/realtime HTTP/1.1\r\nhost: proxy\r\ntransfer-encoding: chunked\r\n\r\n"
        await wire.send(start + chunk(b"one"))
        await wire.head()
        for piece, coming in ((b"one", b"two"), (b"two", b"three"), (b"three", b"")):
            assert await wire.reader.readuntil(piece + b"\r\n") == chunk(piece)
            await wire.send(chunk(coming) if coming else END)
        assert await wire.reader.readuntil(END) == END
    assert bytes(on.upstream.calls[0].body) == b"onetwothree"


async def test_openai_client_uploads_a_file() -> None:
    """The official client's own upload works."""

    async def play(line: Line) -> bool:
        await line.body()
        return await line.play(answer(b'{"text":"hello"}'))

    sound = os.urandom(200_000)
    async with stage(play) as on, openai_client(f"{on.url}/v1") as client:
        reply = await client.audio.transcriptions.create(model="w", file=("a.wav", sound))
        assert reply.text == "hello"
        assert sound in bytes(on.upstream.calls[0].body)


async def test_download_is_streamed() -> None:
    """A binary body arrives as it comes, and its length is kept."""
    data, go = os.urandom(50_000), asyncio.Event()
    play = (
        head("content-type: audio/mpeg", "content-length: 50000"),
        data[:10_000],
        go,
        data[10_000:],
    )
    async with (
        stage(play) as on,
        on.client.stream("POST", "/v1/audio/speech", content=b'{"input":"x"}') as response,
    ):
        assert response.headers["content-length"] == "50000"
        pieces = response.aiter_raw()
        got = b""
        while len(got) < 10_000:
            got += await anext(pieces)
        go.set()
        assert got + b"".join([piece async for piece in pieces]) == data


async def test_slow_reader_slows_the_upstream_down() -> None:
    """A client that stops reading stops the upstream; the proxy does not swallow the rest."""
    sent = 0

    async def play(line: Line) -> bool:
        nonlocal sent
        await line.play(head("transfer-encoding: chunked"))
        for _ in range(1000):
            await line.play(chunk(b"x" * 65536))
            sent += 65536
        return await line.play(END)

    async with stage(play) as on, on.wire() as wire:
        await wire.send(b"GET /v1/files/f/content HTTP/1.1\r\nhost: proxy\r\n\r\n")
        await wire.head()
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 1000 * 65536


@pytest.mark.parametrize("verb", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_verbs_pass(verb: str) -> None:
    """Verb, body and status pass, whatever they are."""
    body = b"" if verb in ("GET", "OPTIONS") else b'{"a": 1}'
    async with stage((answer(b"{}", status="202 Accepted"),)) as on:
        response = await on.client.request(verb, "/v1/things/t-1", content=body)
    call = on.upstream.calls[0]
    assert (call.method, call.target, bytes(call.body)) == (verb, "/v1/things/t-1", body)
    assert response.status_code == 202


@pytest.mark.parametrize("verb", ["GET", "DELETE", "PUT"])
async def test_only_posts_are_guarded(verb: str) -> None:
    """Stored completions are listed and deleted through, not guarded."""
    async with stage((answer(b"[]"),)) as on:
        response = await on.client.request(verb, f"{CHAT}?limit=2")
    assert response.content == b"[]"
    assert "x-candor-action" not in response.headers
    assert on.upstream.calls[0].target == f"{CHAT}?limit=2"


async def test_head_has_no_body() -> None:
    """HEAD passes with the length that a GET would have, and the connection stays in step."""
    async with stage((head("content-length: 99"),), (answer(MODELS),)) as on:
        response = await on.client.head("/v1/models")
        assert (response.headers["content-length"], response.content) == ("99", b"")
        assert (await on.client.get("/v1/models")).content == MODELS


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("extra", [[], ["content-length: 7"]])
async def test_statuses_without_a_body(status: str, extra: list[str]) -> None:
    """A 304 may state the length of a body that it does not have; that is no error."""
    async with stage((head('etag: "1"', *extra, status=status),), (answer(MODELS),)) as on:
        response = await on.client.get("/v1/files/f")
        assert (response.status_code, response.content) == (int(status[:3]), b"")
        assert response.headers["etag"] == '"1"'
        assert (await on.client.get("/v1/models")).content == MODELS


async def test_compressed_body_passes_compressed() -> None:
    """Nothing is unpacked on the way, and the client's wish for compression is passed on."""
    packed = gzip.compress(MODELS)
    async with stage((answer(packed, "content-encoding: gzip"),)) as on:
        request = on.client.build_request("GET", "/v1/models", headers={"accept-encoding": "gzip"})
        response = await on.client.send(request, stream=True)
        assert b"".join([piece async for piece in response.aiter_raw()]) == packed
        await response.aclose()
    assert on.upstream.calls[0].values("accept-encoding") == ["gzip"]


@pytest.mark.parametrize(
    "target",
    [
        "/v1/a%2Fb/c%20d?q=%C3%A9&q=a+b&empty=",
        "/v1/files/%E2%82%AC",
        "/v1/a/?",
        "/v1/",
        "/v1/a;b=1/c:d@e",
    ],
)
async def test_paths_and_queries_pass_as_they_are(target: str) -> None:
    """Percent-encoding is neither undone nor added to."""
    async with stage((answer(b"{}"),)) as on, on.wire() as wire:
        await wire.send(f"GET {target} HTTP/1.1\r\nhost: proxy\r\n\r\n".encode())
        assert b" 200 " in await wire.head()
    assert on.upstream.calls[0].target == target.removesuffix("?")  # an empty query is none


ESCAPES = [
    "/v1/../admin",
    "/v1/..",
    "/v1/%2e%2e/admin",
    "/v1/a/%2E./%2e%2E/b",
    "/v1/..%2fadmin",
    "/v1/a/..%5cadmin",
    "/v1/..;x/admin",
    "/v1/%252e%252e/admin",
    "/v1//elsewhere.example/x",
    "/v1/./x",
    "/v1/../v1/chat/completions",
    "//elsewhere.example/v1/x",
    "/../v1/models",
    "/%2e%2e/v1/models",
]


async def test_no_path_leaves_the_base() -> None:
    """A path that some server might read as leading out of the base URL is an error, unsent."""
    async with stage((answer(b"{}"),)) as on:
        for target in ESCAPES:
            async with on.wire() as wire:
                await wire.send(f"GET {target} HTTP/1.1\r\nhost: proxy\r\n\r\n".encode())
                status = (await wire.head()).split()[1]
            assert (target, status in (b"400", b"404")) == (target, True)
            assert (target, on.upstream.calls) == (target, [])


@pytest.mark.parametrize("target", ["http://elsewhere.example/v1/models", "/v1/models"])
async def test_client_cannot_choose_the_host(target: str) -> None:
    """Neither an absolute target nor any header leads to another server."""
    lines = ["host: elsewhere.example", "x-forwarded-host: elsewhere.example", "forwarded: host=e"]
    async with stage((answer(MODELS),)) as on, on.wire() as wire:
        message = "\r\n".join([f"GET {target} HTTP/1.1", *lines, "", ""])
        await wire.send(message.encode())
        assert b" 200 " in await wire.head()
        assert on.upstream.calls[0].values("host") == [on.upstream.url.split("/")[2]]


async def test_client_gone_before_its_request_was_read() -> None:
    """A server that reports the leaving first gets no exception and no answer."""
    guard = Guard(FakeDetector(), upstream=FakeUpstream([FakeReply((b"{}",))]))
    app = create_app(guard)
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    for method, path in [("GET", "/v1/models"), ("POST", CHAT)]:
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(),
            "query_string": b"", "headers": [(b"content-length", b"2" if method == "POST" else b"0")],
        }  # fmt: skip
        await app(scope, receive, send)
    assert sent == []


async def test_expectation_is_met_by_the_proxy() -> None:
    """`expect: 100-continue` is answered here and not passed on."""
    async with stage(says("It is 56.")) as on, on.wire() as wire:
        message = raw_request(request_body(), CHAT, "expect: 100-continue")
        start, body = message.split(b"\r\n\r\n", 1)
        await wire.send(start + b"\r\n\r\n")
        assert b" 100 " in await wire.head()
        await wire.send(body)
        assert b" 200 " in await wire.head()
    assert on.upstream.calls[0].values("expect") == []
    assert json.loads(bytes(on.upstream.calls[0].body)) == json.loads(request_body())


async def test_a_small_body_that_crosses_the_end_of_a_connection_is_sent_again() -> None:
    """A server that hangs up on an idle connection fails no request of a common size."""
    body = raw_request(b'{"input": "x"}', "/v1/embeddings")
    async with stage((answer(b"1"),), (Cut.CLOSE,), (answer(b"2"),)) as on, on.wire() as wire:
        for told in (b"1", b"2"):
            await wire.send(body)
            assert b" 200 " in await wire.head()
            assert await wire.reader.readexactly(1) == told
    assert [bytes(call.body) for call in on.upstream.calls] == [b'{"input": "x"}'] * 3
