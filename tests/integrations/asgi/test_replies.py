"""What a client of a guarded app gets: better replies, and else exactly what the app said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.middleware.gzip import GZipMiddleware
from tests.integrations.asgi.kit import (
    APPS,
    CAVE,
    RIGHT,
    Model,
    both,
    frameworks,
    scene,
    serving,
)
from tests.proxy.http.stage import CHAT, DISPUTE, openai_client, request_body

from candor_guard.integrations.asgi import ASGIApp, Patience
from candor_guard.testing import FakeDetector

pytestmark = pytest.mark.anyio

REPLACED = pytest.mark.parametrize(
    ("first", "action"), [(RIGHT, "pass"), (CAVE, "regenerate")], ids=["clean", "replaced"]
)


@frameworks
@REPLACED
async def test_whole_reply_for_the_official_client(framework: str, first: str, action: str) -> None:
    """The openai client gets the right text, and headers that tell what was done."""
    async with (
        scene(first, RIGHT, framework=framework) as on,
        openai_client(f"{on.url}/v1") as client,
    ):
        raw = await client.chat.completions.with_raw_response.create(
            model="gpt-x", messages=DISPUTE
        )
    reply = raw.parse()
    assert reply.choices[0].message.content == RIGHT
    assert raw.headers["x-candor-action"] == action
    assert (reply.model_extra or {}).get("candor", {"action": "pass"})["action"] == action
    assert len(on.model.asked) == (1 if action == "pass" else 2)


@frameworks
@REPLACED
async def test_stream_for_the_official_client(framework: str, first: str, action: str) -> None:
    """The same through the strict stream helper of the client."""
    async with (
        scene(first, RIGHT, framework=framework) as on,
        openai_client(f"{on.url}/v1") as client,
        client.chat.completions.stream(model="gpt-x", messages=DISPUTE) as stream,
    ):
        reply = await stream.get_final_completion()
    assert (reply.choices[0].message.content or "").strip() == RIGHT
    assert reply.choices[0].finish_reason == "stop"
    assert len(on.model.asked) == (1 if action == "pass" else 2)


@frameworks
@both
@pytest.mark.parametrize("at_risk", [False, True], ids=["not at risk", "clean"])
async def test_bytes_of_the_app_are_untouched(framework: str, stream: bool, at_risk: bool) -> None:
    """A reply that is not flagged has the status, headers and bytes of the unguarded app."""
    bare = Model((RIGHT,))
    async with (
        scene(RIGHT, framework=framework, detector=FakeDetector(at_risk=at_risk)) as on,
        serving(APPS[framework](bare)) as url,
    ):
        guarded, body = await on.chat(stream=stream)
        direct = await on.client.post(
            url + CHAT,
            content=request_body(stream=stream),
            headers={"content-type": "application/json"},
        )
    assert body == direct.content
    assert guarded.status_code == direct.status_code == 200
    own = {k: v for k, v in guarded.headers.items() if not k.startswith("x-candor-")}
    assert own == dict(direct.headers)
    assert guarded.headers["x-candor-action"] == "pass"
    assert on.model.asked[0].body == bare.asked[0].body == request_body(stream=stream)


async def test_app_is_called_again_with_an_edited_body() -> None:
    """A regeneration is a second call with the same headers and the instruction at the end."""
    headers = {"authorization": "Bearer user", "idempotency-key": "k1", "x-own": "1"}
    async with scene(CAVE, RIGHT) as on:
        response, body = await on.chat(headers)
    first, second = on.model.asked
    assert first.body == request_body()
    assert int(second.headers["content-length"]) == len(second.body)
    assert second.headers["authorization"] == "Bearer user"
    assert second.headers["x-own"] == first.headers["x-own"] == "1"
    assert first.headers["idempotency-key"] == "k1"
    assert "idempotency-key" not in second.headers  # the app would give its first reply again
    edited, sent = json.loads(second.body), json.loads(first.body)
    assert edited["messages"][:-1] == sent["messages"][:-1]
    assert edited["messages"][-1]["content"].startswith(sent["messages"][-1]["content"])
    assert edited["messages"][-1] != sent["messages"][-1]
    assert {k: v for k, v in edited.items() if k != "messages"} == {
        k: v for k, v in sent.items() if k != "messages"
    }
    assert int(response.headers["content-length"]) == len(body)
    assert response.headers["x-candor-upstream-calls"] == "2"


async def test_usage_is_summed() -> None:
    """The usage of a replaced reply counts both calls."""
    async with scene(CAVE, RIGHT) as on:
        _, body = await on.chat()
    assert json.loads(body)["usage"]["total_tokens"] == 30


async def test_compressing_app_is_read() -> None:
    """A held reply is asked for uncompressed; one that nobody reads may be compressed."""

    def wrap(app: ASGIApp) -> ASGIApp:
        return GZipMiddleware(app, minimum_size=1)

    headers = {"accept-encoding": "gzip"}
    async with scene(CAVE, RIGHT, wrap=wrap) as on:
        read, _ = await on.chat(headers)
        unread, _ = await on.chat(headers | {"x-candor-mode": "off"})
    assert read.headers["x-candor-action"] == "regenerate"
    assert "content-encoding" not in read.headers
    assert unread.headers["content-encoding"] == "gzip"


@both
async def test_observing_changes_nothing(stream: bool) -> None:
    """In observe mode a flagged reply is delivered and marked."""
    async with scene(CAVE, mode="observe") as on:
        _, body = await on.chat(stream=stream)
    assert b"54" in body
    assert b'"candor"' in body
    assert len(on.model.asked) == 1


async def test_held_stream_is_kept_alive() -> None:
    """While a stream is held, the client gets its headers and comments after a set time."""
    async with scene("It is STALL", options={"patience": Patience(0.02, 0.02)}) as on:
        request = on.client.build_request("POST", CHAT, content=request_body(stream=True))
        response = await on.client.send(request, stream=True)
        pieces = response.aiter_raw()
        first = await anext(pieces)
        assert (await anext(pieces)).startswith(b":")
        await response.aclose()
    assert response.headers["x-candor-evaluated"] == "deferred"
    assert first.startswith(b":")


async def test_a_stream_that_waits_for_its_correction_is_kept_alive() -> None:
    """A released stream that turns out at fault says comments, too, while a better reply is made."""
    late = f"{'Seven times eight is a product that many people mix up. ' * 4}{CAVE}"
    policy: dict[str, Any] = {
        "after_release": "correct",
        "min_release_chars": 40,
        "min_prefix_chars": 40,
    }
    patience: dict[str, Any] = {"patience": Patience(5.0, 0.02)}
    async with scene(late, "STALL", options=patience, **policy) as on:
        request = on.client.build_request("POST", CHAT, content=request_body(stream=True))
        response = await on.client.send(request, stream=True)
        pieces = response.aiter_raw()
        body = await anext(pieces)
        while b"\n\n: " not in body:
            body += await anext(pieces)
        await response.aclose()
    assert body.index(b"Seven") < body.index(b"\n\n: ")


@both
async def test_refused_reply(stream: bool) -> None:
    """What the policy refuses is a 422 that no client repeats, with the record in its body."""
    async with scene(CAVE, on_unresolved="refuse") as on:
        response, body = await on.chat(stream=stream)
    error = json.loads(body)
    assert response.status_code == 422
    assert response.headers["x-should-retry"] == "false"
    assert response.headers["x-candor-action"] == "block"
    assert error["error"]["code"] == "unresolved"
    assert error["candor"]["action"] == "block"


@pytest.mark.parametrize("annotate", ["flagged", "all", "none"])
async def test_annotation_can_be_chosen(annotate: str) -> None:
    """The candor object is written as told: never, when flagged, or whenever a reply was read."""
    async with scene(CAVE, RIGHT, RIGHT, options={"annotate": annotate}) as on:
        _, replaced = await on.chat()
        _, clean = await on.chat()
    assert ("candor" in json.loads(replaced)) == (annotate != "none")
    assert ("candor" in json.loads(clean)) == (annotate == "all")
