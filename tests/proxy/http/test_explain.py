"""``POST /candor/v1/explain``: the body of a check, answered with what leads to the decision."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.proxy.http.stage import DISPUTE, stage
from tests.proxy.http.test_own import error_of

from candor_guard import Guard, Policy
from candor_guard.explain import explain
from candor_guard.testing import FakeDetector
from candor_proxy.options import ProxyOptions

pytestmark = pytest.mark.anyio

EXPLAIN = "/candor/v1/explain"


def line(reply: str, **more: Any) -> bytes:
    return json.dumps({"messages": DISPUTE, "reply": reply, **more}).encode()


async def test_the_answer_is_the_librarys() -> None:
    """One exchange gets the library's explanation under the proxy's policy; upstream is not asked."""
    async with stage() as on:
        response, body = await on.post(EXPLAIN, line("CAVE"))
        assert on.upstream.calls == []
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    wanted = explain(Guard(FakeDetector(), Policy(probe="never")), DISPUTE, "CAVE").to_dict()
    assert json.loads(body) == json.loads(json.dumps(wanted))
    assert wanted["decision"]["action"] == "regenerate"


async def test_the_proxys_policy_decides() -> None:
    """The explanation names the mode that the proxy runs in."""
    async with stage(mode="observe") as on:
        _, body = await on.post(EXPLAIN, line("CAVE"))
    found = json.loads(body)
    assert (found["mode"], found["decision"]["action"]) == ("observe", "flag")


async def test_lines_are_answered_in_order_with_their_ids() -> None:
    """JSON lines get one explanation each; an id comes back."""
    body = line("CAVE", id="a") + b"\n" + line("Fine.", id=None) + b"\n" + line("CAVE")
    async with stage() as on:
        response, got = await on.post(EXPLAIN, body)
    found = [json.loads(entry) for entry in got.splitlines()]
    assert response.headers["content-type"] == "application/x-ndjson"
    assert [entry["verdict"]["flagged"] for entry in found] == [True, False, True]
    assert [entry.get("id", "none") for entry in found] == ["a", None, "none"]


@pytest.mark.parametrize(
    ("body", "told", "param"),
    [
        (b"", "body is empty", None),
        (b"{", "not valid JSON", None),
        (json.dumps({"messages": DISPUTE}).encode(), "reply must be text", "reply"),
        (b'{"messages": [], "reply": "x"}', "must not be empty", "messages"),
        (line("x") + b"\n" + b'{"reply": "x"}', "exchange 1: ", "messages"),
    ],
)
async def test_bad_bodies_are_the_clients_mistake(
    body: bytes, told: str, param: str | None
) -> None:
    """What cannot be read gets a 400 that says where."""
    async with stage() as on:
        error = await error_of(on, EXPLAIN, body, 400)
    assert told in error["message"]
    assert error["param"] == param


async def test_a_failing_detector_is_a_503() -> None:
    """A detector that raises is not the client's mistake, and its words stay inside."""
    async with stage(detector=FakeDetector(error=ValueError("secretword"))) as on:
        error = await error_of(on, EXPLAIN, line("x"), 503)
    assert error["code"] == "detector_error"
    assert "secretword" not in error["message"]


async def test_bodies_are_bounded() -> None:
    """The limit for requests holds here too."""
    async with stage(options=ProxyOptions(max_request_bytes=64)) as on:
        await error_of(on, EXPLAIN, line("x" * 100), 413)


async def test_nothing_of_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An explanation quotes the conversation; the log does not."""
    async with stage() as on:
        await on.post(EXPLAIN, line("CAVE secretword"))
    assert "secretword" not in caplog.text


async def test_only_post_is_answered() -> None:
    """A GET is no question."""
    async with stage() as on:
        response = await on.client.get(EXPLAIN)
    assert response.status_code == 405
