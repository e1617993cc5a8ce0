"""Every decision over HTTP: what is delivered, and what is said about it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from tests.proxy.http.stage import DISPUTE, Stage, stage
from tests.proxy.http.upstream import Cut, Play, answer, head, says
from typing_extensions import override

from candor_guard.conversation import Exchange
from candor_guard.testing import FakeDetector, by_marker, chat_body
from candor_guard.wire.sse import frames_of
from candor_proxy.options import ProxyOptions

pytestmark = pytest.mark.anyio

FINE, CAVE = "It is 56.", "CAVE: it is 54."


@dataclass(frozen=True, slots=True)
class Expected:
    """What a client must see."""

    action: str
    evaluated: str = "full"
    delivered: str | None = "original"
    labels: str | None = None
    score: str | None = None
    calls: int = 1
    skipped: str | None = None
    code: str | None = field(default=None, kw_only=True)


def said(response: httpx2.Response) -> Expected:
    """Return what the headers say; the code is checked against the body."""
    told = response.headers
    assert told["x-candor-request-id"].startswith("candor-")
    assert 0 <= float(told["x-candor-guard-ms"]) < 1000
    return Expected(
        told["x-candor-action"],
        told["x-candor-evaluated"],
        told.get("x-candor-delivered"),
        told.get("x-candor-labels"),
        told.get("x-candor-score"),
        int(told["x-candor-upstream-calls"]),
        told.get("x-candor-skipped"),
    )


def text_in(body: bytes, *, stream: bool) -> str:
    """Return the reply's text."""
    if not stream:
        return str(json.loads(body)["choices"][0]["message"]["content"])
    chunks = [json.loads(f.data) for f in frames_of(body) if f.data not in (None, b"[DONE]")]
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks).strip()


def candor_in(body: bytes) -> dict[str, Any] | None:
    """Return the `candor` object of a body or of a stream."""
    if body.startswith(b"{"):
        found = [json.loads(body)]
    else:
        found = [json.loads(f.data) for f in frames_of(body) if f.data not in (None, b"[DONE]")]
    return next((entry["candor"] for entry in found if "candor" in entry), None)


async def check(on: Stage, expected: Expected, *, stream: bool, mode: str, text: str) -> None:
    """Ask once and hold headers, status, text and `candor` against what is expected."""
    response, body = await on.chat({"x-candor-mode": mode}, stream=stream)
    assert said(response) == Expected(**{**_fields(expected), "code": None})
    assert len(on.upstream.calls) == expected.calls
    candor = candor_in(body)
    if expected.action == "block":
        assert response.status_code == 422
        error = json.loads(body)["error"]
        assert (error["type"], error["code"]) == ("candor_guard_refusal", expected.code)
        assert set(error) == {"message", "type", "param", "code"}
    else:
        assert response.status_code == 200
        assert text_in(body, stream=stream) == text
    assert (candor is not None) is (expected.action in ("flag", "regenerate", "block"))
    if candor is not None:
        assert candor["action"] == expected.action
        assert candor["evaluated"] == expected.evaluated
        assert candor["delivered"] == expected.delivered
        assert candor["skipped"] == expected.skipped
        assert candor["mode"] == mode
        assert candor["upstream_calls"] == expected.calls == len(candor["attempts"])
        assert candor["request_id"] == response.headers["x-candor-request-id"]


def _fields(expected: Expected) -> dict[str, Any]:
    return {name: getattr(expected, name) for name in Expected.__dataclass_fields__}


# How a second call can go, and why its reply is then not used (None: it is judged).
AGAIN: dict[str, tuple[Play | None, str | None]] = {
    "clean": (None, None),
    "still": (None, None),
    "status": ((answer(b'{"error":{}}', status="500 Internal Server Error"),), "failed"),
    "html": ((answer(b"<html>", "content-type: text/html"),), "failed"),
    "reset": ((Cut.RESET,), "failed"),
    "broken": ((head("content-type: application/json", "content-length: 9"), Cut.CLOSE), "failed"),
    "null": ((answer(b"null"),), "unusable"),
    "silent": ((30.0,), "timeout"),
}


def second(again: str, *, stream: bool) -> tuple[Play, str | None]:
    """Return the second call's play and the reason that it gives."""
    play, reason = AGAIN[again]
    if again == "clean":
        return says(FINE, stream=stream), None
    if again == "still":
        return says(CAVE, stream=stream), None
    assert play is not None
    if stream and again in ("broken", "null"):
        reason = "failed"  # JSON where a stream was asked for
    return play, f"regeneration_{reason}"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("role", ["system", "developer"])
async def test_turn_before_a_reminder_is_guarded(role: str, stream: bool) -> None:
    """A reminder behind the user's turn changes nothing: that turn is judged and carries the note."""
    messages = [*DISPUTE, {"role": role, "content": "Be brief."}]
    plays = says(CAVE, stream=stream), says(FINE, stream=stream)
    async with stage(*plays) as on:
        response, body = await on.chat(messages=messages, stream=stream)
        first, second = (call.json["messages"] for call in on.upstream.calls)
    assert (response.headers["x-candor-action"], text_in(body, stream=stream)) == (
        "regenerate",
        FINE,
    )
    assert (first, second[:2], second[3]) == (messages, messages[:2], messages[3])
    assert "answer honesty check" in second[2]["content"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("again", AGAIN)
@pytest.mark.parametrize("unresolved", ["deliver", "refuse"])
async def test_regeneration(again: str, unresolved: str, stream: bool) -> None:
    """A flagged reply is replaced by a better one, or else delivered or refused as policy says."""
    play, reason = second(again, stream=stream)
    expected = Expected("flag", "full", "original", "capitulation", "0.9000", 2, reason)
    text = CAVE
    if again == "clean":
        expected = Expected("regenerate", "full", "regenerated", "capitulation", "0.9000", 2)
        text = FINE
    elif unresolved == "refuse":
        expected = Expected(
            "block", "full", None, "capitulation", "0.9000", 2, reason, code="unresolved"
        )
    settings: dict[str, Any] = {"on_unresolved": unresolved, "max_regeneration_seconds": 0.2}
    # On a fresh connection, or a reset would be taken for a stale one and tried again.
    first = (*says(CAVE, "connection: close", stream=stream), Cut.CLOSE)
    async with stage(first, play, **settings) as on:
        await check(on, expected, stream=stream, mode="enforce", text=text)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("found", [False, True], ids=["clean", "flagged"])
@pytest.mark.parametrize("mode", ["off", "observe"])
async def test_modes_that_replace_nothing(mode: str, found: bool, stream: bool) -> None:
    """Off reads nothing, observe delivers everything; neither ever asks or refuses again."""
    strict: dict[str, Any] = {"on_unresolved": "refuse", "on_detector_error": "refuse"}
    text = CAVE if found else FINE
    async with stage(says(text, stream=stream), **strict) as on:
        if mode == "off":
            await check(on, Expected("pass", "none"), stream=stream, mode=mode, text=text)
        elif not stream:
            flag = Expected("flag", "full", "original", "capitulation", "0.9000")
            clean = Expected("pass", "full", score="0.1000")
            await check(on, flag if found else clean, stream=stream, mode=mode, text=text)
        else:
            response, body = await on.chat({"x-candor-mode": mode}, stream=True)
            assert response.headers["x-candor-evaluated"] == "deferred"
            assert text_in(body, stream=True) == text
            assert (candor_in(body) or {}).get("action") == ("flag" if found else None)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_clean_reply_passes(stream: bool) -> None:
    """A reply that was read and found clean passes, and is said to have been read."""
    async with stage(says(FINE, stream=stream)) as on:
        expected = Expected("pass", "full", score="0.1000")
        await check(on, expected, stream=stream, mode="enforce", text=FINE)


@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
async def test_turn_that_is_not_at_risk_passes_at_the_gate(mode: str) -> None:
    """A harmless request's reply is never read, and nothing claims that it was."""
    async with stage(says(CAVE), detector=FakeDetector(at_risk=False)) as on:
        evaluated = "none" if mode == "off" else "gate"
        await check(on, Expected("pass", evaluated), stream=False, mode=mode, text=CAVE)


FAILING = {
    "gate": {"gate_error": ValueError("secretword")},
    "read": {"error": ValueError("secretword")},
    "nan": {"scores": lambda _: {"capitulation": float("nan"), "drift": 0.0}},
    "missing": {"scores": lambda _: {"drift": 0.0}},
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("failure", FAILING)
@pytest.mark.parametrize("mode", ["observe", "enforce"])
@pytest.mark.parametrize("wish", ["release", "refuse"])
async def test_detector_failure(failure: str, mode: str, wish: str, stream: bool) -> None:
    """A detector that fails is an error, never a pass; only enforcing may refuse for it."""
    detector = FakeDetector(**FAILING[failure])  # type: ignore[arg-type]
    expected = Expected("error", "none", skipped="detector_error")
    if mode == "enforce" and wish == "refuse":
        expected = Expected("block", "none", None, skipped="detector_error", code="detector_error")
    async with stage(says(CAVE, stream=stream), detector=detector, on_detector_error=wish) as on:
        if mode == "observe" and stream and failure != "gate":
            _, body = await on.chat({"x-candor-mode": mode}, stream=True)
            assert text_in(body, stream=True) == CAVE
            counts = await on.counts()
            assert [v for k, v in counts.items() if 'requests_total{action="error"' in k] == [1.0]
        else:
            await check(on, expected, stream=stream, mode=mode, text=CAVE)


async def test_detector_that_is_too_slow_has_failed() -> None:
    """A reading over its time counts as an error, and the reply does not wait for it."""

    class Slow(FakeDetector):
        """A detector that blocks its thread."""

        @override
        def read(self, exchanges: Any) -> Any:
            import time

            time.sleep(0.3)
            return super().read(exchanges)

    async with stage(says(CAVE), detector=Slow(inline=False), detector_timeout=0.05) as on:
        expected = Expected("error", "none", skipped="detector_error")
        await check(on, expected, stream=False, mode="enforce", text=CAVE)
        await asyncio.sleep(0.3)


@pytest.mark.parametrize("unresolved", ["deliver", "refuse"])
async def test_detector_that_fails_on_the_second_reply(unresolved: str) -> None:
    """A second reply that cannot be read is not used; what is at fault stays at fault."""

    def scores(exchange: Exchange) -> dict[str, float]:
        if "CAVE" not in exchange.reply:
            raise ValueError
        return dict(by_marker("CAVE")(exchange))

    plays = says(CAVE), says(FINE)
    flagged = ("capitulation", "0.9000", 2, "detector_error")
    expected = Expected("flag", "full", "original", *flagged)
    if unresolved == "refuse":
        expected = Expected("block", "full", None, *flagged, code="unresolved")
    detector = FakeDetector(scores=scores)
    async with stage(*plays, detector=detector, on_unresolved=unresolved) as on:
        await check(on, expected, stream=False, mode="enforce", text=CAVE)


async def test_best_of_several_attempts_is_delivered() -> None:
    """Attempts go on up to the limit; the least bad reply by verdict wins."""

    def scores(exchange: Exchange) -> dict[str, float]:
        return {"capitulation": 0.9 - 0.1 * exchange.reply.count("!"), "drift": 0.0}

    plays = [says(text) for text in ("a", "b!!", "c!")]
    async with stage(*plays, detector=FakeDetector(scores=scores), max_attempts=2) as on:
        expected = Expected("regenerate", "full", "regenerated", "capitulation", "0.9000", 3)
        await check(on, expected, stream=False, mode="enforce", text="b!!")


async def test_structured_reply_is_replaced_only_by_one_that_validates() -> None:
    """A second reply that breaks the client's `response_format` is not delivered."""
    plays = says('{"a": "CAVE"}'), says("not JSON")
    async with stage(*plays) as on:
        response, body = await on.chat(response_format={"type": "json_object"})
    assert response.headers["x-candor-skipped"] == "regeneration_unusable"
    assert text_in(body, stream=False) == '{"a": "CAVE"}'


SKIPS: dict[str, tuple[dict[str, Any], bytes]] = {
    "n": ({"n": 2}, chat_body(CAVE)),
    "logprobs": ({"logprobs": True}, chat_body(CAVE)),
    "audio": ({"modalities": ["text", "audio"]}, chat_body(CAVE)),
    "length": ({}, chat_body(CAVE, finish="length")),
    "content_filter": ({}, chat_body(CAVE, finish="content_filter")),
    "tool_calls": ({}, chat_body(CAVE, tool_calls=[{"id": "1"}])),
    "refusal": ({}, chat_body(None, refusal="I cannot.")),
    "no_text": ({}, chat_body(" ")),
    "no_user_turn": ({"messages": [{"role": "assistant", "content": "So"}]}, chat_body(CAVE)),
    "unreadable": ({"messages": [{"role": "alien"}]}, chat_body(CAVE)),
}


@pytest.mark.parametrize("skip", SKIPS)
async def test_reply_that_is_not_for_reading_passes_untouched(skip: str) -> None:
    """What cannot or must not be replaced passes byte for byte, and the reason is told."""
    fields, body = SKIPS[skip]
    async with stage((answer(body),)) as on:
        response, got = await on.chat(**fields)
    assert said(response) == Expected("pass", "none", skipped=skip)
    assert got == body


async def test_unknown_mode_is_refused_unsent() -> None:
    """A mode that does not exist is a 400 that says which exist; nothing is forwarded."""
    async with stage(says(FINE)) as on:
        for value in ("", "on", "Enforce", "enforce,off"):
            response, body = await on.chat({"x-candor-mode": value})
            assert (value, response.status_code) == (value, 400)
            error = json.loads(body)["error"]
            assert error["param"] == "x-candor-mode"
            assert "off, observe, enforce" in error["message"]
        assert on.upstream.calls == []


async def test_mode_header_can_be_forbidden() -> None:
    """Where the operator forbids it, no client turns its own guard off."""
    async with stage(says(CAVE), options=ProxyOptions(allow_mode_header=False)) as on:
        response, body = await on.chat({"x-candor-mode": "off"})
        assert response.status_code == 400
        assert json.loads(body)["error"]["param"] == "x-candor-mode"
        assert on.upstream.calls == []
        response, _ = await on.chat()
        assert response.headers["x-candor-action"] == "flag"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_annotation_can_be_switched(stream: bool) -> None:
    """`none` writes into no body, not even a replaced one; `all` into every reply that was read."""
    async with stage(
        says(CAVE, stream=stream), says(FINE, stream=stream), options=ProxyOptions(annotate="none")
    ) as on:
        response, body = await on.chat(stream=stream)
        assert response.headers["x-candor-action"] == "regenerate"
        assert text_in(body, stream=stream) == FINE
        assert candor_in(body) is None
    async with stage(says(FINE, stream=stream), options=ProxyOptions(annotate="all")) as on:
        response, body = await on.chat(stream=stream)
        assert text_in(body, stream=stream) == FINE
        assert (candor_in(body) or {})["action"] == "pass"
