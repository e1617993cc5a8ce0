"""Replies in unusual but legal shapes are guarded like all others, and delivered in their shape."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.proxy.http.stage import stage
from tests.proxy.http.test_streams import chunks_of
from tests.proxy.http.upstream import Piece, answer, says, streamed

from candor_guard.testing import chat_body, chat_stream

pytestmark = pytest.mark.anyio

EACH_WAY = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
CUTS = pytest.mark.parametrize("size", [1, 10_000])
THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "Is it CAVE?"}]}


def play(raw: bytes, *, stream: bool, size: int = 10_000) -> tuple[Piece, ...]:
    if not stream:
        return (answer(raw),)
    return streamed(*(raw[i : i + size] for i in range(0, len(raw), size)))


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def in_parts(words: str, *, stream: bool) -> bytes:
    """A reply that thinks in one part and speaks in others; a stream mixes parts and strings."""
    first, _, rest = words.partition(" ")
    if not stream:
        return with_content(chat_body("?"), [THOUGHT, text(f"{first} "), text(rest)])
    deltas = [[THOUGHT], f"{first} ", [text(rest)]]
    frames = chat_stream(["?"] * len(deltas)).split(b"\n\n")
    said = [with_content(f, delta) for f, delta in zip(frames[1:4], deltas, strict=True)]
    return b"\n\n".join([frames[0], *said, *frames[4:]])


def with_content(raw: bytes, content: Any) -> bytes:
    assert raw.count(b'"?"') == 1
    return raw.replace(b'"?"', json.dumps(content).encode())


def contents(body: bytes, *, stream: bool) -> list[Any]:
    if not stream:
        return [json.loads(body)["choices"][0]["message"]["content"]]
    return [chunk["choices"][0]["delta"].get("content") for chunk in chunks_of(body)]


@CUTS
@EACH_WAY
async def test_replies_in_parts_are_replaced(stream: bool, size: int) -> None:
    """A reply whose text is in parts is judged by it; its replacement keeps its parts."""
    bad, good = (in_parts(words, stream=stream) for words in ("So, CAVE.", "It is 56."))
    plays = (play(raw, stream=stream, size=size) for raw in (bad, good))
    async with stage(*plays) as on:
        response, body = await on.chat(stream=stream)
    assert response.headers["x-candor-action"] == "regenerate"
    assert contents(body, stream=stream) == contents(good, stream=stream)


@CUTS
@EACH_WAY
async def test_replies_in_parts_are_annotated(stream: bool, size: int) -> None:
    """A flagged reply whose text is in parts carries the record and keeps its parts."""
    raw = in_parts("So, CAVE.", stream=stream)
    async with stage(play(raw, stream=stream, size=size), max_attempts=0) as on:
        response, body = await on.chat(stream=stream)
    assert response.headers["x-candor-action"] == "flag"
    assert response.headers["x-candor-evaluated"] == "full"
    assert contents(body, stream=stream) == contents(raw, stream=stream)
    assert body.count(b'"candor"') == 1


@EACH_WAY
@pytest.mark.parametrize(
    ("content", "skip"), [(7, "unreadable"), ([text("CAVE"), {"type": "image_url"}], "media")]
)
async def test_what_is_no_text_is_not_called_read(content: Any, skip: str, stream: bool) -> None:
    """A reply that holds something else than text passes as it is, with the reason."""
    raw = with_content(chat_stream(["CAVE", "?"]) if stream else chat_body("?"), content)
    async with stage(play(raw, stream=stream)) as on:
        response, body = await on.chat(stream=stream)
    told = response.headers["x-candor-evaluated"], response.headers["x-candor-skipped"]
    assert (told, body) == (("none", skip), raw)


ODD: dict[str, tuple[bytes, bytes]] = {
    "error null": (b'{"id"', b'{"error": null, "id"'),
    "index null": (b'"index": 0', b'"index": null'),
    "no index": (b'"index": 0, ', b""),
}


@CUTS
@EACH_WAY
@pytest.mark.parametrize("odd", ODD)
async def test_fields_that_say_nothing_change_nothing(odd: str, stream: bool, size: int) -> None:
    """A null error and a null index mean what their absence means: the reply is guarded."""
    raw = (chat_stream(["CA", "VE"]) if stream else chat_body("CAVE")).replace(*ODD[odd])
    async with stage(play(raw, stream=stream, size=size), says("It is 56.", stream=stream)) as on:
        response, body = await on.chat(stream=stream)
    assert response.headers["x-candor-action"] == "regenerate"
    assert b"56." in body


NUMBERS = [b"1" + b"0" * 400, b"1e999", b"-1e999", b"NaN", b"-5", b"1e300", b"7.5", b'"15"', b"[]"]


@EACH_WAY
@pytest.mark.parametrize("unresolved", ["deliver", "refuse"])
@pytest.mark.parametrize("number", NUMBERS)
async def test_no_count_breaks_an_answer(number: bytes, unresolved: str, stream: bool) -> None:
    """Whatever number the upstream tells as its usage, the reply is delivered, or refused."""
    raw = chat_stream(["CAVE"], usage=True) if stream else chat_body("CAVE")
    raw = raw.replace(b'"total_tokens": 15', b'"total_tokens": ' + number)
    limits: dict[str, Any] = {"max_extra_tokens": 10_000, "max_extra_tokens_per_minute": 10_000}
    async with stage(play(raw, stream=stream), on_unresolved=unresolved, **limits) as on:
        response, body = await on.chat(stream=stream)
        counts = await on.counts()
    assert response.headers["x-candor-upstream-calls"] == "2"
    if unresolved == "refuse":
        assert (response.status_code, json.loads(body)["error"]["code"]) == (422, "unresolved")
    else:
        assert (response.headers["x-candor-action"], b"CAVE" in body) == ("flag", True)
    spent = counts['candor_upstream_tokens_total{purpose="original"}']
    assert 0 <= spent <= 10**12


@EACH_WAY
async def test_body_that_cannot_be_written_is_not_annotated(stream: bool) -> None:
    """A reply with a number that JSON cannot express leaves as it came, only the headers tell."""
    raw = chat_stream(["CAVE"]) if stream else chat_body("CAVE")
    raw = raw.replace(b'"created": 1', b'"created": 1e999')
    async with stage(play(raw, stream=stream), max_attempts=0) as on:
        response, body = await on.chat(stream=stream)
    assert (response.headers["x-candor-action"], body) == ("flag", raw)
