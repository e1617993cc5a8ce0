"""Who is first to hang up once a stream is complete: it has a record all the same."""

from __future__ import annotations

import asyncio
import contextlib

import httpx2
import pytest
from tests.proxy.http.stage import CHAT, DISPUTE, openai_client, raw_request, request_body, stage
from tests.proxy.http.test_disconnect import noticed
from tests.proxy.http.upstream import Cut, answer, says, streamed

from candor_guard.testing import FakeDetector, chat_body, chat_stream
from candor_proxy.options import ProxyOptions

pytestmark = pytest.mark.anyio
RELAYED = 'candor_requests_total{action="pass",evaluated="gate",mode="enforce",surface="chat"}'
READ = 'candor_requests_total{action="pass",evaluated="full",mode="enforce",surface="chat"}'
WHOLE = chat_stream(["It ", "is ", "56."])


@pytest.mark.parametrize("at_risk", [False, True], ids=["relayed", "held"])
async def test_a_client_that_hangs_up_at_the_last_event_is_counted(at_risk: bool) -> None:
    """The official client closes at its last event; an upstream that lingers changes no count."""
    detector = FakeDetector(at_risk=at_risk)
    async with (
        stage(streamed(WHOLE, 0.1), detector=detector) as on,
        openai_client(f"{on.url}/v1") as client,
    ):
        stream = await client.chat.completions.create(model="m", messages=DISPUTE, stream=True)
        assert [chunk async for chunk in stream]
        await stream.close()
        await asyncio.sleep(0.2)
        counts = await on.counts()
    assert counts[READ if at_risk else RELAYED] == 1.0
    assert counts["candor_client_disconnects_total"] == 0.0


async def test_an_upstream_that_lingers_too_long_is_left() -> None:
    """A quarter of a second after a client left with all it wanted, the upstream's call ends."""
    async with stage(streamed(WHOLE, 20.0), detector=FakeDetector(at_risk=False)) as on:
        async with on.wire() as wire:
            await wire.send(raw_request(request_body(stream=True), CHAT))
            await wire.reader.readuntil(b"[DONE]")
        call = on.upstream.calls[0]
        await asyncio.sleep(0.1)
        assert not call.left.is_set()
        await call.left.wait()
        await noticed(on)


@pytest.mark.parametrize("mode", ["enforce", "observe"])
async def test_an_upstream_that_breaks_off_after_the_end_has_ended(mode: str) -> None:
    """Nothing is missing behind the last event, so the client's body ends in order and counts."""
    async with stage(streamed(WHOLE, Cut.RESET), mode=mode) as on:
        response, body = await on.chat(stream=True)
        counts = await on.counts()
    assert (response.status_code, body) == (200, WHOLE)
    assert counts[READ.replace("enforce", mode)] == 1.0
    assert not [name for name in counts if name.startswith("candor_upstream_errors_total")]


async def test_calls_count_where_the_client_leaves_before_the_end() -> None:
    """Whoever leaves during a regeneration has cost three calls, and they are all counted."""
    never = (20.0,)
    plays = says("CAVE in", stream=True), never
    async with stage(*plays) as on, on.wire() as wire:
        await wire.send(raw_request(request_body(stream=True), CHAT, "x-candor-app: shop"))
        await on.upstream.called(2)
        wire.leave()
        await noticed(on)
        counts = await on.counts()
    calls = {name: value for name, value in counts.items() if "upstream_calls_total" in name}
    assert calls == {
        'candor_upstream_calls_total{purpose="original",result="read"}': 1.0,
        'candor_upstream_calls_total{purpose="regeneration",result="abandoned"}': 1.0,
        'candor_app_upstream_calls_total{app="shop",purpose="original"}': 1.0,
        'candor_app_upstream_calls_total{app="shop",purpose="regeneration"}': 1.0,
    }


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_what_was_not_read_is_not_annotated(stream: bool) -> None:
    """With "all" a reply that is cut off at the model's limit passes byte for byte."""
    raw = (
        chat_stream(["It ", "is"], finish="length")
        if stream
        else chat_body("It is", finish="length")
    )
    play = streamed(raw) if stream else (answer(raw),)
    async with stage(play, options=ProxyOptions(annotate="all")) as on:
        response, body = await on.chat(stream=stream)
    assert (response.headers["x-candor-skipped"], body) == ("length", raw)


async def test_a_replaced_body_has_no_digest_of_the_first() -> None:
    """Headers that describe the bytes of a body that was replaced do not travel."""
    first = says("CAVE in", "repr-digest: sha-256=:x:", "etag: y")
    async with stage(first, says("It is 56.")) as on:
        response, _ = await on.chat()
    assert response.headers["x-candor-action"] == "regenerate"
    assert not {"repr-digest", "etag"} & set(response.headers)


@pytest.mark.parametrize(
    ("path", "header"),
    [("/v1//chat/completions", ""), ("/v1/a/../b", ""), (CHAT, "content-encoding: gzip")],
)
async def test_every_refusal_counts(path: str, header: str) -> None:
    """A path that no upstream is asked for and a body that is not read are refused, and counted."""
    async with stage() as on, on.wire() as wire:
        await wire.send(raw_request(request_body(), path, *filter(None, [header])))
        assert b" 400 " in (await wire.head()).splitlines()[0]
        counts = await on.counts()
        assert counts['candor_invalid_requests_total{status="400"}'] == 1.0
        assert not [name for name in counts if name.startswith("candor_upstream_calls_total")]
        assert not on.upstream.calls


async def test_blanks_around_a_header_are_none_of_its_value() -> None:
    """RFC 9110 leaves blanks before and behind a value out of it."""
    async with stage(says("CAVE in")) as on, on.wire() as wire:
        await wire.send(raw_request(request_body(), CHAT, "x-candor-mode:  observe \t"))
        assert b"x-candor-action: flag" in await wire.head()


@pytest.mark.parametrize("at_risk", [False, True], ids=["relayed", "held"])
@pytest.mark.parametrize("begun", [False, True], ids=["no answer", "half a body"])
async def test_a_call_that_fails_counts(at_risk: bool, begun: bool) -> None:
    """An upstream that hangs up before its end was called once, in vain."""
    play = streamed(WHOLE[:200], Cut.RESET) if begun else (Cut.CLOSE,)
    async with stage(play, detector=FakeDetector(at_risk=at_risk)) as on:
        with contextlib.suppress(httpx2.RemoteProtocolError):
            await on.chat(stream=True)
        counts = await on.counts()
    assert counts['candor_upstream_calls_total{purpose="original",result="failed"}'] == 1.0
