"""Whatever the upstream does, the client gets its bytes or an OpenAI error, and never waits on."""

from __future__ import annotations

import contextlib
import gzip
import json
from dataclasses import dataclass

import httpx2
import openai
import pytest
from tests.proxy.http.stage import DISPUTE, openai_client, raw_request, request_body, stage
from tests.proxy.http.upstream import END, SSE, Cut, Piece, answer, chunk, head, says, streamed

from candor_guard.testing import FakeDetector, chat_body, chat_stream

pytestmark = pytest.mark.anyio

AT_RISK = pytest.mark.parametrize("at_risk", [False, True], ids=["ungated", "held"])
FRAMES = chat_stream(["It ", "is ", "56, naïve."])
NO_DONE = FRAMES.removesuffix(b"data: [DONE]\n\n")
ERROR_FRAME = b'data: {"error":{"message":"overloaded","type":"server_error","code":"x"}}\n\n'

ODD_BODIES: dict[str, bytes] = {
    "html": answer(b"<html>It works!</html>", "content-type: text/html"),
    "no content-type": head("content-length: 2") + b"{}",
    "null": answer(b"null"),
    "list": answer(b"[]"),
    "empty": answer(b""),
    "truncated JSON": answer(chat_body("It is 56.")[:-9]),
    "not UTF-8": answer(b'{"choices": [{"message": {"content": "\xff\xfe"}}]}'),
    "huge number": answer(b'{"choices": ' + b"9" * 6000 + b"}"),
    "deep": answer(b"[" * 100_000),
    "no choices": answer(b'{"choices": []}'),
    "odd choices": answer(b'{"choices": [null, 1], "usage": [1]}'),
    "odd message": answer(b'{"choices": [{"message": {"content": {"a": 1}}}]}'),
    "unasked gzip": answer(gzip.compress(chat_body("CAVE")), "content-encoding: gzip"),
    "a coding said first": answer(
        chat_body("CAVE"), "content-encoding: x", "content-encoding: identity"
    ),
    "no length": head("content-type: application/json") + b'{"until": "the end"}',
    "204": head(status="204 No Content"),
    "400": answer(b'{"error":{"message":"no","code":"bad"}}', status="400 Bad Request"),
    "404 text": answer(b"nope", "content-type: text/plain", status="404 Not Found"),
    "500 html": answer(b"<h1>oops", "content-type: text/html", status="500 Oops"),
    "307": answer(b"", "location: https://elsewhere/", status="307 Temporary Redirect"),
}


def body_of(raw: bytes) -> bytes:
    return raw.partition(b"\r\n\r\n")[2]


@AT_RISK
@pytest.mark.parametrize("case", ODD_BODIES)
async def test_odd_body_passes_as_it_is(case: str, at_risk: bool) -> None:
    """A body that cannot be read is none of our business: status and bytes pass."""
    raw = ODD_BODIES[case]
    async with stage((raw, Cut.CLOSE), detector=FakeDetector(at_risk=at_risk)) as on:
        response, body = await on.chat()
    assert body == body_of(raw)
    assert response.status_code == int(raw[9:12])
    assert response.headers["x-candor-action"] == "pass"
    if at_risk:
        assert response.headers["x-candor-evaluated"] == "none"
    for name in ("content-type", "content-encoding", "location"):
        expected = [
            x.split(": ")[1] for x in raw.decode("latin-1").split("\r\n") if x.startswith(name)
        ]
        assert response.headers.get_list(name) == expected


ODD_STREAMS: dict[str, tuple[Piece, ...]] = {
    "split UTF-8": tuple(FRAMES[i : i + 1] for i in range(len(FRAMES))),
    "CRLF": (FRAMES.replace(b"\n", b"\r\n"),),
    "CRLF split": (FRAMES[:60].replace(b"\n", b"\r"), b"\n", FRAMES[60:].replace(b"\n", b"\r\n")),
    "CR": (FRAMES.replace(b"\n", b"\r"),),
    "BOM": (b"\xef\xbb\xbf" + FRAMES,),
    "data: null": (b"data: null\n\n" + FRAMES,),
    "no space": (FRAMES.replace(b"data: ", b"data:"),),
    "comments": (b": hello\n\n" + FRAMES + b":bye\n\n",),
    "event names": (FRAMES.replace(b"data: ", b"event: x\nid: 7\nretry: 1\ndata: "),),
    "two data lines": (b'data: {"choices":\ndata: []}\n\n' + FRAMES,),
    "error frame": (FRAMES[:200], ERROR_FRAME),
    "only an error frame": (ERROR_FRAME,),
    "no [DONE]": (NO_DONE,),
    "no blank line at the end": (FRAMES[:-2],),
    "cut in a frame": (FRAMES[:-40],),
    "empty": (),
    "only [DONE]": (b"data: [DONE]\n\n",),
    "after [DONE]": (FRAMES + b'data: {"late": 1}\n\n',),
    "no choices": (b'data: {"id": "x"}\n\n' + FRAMES,),
    "odd choices": (b'data: {"choices": [null]}\n\ndata: {"choices": {"a": 1}}\n\n' + FRAMES,),
    "not JSON": (b"data: {oops\n\n" + FRAMES,),
    "one huge frame": (chat_stream(["x" * 300_000]),),
    "no frames at all": (b"It is 56.",),
}


@AT_RISK
@pytest.mark.parametrize("case", ODD_STREAMS)
async def test_odd_stream_passes_as_it_is(case: str, at_risk: bool) -> None:
    """No line end, missing end or strange frame costs a byte."""
    pieces = ODD_STREAMS[case]
    async with stage(streamed(*pieces), detector=FakeDetector(at_risk=at_risk)) as on:
        for mode in ("observe", "enforce"):
            response, body = await on.chat({"x-candor-mode": mode}, stream=True)
            assert (mode, response.status_code) == (mode, 200)
            assert body == b"".join(piece for piece in pieces if isinstance(piece, bytes))


@pytest.mark.parametrize("case", ["CRLF", "CR", "BOM", "comments", "event names", "no [DONE]"])
async def test_odd_stream_is_read_all_the_same(case: str) -> None:
    """Line ends, comments and missing ends do not hide a reply from the detector."""
    pieces = [p.replace(b"56", b"CAVE") for p in ODD_STREAMS[case] if isinstance(p, bytes)]
    async with stage(streamed(*pieces), says("It is 56.", stream=True)) as on:
        response, body = await on.chat(stream=True)
    assert response.headers["x-candor-action"] == "regenerate"
    assert b"CAVE" not in body


@dataclass(frozen=True, slots=True)
class Failing:
    """How an upstream fails, and the error that a client gets for it."""

    pieces: tuple[Piece, ...]
    status: int
    code: str


NO_ANSWER = {
    "closes": Failing((Cut.CLOSE,), 502, "upstream_unreachable"),
    "resets": Failing((Cut.RESET,), 502, "upstream_unreachable"),
    "half a head": Failing(
        (b"HTTP/1.1 200 OK\r\ncontent-", Cut.CLOSE), 502, "upstream_unreachable"
    ),
    "no HTTP": Failing((b"SSH-2.0-OpenSSH_9.6\r\n\r\n", Cut.CLOSE), 502, "upstream_unreachable"),
    "a status beyond HTTP's": Failing(
        (b"HTTP/1.1 999 Denied\r\ncontent-length: 2\r\n\r\n{}", Cut.CLOSE),
        502,
        "upstream_unreachable",
    ),
    "another protocol": Failing(
        (b"HTTP/1.1 101 Go\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nhello", Cut.CLOSE),
        502,
        "upstream_unreachable",
    ),
    "a compressed transfer": Failing(
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
            Cut.CLOSE,
        ),
        502,
        "upstream_unreachable",
    ),
    "silent": Failing((20.0,), 504, "upstream_timeout"),
}


@AT_RISK
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("case", NO_ANSWER)
async def test_upstream_without_an_answer_is_an_openai_error(
    case: str, stream: bool, at_risk: bool
) -> None:
    """No answer that can be read from the upstream: a 502 or 504 in OpenAI's shape, with our request id."""
    failing = NO_ANSWER[case]
    detector = FakeDetector(at_risk=at_risk)
    async with stage(failing.pieces, detector=detector, upstream={"read_timeout": 0.2}) as on:
        response, body = await on.chat(stream=stream)
        assert_error(response, body, failing.status, failing.code)
        assert response.headers["x-candor-request-id"].startswith("candor-")
        passed = await on.client.get("/v1/models")
        assert_error(passed, passed.content, failing.status, failing.code)
        counts = await on.counts()
    assert sum(v for k, v in counts.items() if "upstream_errors_total" in k) == 2.0


def assert_error(response: httpx2.Response, body: bytes, status: int, code: str | None) -> None:
    """The whole shape: status, JSON, the four members, and no word of our insides."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], bool(error["message"])) == (code, True)
    assert b"Traceback" not in body


async def test_unreachable_upstream_is_an_openai_error() -> None:
    """Nobody listens: a 502 for guarded and passed requests alike."""
    async with stage(upstream={"base_url": "http://127.0.0.1:1/v1"}) as on:
        for response in [(await on.chat())[0], await on.client.get("/v1/models")]:
            assert response.status_code == 502
        async with openai_client(f"{on.url}/v1") as client:
            with pytest.raises(openai.InternalServerError, match="cannot connect"):
                await client.with_options(max_retries=0).models.list()


HALF = chat_body("It is 56.")[:60]
BREAKS: dict[str, tuple[bool, tuple[Piece, ...], bytes]] = {
    "short of its length": (
        False,
        (head("content-type: application/json", "content-length: 999"), HALF, Cut.CLOSE),
        HALF,
    ),
    "reset in its body": (
        False,
        (head("content-type: application/json", "content-length: 999"), HALF, 0.05, Cut.RESET),
        HALF,
    ),
    "no last chunk": (True, (head(*SSE), chunk(FRAMES[:90]), Cut.CLOSE), FRAMES[:90]),
    "reset in its stream": (True, (head(*SSE), chunk(FRAMES[:90]), 0.05, Cut.RESET), FRAMES[:90]),
    "silent in its stream": (True, (head(*SSE), chunk(FRAMES[:90]), 20.0), FRAMES[:90]),
}


@pytest.mark.parametrize("case", BREAKS)
async def test_body_that_breaks_off_is_broken_off(case: str) -> None:
    """What came before the break arrives; the break is not papered over with a proper end."""
    stream, pieces, came = BREAKS[case]
    detector, patience = FakeDetector(at_risk=False), {"read_timeout": 0.3}
    async with stage(pieces, detector=detector, upstream=patience) as on, on.wire() as wire:
        await wire.send(raw_request(request_body(stream=stream)))
        assert b" 200 " in await wire.head()
        rest = await wire.reader.read()
    assert came in rest
    assert not rest.endswith(END)


@pytest.mark.parametrize("case", BREAKS)
async def test_held_body_that_breaks_off_is_an_openai_error(case: str) -> None:
    """Nothing has left yet, so the client gets a proper error that it can act on."""
    stream, pieces, _ = BREAKS[case]
    async with stage(pieces, upstream={"read_timeout": 0.3}) as on:
        response, body = await on.chat(stream=stream)
    silent = case.startswith("silent")
    status, code = (504, "upstream_timeout") if silent else (502, "upstream_interrupted")
    assert_error(response, body, status, code)


@AT_RISK
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_rate_limit_is_the_upstreams_own(stream: bool, at_risk: bool) -> None:
    """A 429 keeps its body and its retry-after, and the official client obeys it."""
    body = b'{"error": {"message": "slow down", "type": "x", "param": null, "code": "rate"}}'
    limited = answer(
        body, "retry-after: 0", "x-ratelimit-limit-requests: 3", status="429 Slow Down"
    )
    detector = FakeDetector(at_risk=at_risk)
    async with stage((limited,), says("It is 56.", stream=stream), detector=detector) as on:
        response, got = await on.chat(stream=stream)
        assert (response.status_code, got) == (429, body)
        assert response.headers["retry-after"] == "0"
        assert response.headers["x-ratelimit-limit-requests"] == "3"
        assert response.headers["x-candor-skipped"] == "upstream_error"
    async with (
        stage((limited,), says("It is 56."), detector=detector) as on,
        openai_client(f"{on.url}/v1") as client,
    ):
        reply = await client.chat.completions.create(model="m", messages=DISPUTE)
        assert reply.choices[0].message.content == "It is 56."
        assert len(on.upstream.calls) == 2


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_half_a_surrogate_pair_survives_a_rewrite(stream: bool) -> None:
    """Text that JSON can hold but UTF-8 cannot comes through an annotated body all the same."""
    text = "CAVE \ud83d"
    async with stage(says(text, stream=stream), max_attempts=0) as on:
        response, body = await on.chat(stream=stream)
    assert response.headers["x-candor-action"] == "flag"
    assert b"\\ud83d" in body
    assert b'"candor":' in body


async def test_hundred_faults_in_a_row_leave_the_proxy_as_it_was() -> None:
    """Failures leak neither connections nor requests in flight."""
    faults = [failing.pieces for failing in NO_ANSWER.values() if failing.status == 502]
    faults += [pieces for name, (_, pieces, _) in BREAKS.items() if not name.startswith("silent")]
    async with stage(*faults * 12, upstream={"max_connections": 2}) as on:
        for number in range(len(faults) * 12):
            with contextlib.suppress(httpx2.RemoteProtocolError):
                response, _ = await on.chat(stream=number % 2 == 0)
                assert response.status_code == 502
        assert (await on.counts())["candor_requests_in_flight"] == 0.0
        assert all(call.left.is_set() for call in on.upstream.calls)


async def test_the_log_says_what_the_detector_failed_with(caplog: pytest.LogCaptureFixture) -> None:
    """A reply that is delivered unread leaves one line with its id and the cause, and no content."""
    detector = FakeDetector(error=ValueError("secretcause"))
    with caplog.at_level("WARNING", "candor_proxy"):
        async with stage(says("It is 54."), detector=detector) as on:
            response, _ = await on.chat()
    (line,) = (r.getMessage() for r in caplog.records if r.name == "candor_proxy")
    number = response.headers["x-candor-request-id"]
    assert line == f"detector failed ({number}, action error): detector raised ValueError"
