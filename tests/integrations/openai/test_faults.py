"""What goes wrong goes wrong as without the guard: same exceptions, same number of attempts."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import socket
import subprocess
import sys
import textwrap
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from tests.integrations.openai.kit import (
    CAVE,
    DISPUTE,
    KINDS,
    PATIENCE,
    RIGHT,
    Asker,
    Kind,
    asking,
    bare,
    candor,
    fake_guard,
    plays,
    said,
)
from tests.proxy.http.upstream import Cut, Play, answer, head, says, streamed

from candor_guard.guard import Guard
from candor_guard.policy import Policy
from candor_guard.testing import FakeDetector, chat_stream

pytestmark = pytest.mark.anyio
ONCE: Any = {"max_retries": 0}


def error(status: str, code: str, *headers: str) -> Play:
    body = {"error": {"message": f"no: {code}", "type": "t", "param": None, "code": code}}
    return (answer(json.dumps(body).encode(), *headers, status=status),)


def half() -> Play:
    """A stream that breaks off in the middle of a chunk."""
    frames = chat_stream(["It ", "is "]).split(b"\n\n")[:2]
    return (*streamed(*[frame + b"\n\n" for frame in frames])[:-1], Cut.RESET)


async def failure(asker: Asker, *, stream: bool) -> Exception:
    with pytest.raises(openai.OpenAIError) as caught:
        await (asker.chunks() if stream else asker.create())
    return caught.value


def told(failed: Exception) -> tuple[Any, ...]:
    """What a program can learn of an exception of openai's."""
    names = ("message", "status_code", "body", "code", "param", "type", "request_id")
    cause = type(failed.__cause__), type(failed.__context__)
    return type(failed), *(getattr(failed, name, None) for name in names), *cause


ERRORS: dict[str, Play] = {
    "bad request": error("400 Bad Request", "bad", "x-request-id: req_1"),
    "bad key": error("401 Unauthorized", "invalid_api_key"),
    "unknown model": error("404 Not Found", "model_not_found"),
    "rate limit": error("429 Too Many Requests", "rate_limit_exceeded", "retry-after: 1"),
    "broken": error("500 Internal Server Error", "oops"),
    "html": (answer(b"<p>sorry", "content-type: text/html", status="502 Bad Gateway"),),
    "hangs up": (Cut.CLOSE,),
    "resets": (Cut.RESET,),
    "half a head": (b"HTTP/1.1 200 OK\r\ncontent-le", Cut.CLOSE),
}


@KINDS
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("play", ERRORS.values(), ids=ERRORS)
async def test_errors(kind: Kind, play: Play, stream: bool) -> None:
    """An error of the server, or of the way to it, is the exception that it is without the guard."""
    async with bare(kind, play, **ONCE) as (asker, _):
        expected = told(await failure(asker, stream=stream))
    async with asking(kind, play, **ONCE) as (asker, server):
        assert told(await failure(asker, stream=stream)) == expected
    assert len(server.calls) == 1


@KINDS
async def test_a_stream_that_breaks_off(kind: Kind) -> None:
    """A body that breaks off fails the reader as it does without the guard."""

    async def broken(asker: Asker) -> type[Exception] | None:
        try:
            await asker.chunks()
        except Exception as error:  # noqa: BLE001 - which one it is differs by version
            return type(error)
        return None

    async with bare(kind, half(), **ONCE) as (asker, _):
        expected = await broken(asker)
    using = Guard(FakeDetector(at_risk=False))
    async with asking(kind, half(), using=using, **ONCE) as (asker, _):
        assert await broken(asker) is expected


@KINDS
async def test_a_held_stream_that_breaks_off(kind: Kind) -> None:
    """Where nothing was delivered yet, a break is a failed call, which the client may repeat."""
    async with asking(kind, half(), *plays(RIGHT, stream=True), max_retries=1) as (asker, server):
        chunks, _outcome = await asker.chunks()
    assert said(chunks).strip() == RIGHT
    assert len(server.calls) == 2


@KINDS
async def test_no_connection(kind: Kind) -> None:
    """A server that is not there is an APIConnectionError with the HTTP library's cause."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        base = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    options = {**ONCE, "base_url": base}
    async with bare(kind, **options) as (asker, _):
        expected = told(await failure(asker, stream=False))
    async with asking(kind, **options) as (asker, _):
        assert told(await failure(asker, stream=False)) == expected
    assert expected[0] is openai.APIConnectionError


@KINDS
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_timeout(kind: Kind, stream: bool) -> None:
    """The client's own timeout ends a call to a server that is silent."""
    silence: Play = (asyncio.Event(),)
    async with asking(kind, silence, timeout=0.2, **ONCE) as (asker, _):
        assert type(await failure(asker, stream=stream)) is openai.APITimeoutError


@KINDS
async def test_retries_are_not_doubled(kind: Kind) -> None:
    """The client repeats a failed request as often as it always does, and each is guarded once."""
    once = error("500 Internal Server Error", "oops", "retry-after-ms: 1")
    async with asking(kind, once, once, says(CAVE), says(RIGHT), max_retries=2) as (asker, server):
        assert candor(await asker.create())["upstream_calls"] == 2
    assert len(server.calls) == 4
    async with asking(kind, once, max_retries=2) as (asker, server):
        assert type(await failure(asker, stream=False)) is openai.InternalServerError
    assert len(server.calls) == 3


SECOND: dict[str, Play] = {
    "error": error("500 Internal Server Error", "oops"),
    "reset": (Cut.RESET,),
    "silence": (60.0,),
    "half": (head("content-type: application/json", "content-length: 900"), b'{"id"', Cut.RESET),
    "silence in the middle": (
        head("content-type: application/json", "content-length: 900"), b'{"id"', 60.0,
    ),
}  # fmt: skip


@KINDS
@pytest.mark.parametrize("second", SECOND.values(), ids=SECOND)
async def test_a_second_call_that_fails(kind: Kind, second: Play) -> None:
    """A regeneration that fails costs the reply nothing: the first is delivered, and flagged."""
    using = fake_guard(max_regeneration_seconds=0.3)
    async with asking(kind, says(CAVE), second, using=using, max_retries=2) as (asker, server):
        reply = await asker.create()
        assert reply.choices[0].message.content == CAVE
        assert candor(reply)["action"] == "flag"
        assert len(server.calls) == 2
        if kind == "async" or second is SECOND["silence in the middle"]:
            await asyncio.wait_for(server.calls[1].left.wait(), PATIENCE)


@KINDS
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_refusal(kind: Kind, stream: bool) -> None:
    """A reply that the policy refuses is one exception of openai's that is not retried."""
    using = fake_guard(max_attempts=0, on_unresolved="refuse")
    async with asking(kind, says(CAVE, stream=stream), using=using) as (asker, server):
        refused = await failure(asker, stream=stream)
    assert isinstance(refused, openai.UnprocessableEntityError)
    assert (refused.code, refused.type) == ("unresolved", "candor_guard_refusal")
    assert refused.response.headers["x-candor-action"] == "block"
    assert len(server.calls) == 1


@KINDS
async def test_a_failing_detector(kind: Kind) -> None:
    """A detector that fails releases the reply, and the record says so."""
    using = Guard(FakeDetector(error=ValueError("x")))
    async with asking(kind, says(CAVE), using=using) as (asker, _):
        reply = await asker.create()
    assert reply.choices[0].message.content == CAVE
    assert candor(reply)["action"] == "error"


@KINDS
@pytest.mark.parametrize("held", [True, False], ids=["held", "passing"])
@pytest.mark.parametrize("way", ["close", "drop"])
async def test_leaving_a_stream(kind: Kind, held: bool, way: str) -> None:
    """Leaving a stream closes the upstream call at once, whether it is closed or just dropped."""
    frames = [frame + b"\n\n" for frame in chat_stream(["It ", "is "]).split(b"\n\n")[:2]]
    endless: Play = (*streamed(*frames)[:-1], asyncio.Event())
    using = Guard(FakeDetector(at_risk=held), Policy(mode="observe"))

    def leave(client: OpenAI) -> None:
        stream = client.chat.completions.create(model="m", messages=DISPUTE, stream=True)
        next(stream)
        if way == "close":
            stream.close()

    async def aleave(client: AsyncOpenAI) -> None:
        stream = await client.chat.completions.create(model="m", messages=DISPUTE, stream=True)
        await anext(stream)
        if way == "close":
            await stream.close()

    async with asking(kind, endless, using=using) as (asker, server):
        await asker.run(leave, aleave)
        gc.collect()
        await asyncio.wait_for(server.calls[0].left.wait(), PATIENCE)


@KINDS
async def test_a_stream_that_lingers(kind: Kind) -> None:
    """A server that keeps the connection open after its last frame holds nobody up for long."""
    frames = chat_stream(["It ", "is ", "56."])
    lingering: Play = (*streamed(frames)[:-1], asyncio.Event())
    using = Guard(FakeDetector(at_risk=False))
    async with asking(kind, lingering, using=using) as (asker, _):
        async with asyncio.timeout(3):
            if isinstance(asker.client, OpenAI):  # the asynchronous one waits longer by itself
                chunks, _outcome = await asker.chunks()
                assert said(chunks) == "It is 56."


async def test_cancelled() -> None:
    """Cancelling an asynchronous request closes the upstream call at once."""
    async with asking("async", (asyncio.Event(),)) as (asker, server):
        waiting = asyncio.create_task(asker.create())
        call = await server.called(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.wait_for(call.left.wait(), PATIENCE)


INTERRUPTED = """
    import sys
    from openai import OpenAI
    from candor_guard.integrations.openai import guard

    client = guard(OpenAI(base_url=sys.argv[1], api_key="k", max_retries=0))
    try:
        client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}]
        )
    except KeyboardInterrupt:
        print("interrupted")
"""


async def test_ctrl_c() -> None:
    """Ctrl-C ends a blocking call that waits for a silent server, and the program with it."""
    async with bare("sync", (asyncio.Event(),)) as (_, server):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-W",
            "error",
            "-c",
            textwrap.dedent(INTERRUPTED),
            server.url,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        async with asyncio.timeout(2 * PATIENCE):
            call = await server.called(1)
            process.send_signal(signal.SIGINT)
            out, err = await process.communicate()
        await asyncio.wait_for(call.left.wait(), PATIENCE)
    assert (out.decode().strip(), err.decode(), process.returncode) == ("interrupted", "", 0)


@KINDS
async def test_closed(kind: Kind) -> None:
    """A closed client fails as a closed client does, and closes what it was made of."""
    async with asking(kind, says(RIGHT)) as (asker, _):
        http: Any = asker.client._client
        inner = http.candor.inner
        await asker.run(lambda c: c.close(), lambda c: c.close())
        assert inner.is_closed
        assert asker.client.is_closed()
        with pytest.raises((RuntimeError, openai.OpenAIError)):
            await asker.create()
