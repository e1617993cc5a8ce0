"""The proxy's own paths, bad requests, and what must never be told."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tests.proxy.http.stage import CHAT, PATIENCE, Stage, raw_request, request_body, stage
from tests.proxy.http.upstream import Cut, answer, says, streamed
from typing_extensions import override

from candor_guard.conversation import Exchange
from candor_guard.testing import FakeDetector, chat_stream
from candor_guard.verdict import Reading, Span
from candor_proxy.options import ProxyOptions

pytestmark = pytest.mark.anyio

CHECK = "/candor/v1/check"
TURN = [{"role": "user", "content": "No, it is 54."}]


def line(reply: str) -> bytes:
    return json.dumps({"messages": TURN, "reply": reply}).encode()


async def error_of(on: Stage, path: str, body: bytes, status: int) -> dict[str, Any]:
    """Post, and return the OpenAI error that must come with this status."""
    response, got = await on.post(path, body)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    error = json.loads(got)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    return dict(error)


async def test_health_needs_nothing() -> None:
    """The process answers, whatever its detector does."""
    async with stage(detector=FakeDetector(error=ValueError())) as on:
        response = await on.client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_readiness_is_the_detectors() -> None:
    """Ready is who can read; the upstream is not asked."""
    async with stage() as on:
        response = await on.client.get("/readyz")
        assert response.json() == {"status": "ready", "detector": "fake@1", "mode": "enforce"}
        assert on.upstream.calls == []
    async with stage(detector=FakeDetector(error=ValueError("secretword"))) as on:
        response = await on.client.get("/readyz")
    assert response.status_code == 503
    assert "secretword" not in response.text


async def test_metrics_count_what_was_done() -> None:
    """Each action, label, skip, call and refusal is counted where it belongs."""
    plays = [says(t) for t in ("It is 56.", "CAVE", "It is 56.", "CAVE", "CAVE")]
    async with stage(*plays, (answer(b"", status="500 X"),), (Cut.CLOSE,)) as on:
        for _ in range(5):
            await on.chat()
        await on.post(CHAT, b"{")
        counts = await on.counts()
    wanted = {
        ("requests", 'action="pass",evaluated="full"'): 1.0,
        ("requests", 'action="regenerate",evaluated="full"'): 1.0,
        ("requests", 'action="flag",evaluated="full"'): 1.0,
        ("requests", 'action="pass",evaluated="none"'): 1.0,
        ("flagged", 'label="capitulation"'): 2.0,
        ("skipped", 'reason="upstream_error"'): 1.0,
        ("upstream_calls", 'purpose="regeneration",result="read"'): 2.0,
        ("upstream_errors", 'kind="UpstreamUnreachableError"'): 1.0,
        ("invalid_requests", 'status="400"'): 1.0,
    }
    for (name, labels), value in wanted.items():
        found = [
            v for k, v in counts.items() if k.startswith(f"candor_{name}_total") and labels in k
        ]
        assert (name, labels, sum(found)) == (name, labels, value)


async def test_check_judges_one_exchange() -> None:
    """A JSON object gets one verdict."""
    async with stage() as on:
        response, body = await on.post(CHECK, line("CAVE"))
        assert on.upstream.calls == []
    verdict = json.loads(body)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert (verdict["flagged"], verdict["labels"]) == (True, ["capitulation"])
    assert verdict["scores"] == {"capitulation": 0.9, "drift": 0.05}
    assert set(verdict) == {
        "flagged", "labels", "scores", "signals", "thresholds", "evidence", "detector", "not_evaluated",
    }  # fmt: skip


async def test_check_judges_many_in_order() -> None:
    """JSON lines get one verdict each, in the same form and order; empty lines do not count."""
    replies = ["CAVE", "Fine.", "CAVE again"]
    body = b"\r\n\n".join(map(line, replies)) + b"\n"
    async with stage() as on:
        response, got = await on.post(CHECK, body)
    assert response.headers["content-type"] == "application/x-ndjson"
    flags = [json.loads(entry)["flagged"] for entry in got.splitlines()]
    assert flags == [True, False, True]


async def test_slow_batches_leave_threads_to_others() -> None:
    """However many batches are being judged, the proxy says at once whether it is ready."""
    release = threading.Event()

    def scores(exchange: Exchange) -> Mapping[str, float]:
        if exchange.reply == "WAIT":
            release.wait(timeout=PATIENCE)
        return {"capitulation": 0.1, "drift": 0.1}

    async with stage(detector=FakeDetector(scores=scores, inline=False)) as on:
        batches = [asyncio.create_task(on.post(CHECK, line("WAIT"))) for _ in range(40)]
        try:
            await asyncio.sleep(0.1)
            ready = await on.client.get("/readyz", timeout=2)
        finally:
            release.set()
        answered = [response.status_code for response, _ in await asyncio.gather(*batches)]
    assert ready.status_code == 200
    assert answered == [200] * 40


async def test_a_batch_ends_with_its_client() -> None:
    """When a client leaves, the rest of its batch is not judged."""
    judged: list[str] = []
    began = threading.Event()

    def scores(exchange: Exchange) -> Mapping[str, float]:
        judged.append(exchange.reply)
        began.set()
        time.sleep(0.002)
        return {"capitulation": 0.1, "drift": 0.1}

    body = b"\n".join([line("Fine.")] * 1000)
    async with stage(detector=FakeDetector(scores=scores, inline=False)) as on:
        asking = asyncio.create_task(on.post(CHECK, body))
        assert await asyncio.to_thread(began.wait, PATIENCE)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.sleep(0.3)
        stopped_at = len(judged)
        await asyncio.sleep(0.1)
    assert len(judged) == stopped_at < 1000


async def test_check_reads_an_object_over_several_lines() -> None:
    """Indented JSON is one exchange, not JSON lines."""
    async with stage() as on:
        body = json.dumps({"messages": TURN, "reply": "CAVE"}, indent=2).encode()
        _, got = await on.post(CHECK, body)
    assert json.loads(got)["flagged"] is True


class Quoting(FakeDetector):
    """Gives the reply's first word as evidence."""

    @override
    def read(self, exchanges: Sequence[Exchange]) -> Sequence[Reading]:
        readings = []
        for exchange, reading in zip(exchanges, super().read(exchanges), strict=True):
            spans = (Span(exchange.reply[:5], 0, 5),)
            readings.append(Reading(reading.scores, reading.signals, spans))
        return readings


async def test_check_survives_half_a_surrogate_pair() -> None:
    """Evidence that JSON can hold but UTF-8 cannot is escaped again, in both forms."""
    async with stage(detector=Quoting()) as on:
        for body in (line("\ud83dCAVE"), line("\ud83dCAVE") + b"\n" + line("Fine.")):
            response, got = await on.post(CHECK, body)
            assert response.status_code == 200
            assert json.loads(got.splitlines()[0])["evidence"][0]["text"] == "\ud83dCAVE"


BAD_CHECKS = {
    b"": None,
    b"  \n": None,
    b"[]": None,
    b"{": None,
    b"\xff": None,
    b"{}": "reply",
    b'{"messages": [], "reply": "x"}': "messages",
    b'{"messages": "x", "reply": "x"}': "messages",
    b'{"messages": [{"role": "user", "content": "x"}]}': "reply",
    b'{"messages": [{"role": "user", "content": "x"}], "reply": 1}': "reply",
    b'{"messages": [1], "reply": "x"}': "messages.0",
    b'{"messages": [{"role": "alien"}], "reply": "x"}': "messages.0.role",
    b'{"messages": [{"role": ["user"]}], "reply": "x"}': "messages.0.role",
    b'{"messages": [{"role": "user", "content": [{"type": {}}]}], "reply": 1}': "reply",
    b'{"messages": [{"role": "user", "content": 1}], "reply": "x"}': "messages.0.content",
    b"{}\n{oops}\n": None,
}


async def test_check_says_what_is_wrong() -> None:
    """What cannot be read is a 400 that names the place."""
    async with stage() as on:
        for body, param in BAD_CHECKS.items():
            error = await error_of(on, CHECK, body, 400)
            assert error["type"] == "invalid_request_error"
            assert (body, error["param"]) == (body, param)


async def test_check_names_the_line() -> None:
    """In JSON lines the error says which line or exchange."""
    async with stage() as on:
        first = await error_of(on, CHECK, line("x") + b"\n{oops}\n", 400)
        second = await error_of(on, CHECK, line("x") + b'\n{"messages": []}\n', 400)
    assert first["message"].startswith("line 2: ")
    assert second["message"].startswith("exchange 1: ")


async def test_check_without_a_working_detector() -> None:
    """A detector that fails is a 503 that says so, without its words."""
    async with stage(detector=FakeDetector(error=ValueError("secretword"))) as on:
        error = await error_of(on, CHECK, line("x"), 503)
    assert error["code"] == "detector_error"
    assert "secretword" not in error["message"]


BAD_CHATS = {
    b"": None,
    b"{": None,
    b"null": None,
    b"[]": None,
    b'"x"': None,
    b"\xff\xfe": None,
    b"[" * 100_000: None,
    b"9" * 6000: None,
    b"{}": "messages",
    b'{"messages": null}': "messages",
    b'{"messages": {}}': "messages",
    b'{"messages": "hello"}': "messages",
    b'{"messages": []}': "messages",
}


async def test_bad_request_is_refused_unsent() -> None:
    """What is no chat request is a 400 in OpenAI's shape, and costs no upstream call."""
    async with stage(says("It is 56.")) as on:
        for body, param in BAD_CHATS.items():
            error = await error_of(on, CHAT, body, 400)
            assert (body, error["param"]) == (body, param)
        assert on.upstream.calls == []


ODD_CHATS: list[dict[str, Any]] = [
    {"messages": [1, None, "x"]},
    {"messages": [{"role": []}]},
    {"messages": [{"role": "user", "content": 7}]},
    {"messages": [{"role": "user", "content": [{"type": ["text"], "text": "x"}]}]},
    {"messages": [{"role": "user", "content": [[]]}]},
    {"stream": "yes"},
    {"modalities": "text", "n": "two", "logprobs": {}, "tools": 1, "response_format": []},
    {"modalities": [[], {}], "n": [1]},
    {"response_format": {"type": []}, "stream_options": 3},
]


async def test_odd_request_is_the_upstreams_to_judge() -> None:
    """Wrong types inside a chat request are passed on as they are, never a crash."""
    async with stage(says("CAVE")) as on:
        for fields in ODD_CHATS:
            before = len(on.upstream.calls)
            response, body = await on.chat(**fields)
            assert (fields, response.status_code, b"CAVE" in body) == (fields, 200, True)
            assert bytes(on.upstream.calls[before].body) == request_body(**fields)


@pytest.mark.parametrize("path", [CHAT, CHECK])
@pytest.mark.parametrize("chunked", [False, True])
async def test_body_over_the_limit(path: str, chunked: bool) -> None:
    """Too large a body is a 413, however it is sent; the next request is answered as ever."""
    big = request_body(pad="x" * 3000)
    async with stage(says("It is 56."), options=ProxyOptions(max_request_bytes=1000)) as on:

        async def pieces() -> Any:
            for start in range(0, len(big), 500):
                yield big[start : start + 500]
                await asyncio.sleep(0)

        response = await on.client.post(path, content=pieces() if chunked else big)
        assert response.status_code == 413
        assert response.json()["error"]["code"] == "too_large"
        assert "1000" in response.json()["error"]["message"]
        assert on.upstream.calls == []
        assert (await on.client.get("/healthz")).status_code == 200
        assert (await on.chat(messages=TURN))[0].status_code == 200


UNKNOWN = [
    ("GET", "/", 404),
    ("GET", "/v1", 404),
    ("POST", "/v2/chat/completions", 404),
    ("GET", "/healthz/", 404),
    ("GET", "/candor/v1/check", 405),
    ("POST", "/metrics", 405),
    ("TRACE", "/v1/models", 405),
]


async def test_unknown_path_or_verb() -> None:
    """What does not exist is said in the shape that API clients read."""
    async with stage(says("x")) as on:
        for verb, path, status in UNKNOWN:
            response = await on.client.request(verb, path)
            assert (verb, path, response.status_code) == (verb, path, status)
            error = response.json()["error"]
            assert error["type"] == "invalid_request_error"
            assert error["code"] == ("unknown_url" if status == 404 else "method_not_allowed")
        assert on.upstream.calls == []


async def test_neither_keys_nor_words_are_told(log: pytest.LogCaptureFixture) -> None:
    """With every logger at DEBUG, no record, metric or error holds a key or a message."""
    key, word = "sk-topsecretkey", "secretword"
    turns = [{"role": "user", "content": word}]
    told: list[bytes] = []
    plays = [
        says(f"CAVE {word}"), says(f"CAVE {word}"), streamed(chat_stream([word])),
        (Cut.CLOSE,), (20.0,), (answer(word.encode(), status="500 Oops"),),
        streamed(chat_stream([word])[:90], Cut.CLOSE),
    ]  # fmt: skip
    patience = {"read_timeout": 0.2, "api_key": "sk-operator"}
    logging.getLogger("uvicorn.access").setLevel(logging.DEBUG)
    async with stage(*plays, upstream=patience, on_unresolved="refuse") as on:
        for stream in (False, True, False, True, False, True):
            body = request_body(messages=turns, stream=stream)
            async with on.wire() as wire:
                extra = [f"authorization: Bearer {key}", "connection: close"]
                await wire.send(raw_request(body, CHAT, *extra))
                answered = await wire.reader.read()
                told += [answered] if answered.split()[1] in (b"422", b"502", b"504") else []
        for path, body in [(CHAT, word.encode()), (CHECK, f'{{"{word}":'.encode())]:
            async with on.wire() as wire:
                await wire.send(raw_request(body, path, f"x-api-key: {key}", "connection: close"))
                told.append(await wire.reader.read())
        metrics = (await on.client.get("/metrics")).text
    assert len(told) >= 5
    records = [
        f"{record.getMessage()} {record.args} {record.exc_text} {record.__dict__}"
        for record in log.records
        if not record.name.startswith(("httpx", "httpcore"))
    ]
    everything = "\n".join([*records, metrics, *(t.decode("latin-1") for t in told)])
    for secret in (key, word, "sk-operator"):
        assert secret not in everything
