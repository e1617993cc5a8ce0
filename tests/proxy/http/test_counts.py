"""Every guarded request is counted once, however it ends, and its end can be told from the others."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from tests.proxy.http.stage import CHAT, raw_request, request_body, stage
from tests.proxy.http.test_disconnect import noticed
from tests.proxy.http.upstream import Cut, Piece, Play, head, says, streamed

from candor_guard.testing import FakeDetector, chat_stream
from candor_proxy.options import ProxyOptions

pytestmark = pytest.mark.anyio
APP = "x-candor-app"
FRAMES = chat_stream(["It ", "is ", "56."])
HALF = FRAMES[: FRAMES.index(b"\n\n") + 2]
UNREACHABLE, TOO_LATE, BROKE_OFF = (
    "UpstreamUnreachableError", "UpstreamTimeoutError", "UpstreamInterruptedError",
)  # fmt: skip
AT_RISK = pytest.mark.parametrize("at_risk", [False, True], ids=["relayed", "held"])


def ends(counts: dict[str, float], mode: str = "enforce") -> dict[str, int]:
    """The requests by action; the app's own counts must agree, and without an end none was read."""
    whole, of_app = Counter[str](), Counter[str]()
    for name, count in counts.items():
        found = re.match(r'candor_(app_)?requests_total\{action="(\w+)"', name)
        if found is None:
            continue
        (of_app if found[1] else whole)[found[2]] += int(count)
        if found[2] in ("failed", "abandoned"):
            assert 'evaluated="none"' in name
            assert found[1] or name.endswith(f'mode="{mode}",surface="chat"}}')
    assert whole == of_app
    return dict(whole)


FAILURES: dict[str, Play] = {
    "no answer": (Cut.CLOSE,),
    "silence": (20.0,),
    "half a body": streamed(HALF, Cut.RESET),
}


@AT_RISK
@pytest.mark.parametrize("failure", FAILURES)
async def test_a_request_that_the_upstream_fails(failure: str, at_risk: bool) -> None:
    """A reply that never comes, or breaks off, is one failed request, whatever was delivered."""
    detector, upstream = FakeDetector(at_risk=at_risk), {"read_timeout": 0.1}
    async with stage(FAILURES[failure], detector=detector, upstream=upstream) as on:
        with contextlib.suppress(httpx2.RemoteProtocolError):
            await on.chat({APP: "shop"}, stream=True)
        assert ends(await on.counts()) == {"failed": 1}


@dataclass(frozen=True, slots=True)
class Leaving:
    """When a client leaves: what the upstream plays until then, the call that it is at, the modes."""

    plays: tuple[Play, ...]
    call: int = 1
    modes: tuple[str, ...] = ("off", "observe", "enforce")


LEAVINGS = {
    "before an answer": Leaving(((20.0,),)),
    "half a body": Leaving((streamed(HALF, 20.0),)),
    "a regeneration": Leaving((says("CAVE in", stream=True), (20.0,)), 2, ("enforce",)),
}


@pytest.mark.parametrize(
    ("when", "mode"), [(when, mode) for when, leaving in LEAVINGS.items() for mode in leaving.modes]
)
async def test_a_request_whose_client_leaves(when: str, mode: str) -> None:
    """A client that does not wait for its reply's end leaves one abandoned request."""
    leaving = LEAVINGS[when]
    async with stage(*leaving.plays) as on, on.wire() as wire:
        headers = f"{APP}: shop", f"x-candor-mode: {mode}"
        await wire.send(raw_request(request_body(stream=True), CHAT, *headers))
        await on.upstream.called(leaving.call)
        wire.leave()
        await noticed(on)
        assert ends(await on.counts(), mode) == {"abandoned": 1}


async def test_a_request_that_was_answered_is_never_counted_again() -> None:
    """Outcomes, refusals by policy and an upstream's own errors count once, as what they are."""
    error = (head("content-length: 2", status="500 X"), b"{}")
    plays = says("It is 56."), says("CAVE in"), says("CAVE in"), error
    async with stage(*plays, on_unresolved="refuse", max_attempts=1) as on:
        for _ in range(3):
            await on.chat({APP: "shop"})
        assert ends(await on.counts()) == {"pass": 2, "block": 1}


async def test_a_request_that_is_refused_is_none() -> None:
    """A body that cannot be read counts as invalid alone."""
    async with stage() as on:
        await on.post(CHAT, b"{", {APP: "shop"})
        assert ends(await on.counts()) == {}


BEGUN = (head("content-type: application/json", "content-length: 99"), b"{")
FURTHER: dict[str, tuple[tuple[Piece, ...], str | None]] = {
    "no answer": ((Cut.CLOSE,), UNREACHABLE),
    "half a body": ((*BEGUN, Cut.CLOSE), BROKE_OFF),
    "silence": ((20.0,), TOO_LATE),
    "half a body, then silence": ((*BEGUN, 20.0), TOO_LATE),
    "an error status": ((head("content-length: 2", status="500 X"), b"{}"), None),
}


@pytest.mark.parametrize("purpose", ["probe", "regeneration"])
@pytest.mark.parametrize("failure", FURTHER)
async def test_a_further_call_that_the_upstream_fails(failure: str, purpose: str) -> None:
    """A probe or regeneration without an answer is a failure of the upstream; the request is none."""
    play, kind = FURTHER[failure]
    again, probe = (says("It is 56."), "uncertain") if purpose == "probe" else (play, "never")
    policy: dict[str, Any] = {"probe": probe}
    if kind == TOO_LATE:
        policy[f"max_{purpose}_seconds"] = 0.1
    async with stage(says("CAVE in"), again, probes=(play,), **policy) as on:
        await on.chat({APP: "shop"})
        counts = await on.counts()
    assert ends(counts) == {"regenerate" if purpose == "probe" else "flag": 1}
    start = "candor_upstream_errors_total"
    errors = {name: count for name, count in counts.items() if name.startswith(start)}
    assert errors == ({f'{start}{{kind="{kind}"}}': 1.0} if kind else {})


REFUSED = {
    "an unknown path": (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", 404),
    "a base URL with /v1": (raw_request(request_body(), "/v1/v1/chat/completions"), 404),
    "a verb": (b"GET /candor/v1/check HTTP/1.1\r\nhost: x\r\n\r\n", 405),
    "a verb of the API": (b"TRACE /v1/models HTTP/1.1\r\nhost: x\r\n\r\n", 405),
    "an odd exchange": (raw_request(b"{}", "/candor/v1/check"), 400),
    "no exchange": (raw_request(b"[", "/candor/v1/explain"), 400),
    "half an exchange": (raw_request(b"{" * 9, "/candor/v1/check")[:-1], 408),
    "half an upload": (raw_request(b"{" * 9, "/v1/files")[:-1], 408),
    "a large exchange": (raw_request(b" " * 2000, "/candor/v1/check"), 413),
    "a long batch": (raw_request(b"{}\n" * 10_001, "/candor/v1/explain"), 413),
}


@pytest.mark.parametrize("refused", REFUSED)
async def test_what_the_proxy_refuses(refused: str) -> None:
    """Every 4xx of the proxy's own counts once, on whatever path."""
    request, status = REFUSED[refused]
    room = 1000 if refused == "a large exchange" else 1_000_000
    options = ProxyOptions(max_request_bytes=room, body_timeout=0.2)
    async with stage((20.0,), options=options) as on, on.wire() as wire:
        await wire.send(request)
        assert (await wire.head()).startswith(f"HTTP/1.1 {status} ".encode())
        counts = await on.counts()
    start = "candor_invalid_requests_total"
    found = {name: count for name, count in counts.items() if name.startswith(start)}
    assert found == {f'{start}{{status="{status}"}}': 1.0}
    assert ends(counts) == {}


async def test_who_leaves_a_batch() -> None:
    """A client that leaves while its exchanges are read counts as one that left, not as refused."""
    async with stage() as on, on.wire() as wire:
        await wire.send(raw_request(b"{" * 9, "/candor/v1/check")[:-1])
        await asyncio.sleep(0.05)
        wire.leave()
        await noticed(on)
        counts = await on.counts()
    assert not [name for name in counts if name.startswith("candor_invalid_requests_total")]
