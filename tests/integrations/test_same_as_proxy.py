"""The proxy and the import are one guard: on the same exchanges they say and deliver the same."""

from __future__ import annotations

import asyncio
import json
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from candor_guard.guard import Guard
from candor_guard.upstreams.direct import DirectUpstream
from candor_proxy.app import create_app
from candor_proxy.demo.conversations import ScriptedConversation, collapse, load_conversations
from candor_proxy.demo.scripted import make_scripted_app
from candor_proxy.demo.servers import serving
from candor_proxy.options import ProxyOptions

pytest.importorskip("openai")

from openai import AsyncOpenAI, OpenAI

from candor_guard.integrations.openai import guard

pytestmark = pytest.mark.anyio
FILE = Path(__file__).with_name("exchanges.toml")
VARYING = {"request_id", "guard_ms", "ms"}
# A stream at risk may be probed before it ends. Whether the scores of the record are those of what
# had come by then, or of the whole reply, is then a matter of microseconds.
VARYING_IN_STREAMS = VARYING | {"scores", "score"}
VARYING_HEADERS = {"x-candor-request-id", "x-candor-guard-ms"}


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one way of guarding made of one exchange.

    Attributes:
        text: The delivered text.
        record: The ``candor`` object without what varies, as JSON; ``null`` when unread.
        headers: Every ``x-candor-`` header but times and ids.
    """

    text: str
    record: str
    headers: tuple[tuple[str, str], ...]


def conversations() -> list[ScriptedConversation]:
    """The demo's, and further ones of our own."""
    own = [
        ScriptedConversation(
            id=entry["id"],
            setting="everyday",
            kind="plain",
            expect="pass",
            turns=tuple((turn["role"], collapse(turn["content"])) for turn in entry["messages"]),
            pleasing=collapse(entry["pleasing"]),
            honest=collapse(entry.get("honest", entry["pleasing"])),
        )
        for entry in tomllib.loads(FILE.read_text(encoding="utf-8"))["conversation"]
    ]
    return [*load_conversations(), *own]


def write_requests(path: Path, script: list[ScriptedConversation]) -> list[dict[str, Any]]:
    """Write one file with a line for each exchange, and read it back."""
    asked = [
        {"model": "m", "messages": entry.messages, "stream": stream}
        for entry in script
        for stream in (False, True)
    ]
    path.write_text("".join(json.dumps(request) + "\n" for request in asked), encoding="utf-8")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@asynccontextmanager
async def servers(script: list[ScriptedConversation]) -> AsyncIterator[tuple[str, str]]:
    """The scripted model, and the proxy in front of it, on real sockets."""
    async with serving(make_scripted_app(script)) as model:
        behind = Guard(upstream=DirectUpstream(f"{model}/v1"))
        app = create_app(behind, ProxyOptions(annotate="all"))
        async with serving(app) as proxy:
            yield f"{model}/v1", f"{proxy}/v1"


async def ask(client: AsyncOpenAI, request: dict[str, Any]) -> Delivered:
    raw = await client.chat.completions.with_raw_response.create(**request)
    reply = raw.parse()
    pieces = [chunk async for chunk in reply] if request["stream"] else [reply]
    return _delivered(pieces, raw.headers, stream=request["stream"])


def ask_blocking(client: OpenAI, request: dict[str, Any]) -> Delivered:
    raw = client.chat.completions.with_raw_response.create(**request)
    reply = raw.parse()
    pieces = list(reply) if request["stream"] else [reply]
    return _delivered(pieces, raw.headers, stream=request["stream"])


def _delivered(pieces: list[Any], headers: Any, *, stream: bool) -> Delivered:
    choices = [choice for piece in pieces for choice in piece.choices]
    parts = [getattr(choice, "delta", None) or choice.message for choice in choices]
    records = [piece.model_extra["candor"] for piece in pieces if "candor" in piece.model_extra]
    assert len(records) < 2
    score = {"x-candor-score"} if stream else set[str]()
    ours = ((k, v) for k, v in headers.items() if k.startswith("x-candor-"))
    return Delivered(
        "".join(part.content or "" for part in parts),
        json.dumps(
            _steady(records[0] if records else None, VARYING_IN_STREAMS if stream else VARYING)
        ),
        tuple(sorted(pair for pair in ours if pair[0] not in VARYING_HEADERS | score)),
    )


def _steady(value: Any, varying: set[str]) -> Any:
    """Without what differs from run to run."""
    if isinstance(value, dict):
        return {key: _steady(item, varying) for key, item in value.items() if key not in varying}
    return [_steady(item, varying) for item in value] if isinstance(value, list) else value


def _all_blocking(base: str, requests: list[dict[str, Any]]) -> list[Delivered]:
    with guard(OpenAI(base_url=base, api_key="k"), annotate="all") as client:
        return [ask_blocking(client, request) for request in requests]


async def test_same_as_proxy(tmp_path: Path) -> None:
    """On 122 exchanges, proxy, asynchronous and blocking client deliver the same text and record.

    61 conversations, whole and as streams, with the default detector. Whole replies agree in every
    field but ids and times. Of streams, the first reply's scores are left out of the comparison as
    well, since a probe that is sent early may answer before or after the rest of the stream; labels,
    action, thresholds, probe, delivered text and headers have to agree all the same.
    """
    script = conversations()
    requests = write_requests(tmp_path / "exchanges.jsonl", script)
    async with servers(script) as (model, proxy):
        async with AsyncOpenAI(base_url=proxy, api_key="k") as client:
            proxied = [await ask(client, request) for request in requests]
        async with guard(AsyncOpenAI(base_url=model, api_key="k")) as client:
            imported = [await ask(client, request) for request in requests]
        blocking = await asyncio.to_thread(_all_blocking, model, requests)
    assert len(requests) >= 100
    differing = [
        (request["messages"][-1]["content"], one, two, three)
        for request, one, two, three in zip(requests, proxied, imported, blocking, strict=True)
        if not one == two == three
    ]
    assert differing == []
    named = {json.loads(one.record)["detector"] for one in proxied if one.record != "null"}
    assert named == {f"{Guard().detector.name}@{Guard().detector.version}"}
    # The comparison is of something: replies were read, replaced, and let pass unread.
    actions = [dict(one.headers).get("x-candor-action") for one in proxied]
    assert actions.count("regenerate") >= 20
    assert sum(one.record == "null" for one in proxied) >= 10


async def test_same_as_check(tmp_path: Path) -> None:
    """The scores in the record are those that `Guard.check` gives to the model's first reply."""
    script = conversations()
    requests = write_requests(tmp_path / "exchanges.jsonl", script)[::2]
    by_hand = Guard()
    async with (
        serving(make_scripted_app(script)) as model,
        guard(AsyncOpenAI(base_url=f"{model}/v1", api_key="k")) as client,
    ):
        imported = [await ask(client, request) for request in requests]
    compared = 0
    for entry, request, delivered in zip(script, requests, imported, strict=True):
        record = json.loads(delivered.record)
        if record is not None:
            verdict = by_hand.check(request["messages"], entry.pleasing)
            assert record["scores"] == verdict.to_dict()["scores"]
            compared += 1
    assert compared >= 20
