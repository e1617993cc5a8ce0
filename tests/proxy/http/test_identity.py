"""What nobody objects to is byte for byte what the upstream sent."""

from __future__ import annotations

import httpx2
import pytest
from tests.proxy.http.stage import CHAT, DISPUTE, openai_client, request_body, stage
from tests.proxy.http.upstream import SSE, Play, answer, chunk, head, says, streamed

from candor_guard.testing import FakeDetector, chat_body, chat_stream

pytestmark = pytest.mark.anyio

BODY = b' {"choices" : [{"index":0, "message":{"content":"It is 56, na\\u00efvely.\\u2028"},\r\n "x":1e5}]}\n'
FRAMES = chat_stream(["It ", "is ", "56, ", "naïve."], usage=True).replace(b'": ', b'" :  ')


@pytest.mark.parametrize("at_risk", [False, True], ids=["ungated", "held"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
async def test_unflagged_body_is_the_upstreams_bytes(
    at_risk: bool, stream: bool, mode: str
) -> None:
    """A client gets the bytes that it would get from the upstream itself, in every mode."""
    half = len(FRAMES) // 2
    play: Play = streamed(FRAMES[:half], FRAMES[half:]) if stream else (answer(BODY),)
    async with stage(play, detector=FakeDetector(at_risk=at_risk)) as on:
        response, body = await on.chat({"x-candor-mode": mode}, stream=stream)
        direct = httpx2.AsyncClient(base_url=on.upstream.url)
        async with direct:
            expected = await direct.post("/chat/completions", content=request_body(stream=stream))
    assert response.status_code == 200
    assert body == expected.content == (FRAMES if stream else BODY)
    assert response.headers["content-type"] == expected.headers["content-type"]
    if response.headers["x-candor-evaluated"] != "deferred":
        assert response.headers["x-candor-action"] == "pass"


@pytest.mark.parametrize("at_risk", [False, True], ids=["ungated", "held"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_openai_client_gets_the_upstreams_bytes(at_risk: bool, stream: bool) -> None:
    """The official client sees the same bytes through the proxy as without it."""
    async with stage(
        says("It is 56.", stream=stream), detector=FakeDetector(at_risk=at_risk)
    ) as on:
        bodies = []
        for base in (f"{on.url}/v1", on.upstream.url):
            async with openai_client(base) as client:
                request = client.chat.completions.with_streaming_response.create(
                    model="gpt-x",
                    messages=DISPUTE,
                    stream=stream,
                )
                async with request as response:
                    bodies.append(await response.read())
    assert bodies[0] == bodies[1] != b""


@pytest.mark.parametrize("flagged", [False, True], ids=["untouched", "rewritten"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_upstream_headers_pass(flagged: bool, stream: bool) -> None:
    """Headers that clients rely on arrive, repeated ones repeated; hop-by-hop ones do not."""
    kept = [
        ("x-request-id", "req_1"),
        ("retry-after", "7"),
        ("retry-after-ms", "7000"),
        ("x-ratelimit-remaining-tokens", "99"),
        ("openai-processing-ms", "12"),
        ("set-cookie", "a=1; Path=/"),
        ("set-cookie", "b=2"),
        ("x-latin", "caf\xe9"),
    ]
    dropped = [
        "keep-alive: timeout=5",
        "connection: x-secret-hop",
        "x-secret-hop: 1",
        "te: trailers",
    ]
    lines = [f"{name}: {value}" for name, value in kept] + dropped + ["x-candor-action: forged"]
    text = "CAVE" if flagged else "It is 56."
    if stream:
        play: Play = (head(*SSE, *lines), chunk(chat_stream([text])), b"0\r\n\r\n")
    else:
        play = (answer(chat_body(text), 'etag: "1"', *lines),)
    async with stage(play, max_attempts=0) as on:
        response, body = await on.chat(stream=stream)
    pairs = [(k.lower().decode(), v.decode("latin-1")) for k, v in response.headers.raw]
    assert [pair for pair in pairs if pair[0] in dict(kept)] == kept
    assert not {"keep-alive", "connection", "x-secret-hop", "te"} & dict(pairs).keys()
    assert response.headers.get_list("x-candor-action") == ["flag" if flagged else "pass"]
    if not stream:
        assert int(response.headers["content-length"]) == len(body)
        assert ("etag" in response.headers) is not flagged


@pytest.mark.parametrize("mode", ["off", "enforce"])
async def test_upstream_gets_the_clients_request(mode: str) -> None:
    """Body, credentials and query arrive as sent; what is meant for the proxy does not."""
    body = request_body()
    sent = {
        "authorization": "Bearer sk-client",
        "openai-organization": "org-1",
        "x-candor-mode": mode,
        "x-candor-extra": "1",
        "accept-encoding": "gzip, br",
        "connection": "keep-alive, x-hop",
        "x-hop": "1",
        "te": "trailers",
        "proxy-authorization": "Basic abc",
    }
    async with stage(says("It is 56.")) as on:
        await on.post(f"{CHAT}?api-version=2026%2F01&x=a+b", body, sent)
    call = on.upstream.calls[0]
    assert bytes(call.body) == body
    assert call.target == "/v1/chat/completions?api-version=2026%2F01&x=a+b"
    assert call.values("authorization") == ["Bearer sk-client"]
    assert call.values("openai-organization") == ["org-1"]
    names = {name for name, _ in call.headers}
    assert not {"x-candor-mode", "x-candor-extra", "x-hop", "te", "proxy-authorization"} & names
    assert call.values("accept-encoding") == ["gzip, br" if mode == "off" else "identity"]
    assert call.values("host") == [on.upstream.url.split("/")[2]]


async def test_regeneration_repeats_the_request_with_one_more_sentence() -> None:
    """The second call differs in its last user turn only, and has no idempotency key."""
    async with stage(says("CAVE"), says("It is 56.")) as on:
        await on.chat({"idempotency-key": "k", "authorization": "Bearer sk-client"})
    first, second = on.upstream.calls
    assert (first.values("idempotency-key"), second.values("idempotency-key")) == (["k"], [])
    assert second.values("authorization") == ["Bearer sk-client"]
    again = second.json
    last = again["messages"].pop()
    assert last["content"].startswith(DISPUTE[-1]["content"])
    assert len(last["content"]) > len(DISPUTE[-1]["content"])
    assert again == {**first.json, "messages": DISPUTE[:-1]}
