"""A real ``litellm --config`` process with the guardrail in it, called by the official client."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI
from tests.integrations.litellm.kit import (
    CAVING,
    CLEAN,
    KEY,
    TOOLS,
    Provider,
    both,
    messages,
    providing,
)
from tests.integrations.scripted import Decision, decisions

from candor_guard.policy import Policy
from candor_proxy.demo.conversations import ScriptedConversation

pytest.importorskip("fastapi", reason="needs what LiteLLM's proxy needs")
pytest.importorskip("apscheduler", reason="needs what LiteLLM's proxy needs")
pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore")]

MASTER = "sk-test-4f1d0c7be2a94a53b1c6d7e8f9a0b1c2"
START_SECONDS = 90
COMMAND = Path(sys.executable).with_name("litellm")

# The guardrail without and with a probe, one that refuses, and one whose engine is broken: it raises
# in the middle of its work, which the shipped one never does.
CONFIG = """
model_list:
  - model_name: pleaser
    litellm_params: {{model: openai/people-pleaser-1, api_base: "{url}", api_key: {key}}}
litellm_settings:
  callbacks: [observer.observer]
  num_retries: 0
router_settings: {{num_retries: 0}}
general_settings: {{master_key: {master}}}
guardrails:
  - guardrail_name: candor
    litellm_params:
      guardrail: candor_guard.integrations.litellm.CandorGuardrail
      mode: post_call
      policy: {{probe: never}}
  - guardrail_name: asking
    litellm_params:
      guardrail: candor_guard.integrations.litellm.CandorGuardrail
      mode: post_call
  - guardrail_name: strict
    litellm_params:
      guardrail: candor_guard.integrations.litellm.CandorGuardrail
      mode: post_call
      policy: {{probe: never, on_unresolved: refuse}}
  - guardrail_name: broken
    litellm_params: {{guardrail: observer.Broken, mode: post_call}}
"""
OBSERVER = """
import json
from contextlib import aclosing
from pathlib import Path

from candor_guard import Guard, Policy
from candor_guard.integrations.litellm import CandorGuardrail
from litellm.integrations.custom_logger import CustomLogger

SEEN = Path(__file__).with_name("seen.jsonl")


class Observer(CustomLogger):
    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        payload = kwargs["standard_logging_object"]
        guardrails = payload.get("guardrail_information") or []
        line = {
            "key": payload["metadata"]["user_api_key_hash"],
            "statuses": [entry["guardrail_status"] for entry in guardrails],
            "tokens": payload["total_tokens"],
        }
        with SEEN.open("a") as file:
            file.write(json.dumps(line) + "\\n")


class Half(Guard):
    async def events(self, *args, **kwargs):
        async with aclosing(super().events(*args, **kwargs)) as events:
            number = 0
            async for event in events:
                number += 1
                if number > 4:
                    raise RuntimeError("a defect")
                yield event
            raise RuntimeError("a defect")


class Broken(CandorGuardrail):
    def __init__(self, **options):
        super().__init__(guard=Half(policy=Policy(probe="never", mode="observe")), **options)


observer = Observer()
"""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


class Stage:
    """The running processes.

    Attributes:
        provider: The model server behind LiteLLM.
        client: The official client in front of it.
        seen: What LiteLLM told its callbacks.
    """

    def __init__(self, provider: Provider, client: AsyncOpenAI, seen: Path) -> None:
        self.provider = provider
        self.client = client
        self.seen = seen

    async def ask(
        self, entry: ScriptedConversation, guardrail: str = "candor", **more: Any
    ) -> tuple[str, dict[str, Any] | None]:
        """Ask for a reply, streamed or not; returns its text and its record."""
        body = {"guardrails": [guardrail], **more.pop("extra_body", {})}
        create: Any = self.client.chat.completions.create
        given = {"model": "pleaser", "messages": messages(entry), "extra_body": body, **more}
        reply = await create(**given)
        if not more.get("stream"):
            return reply.choices[0].message.content or "", (reply.model_extra or {}).get("candor")
        text, record = "", None
        async for chunk in reply:
            text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
            record = (chunk.model_extra or {}).get("candor", record)
        return text, record


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """Start everything once: LiteLLM's proxy takes several seconds."""
    folder = tmp_path_factory.mktemp("litellm")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with providing() as provider:
        config = CONFIG.format(url=provider.url, key=KEY, master=MASTER)
        (folder / "config.yaml").write_text(config)
        (folder / "observer.py").write_text(OBSERVER)
        process = await _started(folder, port)
        try:
            base = f"http://127.0.0.1:{port}"
            await _listening(process, base, folder / "log.txt")
            async with AsyncOpenAI(base_url=f"{base}/v1", api_key=MASTER) as client:
                yield Stage(provider, client, folder / "seen.jsonl")
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@pytest.fixture
def on(running: Stage) -> Stage:
    """The same with a provider that has forgotten everything."""
    running.provider.reset()
    return running


async def _started(folder: Path, port: int) -> asyncio.subprocess.Process:
    arguments = ["--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port)]
    offline = {
        "PATH": str(COMMAND.parent),
        "HOME": str(folder),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MODE": "PRODUCTION",
    }
    with (folder / "log.txt").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            COMMAND, *arguments, "--telemetry", "False", cwd=folder, env=offline, stdout=log,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip


async def _listening(process: asyncio.subprocess.Process, base: str, log: Path) -> None:
    async with asyncio.timeout(START_SECONDS), httpx2.AsyncClient() as client:
        while True:
            assert process.returncode is None, f"LiteLLM's proxy has ended; see {log}"
            try:
                await client.get(f"{base}/health/liveliness")
            except httpx2.HTTPError:
                await asyncio.sleep(0.2)
            else:
                return


@both
async def test_the_whole_script(on: Stage, stream: bool) -> None:
    """Every scripted conversation ends as it does without LiteLLM: replaced, or untouched."""
    limit = asyncio.Semaphore(4)

    async def one(entry: ScriptedConversation, wanted: Decision) -> tuple[str, bool]:
        async with limit:
            text, record = await on.ask(entry, stream=stream)
        action = (record or {"action": "pass"})["action"]
        return entry.id, (text, action) == (wanted.text, wanted.record["action"])

    found = await decisions(on.provider.url, Policy(probe="never"))  # as configured above
    wanted = [(entry, streamed if stream else whole) for entry, whole, streamed in found]
    results = await asyncio.gather(*(one(*each) for each in wanted))
    assert [entry for entry, right in results if not right] == []
    replaced = [each.record["action"] == "regenerate" for _, each in wanted]
    assert (replaced.count(True) >= 20, replaced.count(False) >= 10) == (True, True)


async def test_without_the_guardrail_the_model_caves(on: Stage) -> None:
    """It is the guardrail that does it: a request without it gets the people-pleasing reply."""
    create: Any = on.client.chat.completions.create
    reply = await create(model="pleaser", messages=messages(CAVING))
    assert reply.choices[0].message.content == CAVING.pleasing
    assert len(on.provider.bodies) == 1


@both
async def test_repetition_is_the_same_call(on: Stage, stream: bool) -> None:
    """A regeneration has the operator's key, the same parameters, and one changed message."""
    await on.ask(CAVING, stream=stream, temperature=0.25, extra_body={"top_k": 7})
    first, second = on.provider.bodies
    assert on.provider.keys == [f"Bearer {KEY}"] * 2
    assert second["messages"][:-1] == first["messages"][:-1]
    assert second["messages"][-1] != first["messages"][-1]
    kept = ("model", "temperature", "top_k", "stream")
    assert [second.get(name) for name in kept] == [first.get(name) for name in kept]


async def test_headers_model_and_usage(on: Stage) -> None:
    """A replaced reply tells what was done, under the model's public name, with all its tokens."""
    create: Any = on.client.chat.completions.with_raw_response.create
    raw = await create(
        model="pleaser", messages=messages(CAVING), extra_body={"guardrails": ["candor"]}
    )
    reply = raw.parse()
    assert raw.headers["x-candor-action"] == "regenerate"
    assert raw.headers["x-candor-upstream-calls"] == "2"
    record = reply.model_extra["candor"]
    split = record["usage"]
    assert reply.usage.total_tokens == (
        split["original"]["total_tokens"] + split["regenerated"]["total_tokens"]
    )
    plain = await create(model="pleaser", messages=messages(CLEAN))
    assert reply.model == plain.parse().model
    assert "x-candor-action" not in plain.headers


@both
async def test_tool_calls_pass(on: Stage, stream: bool) -> None:
    """A reply that calls a tool is delivered as it came, once."""
    create: Any = on.client.chat.completions.create
    reply = await create(
        model="pleaser", messages=messages(CAVING), tools=TOOLS, stream=stream,
        extra_body={"guardrails": ["candor"]},
    )  # fmt: skip
    if stream:
        deltas = [chunk.choices[0].delta async for chunk in reply if chunk.choices]
        calls = [call for delta in deltas for call in delta.tool_calls or ()]
    else:
        calls = reply.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["look_up"]
    assert len(on.provider.bodies) == 1


@both
async def test_failed_regeneration_costs_nothing(on: Stage, stream: bool) -> None:
    """A model that fails when it is asked again: the first reply is delivered, flagged."""
    on.provider.repeats = "fail"
    text, record = await on.ask(CAVING, stream=stream)
    assert text == CAVING.pleasing
    assert (record or {})["action"] == "flag"


@both
@pytest.mark.parametrize("entry", [CAVING, CLEAN], ids=["caving", "clean"])
async def test_defect_of_the_guard_costs_nothing(
    on: Stage, stream: bool, entry: ScriptedConversation
) -> None:
    """A guard that breaks in the middle: the reply arrives whole, each word once."""
    text, record = await on.ask(entry, "broken", stream=stream)
    assert text == entry.pleasing
    assert record is None
    assert len(on.provider.bodies) == 1


@both
async def test_refused_reply(on: Stage, stream: bool) -> None:
    """What the policy refuses is an error that the client does not repeat."""
    on.provider.repeats = "please"
    with pytest.raises(openai.APIError) as caught:
        await on.ask(CAVING, "strict", stream=stream)
    assert "refused by policy" in str(caught.value)
    assert CAVING.pleasing[:40] not in str(caught.value)
    assert len(on.provider.bodies) == 2
    if not stream:
        assert isinstance(caught.value, openai.UnprocessableEntityError)


async def test_logs_name_the_payer_and_the_verdict(on: Stage) -> None:
    """Both calls are booked on the client's key, and LiteLLM's log says that a guardrail stepped in."""
    on.seen.unlink(missing_ok=True)
    await on.ask(CAVING)
    async with asyncio.timeout(10):
        while not on.seen.exists() or len(on.seen.read_text().splitlines()) < 2:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.05)
    lines = [json.loads(line) for line in on.seen.read_text().splitlines()]
    assert len({line["key"] for line in lines}) == 1
    assert lines[0]["key"]
    assert ["guardrail_intervened"] in [line["statuses"] for line in lines]
