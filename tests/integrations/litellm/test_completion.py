"""``completion`` and ``acompletion`` of the real LiteLLM, guarded, against a provider on a socket."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import BaseModel
from tests.integrations.litellm.kit import (
    CAVING,
    CLEAN,
    KEY,
    PATIENCE,
    TOOLS,
    Provider,
    both,
    expected,
    guarding,
    integration,
    litellm,
    messages,
    providing,
)

from candor_guard.errors import ConfigurationError, ReplyRefusedError
from candor_guard.guard import Guard
from candor_guard.policy import Policy
from candor_guard.testing import FakeDetector
from candor_proxy.demo.conversations import ScriptedConversation

# LiteLLM's clients warn on their own; those are not ours to mend.
pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore")]

ways = pytest.mark.parametrize("way", ["completion", "acompletion", "Router"])
replies = pytest.mark.parametrize(
    ("entry", "action"), [(CLEAN, "pass"), (CAVING, "regenerate")], ids=["clean", "replaced"]
)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with asyncio.timeout(PATIENCE), providing() as running:
        yield running


def function_of(way: str, provider: Provider) -> Any:
    """Return one of LiteLLM's functions."""
    if way != "Router":
        return getattr(litellm, way)
    params = {"model": "openai/x", "api_base": provider.url, "api_key": KEY}
    return litellm.Router([{"model_name": "openai/x", "litellm_params": params}]).acompletion


async def ask(function: Any, provider: Provider, entry: ScriptedConversation, **more: Any) -> Any:
    """Call one of them: the blocking one in a thread, as its users do."""
    given = {"api_base": provider.url, "api_key": KEY, "max_retries": 0, **more}
    arguments: dict[str, Any] = {"model": "openai/x", "messages": messages(entry), **given}
    if asyncio.iscoroutinefunction(function):
        return await function(**arguments)
    return await asyncio.to_thread(function, **arguments)


async def chunks_of(stream: Any, *, blocking: bool = False) -> list[Any]:
    """Read a stream to its end, in the way that it was made for."""
    if blocking:
        return await asyncio.to_thread(list, stream)
    return [chunk async for chunk in stream]


async def failure_of(function: Any, provider: Provider, **more: Any) -> Exception:
    """Return what a call raises, before or in its stream."""
    try:
        reply = await ask(function, provider, CAVING, **more)
        if more.get("stream"):
            await chunks_of(reply, blocking=not asyncio.iscoroutinefunction(function))
    except Exception as error:  # noqa: BLE001 - which one is the question
        return error
    raise AssertionError("nothing was raised")


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@ways
@replies
async def test_whole_reply(
    provider: Provider, way: str, entry: ScriptedConversation, action: str
) -> None:
    """The reply is LiteLLM's own object, with the right text and the record attached."""
    reply = await ask(
        integration.guard(function_of(way, provider), guard=guarding()), provider, entry
    )
    assert type(reply) is litellm.ModelResponse
    assert reply.choices[0].message.content == expected(entry)
    assert reply.candor["action"] == action
    assert reply._hidden_params["litellm_call_id"]
    assert provider.keys == [f"Bearer {KEY}"] * len(provider.bodies)
    assert len(provider.bodies) == (1 if action == "pass" else 2)


@ways
@replies
async def test_stream(
    provider: Provider, way: str, entry: ScriptedConversation, action: str
) -> None:
    """A stream passes for LiteLLM's own, and has the record once it has ended."""
    guarded = integration.guard(function_of(way, provider), guard=guarding())
    stream = await ask(guarded, provider, entry, stream=True)
    assert isinstance(stream, litellm.CustomStreamWrapper)
    before: object = stream.candor
    assert before is None
    assert stream.custom_llm_provider == "openai"
    chunks = await chunks_of(stream, blocking=way == "completion")
    assert {type(chunk) for chunk in chunks} == {litellm.ModelResponseStream}
    assert text_of(chunks) == expected(entry)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].candor["action"] == stream.candor["action"] == action


@both
async def test_unflagged_objects_are_what_litellm_gave(provider: Provider, stream: bool) -> None:
    """Apart from the record nothing differs from an unguarded call."""
    plain = await ask(litellm.acompletion, provider, CLEAN, stream=stream)
    guard = guarding()
    reply = await ask(
        integration.guard(litellm.acompletion, guard=guard), provider, CLEAN, stream=stream
    )
    before = await chunks_of(plain) if stream else [plain]
    after = await chunks_of(reply) if stream else [reply]
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        fields = new.model_dump() | {"id": old.id, "created": old.created}
        fields.pop("candor", None)
        assert fields == old.model_dump()
    for key in ("response_cost", "model_id", "custom_llm_provider"):
        assert after[0]._hidden_params.get(key) == before[0]._hidden_params.get(key)
    assert provider.bodies[0] == provider.bodies[1]


@both
async def test_repetition_keeps_the_callers_parameters(provider: Provider, stream: bool) -> None:
    """A regeneration differs from the call in its last message, and in nothing else."""
    guarded = integration.guard(litellm.acompletion, guard=guarding())
    more = {"temperature": 0.5, "stop": ["###"], "extra_body": {"own": 1}, "stream": stream}
    reply = await ask(guarded, provider, CAVING, **more)
    if stream:
        await chunks_of(reply)
    first, second = provider.bodies
    assert second["messages"][:-1] == first["messages"][:-1]
    assert second["messages"][-1] != first["messages"][-1]
    assert {**second, "messages": None} == {**first, "messages": None}
    assert second["own"] == 1


async def test_usage_is_summed(provider: Provider) -> None:
    """The usage of a replaced reply counts every call; LiteLLM's own count stays that of one."""
    plain = await ask(litellm.acompletion, provider, CAVING)
    reply = await ask(integration.guard(litellm.acompletion, guard=guarding()), provider, CAVING)
    parts = reply.candor["usage"]
    assert reply.usage.total_tokens > plain.usage.total_tokens
    assert reply.usage.total_tokens == (
        parts["original"]["total_tokens"] + parts["regenerated"]["total_tokens"]
    )


@both
async def test_tool_calls_pass(provider: Provider, stream: bool) -> None:
    """A reply that calls a tool is delivered as it came."""
    guarded = integration.guard(litellm.acompletion, guard=guarding())
    reply = await ask(guarded, provider, CAVING, tools=TOOLS, stream=stream)
    if stream:
        chunks = await chunks_of(reply)
        calls = [c for chunk in chunks for c in chunk.choices[0].delta.tool_calls or ()]
        record = reply.candor
    else:
        calls = reply.choices[0].message.tool_calls
        record = reply.candor
    assert [call.function.name for call in calls] == ["look_up"]
    assert record["skipped"] == "tool_calls"
    assert len(provider.bodies) == 1


@ways
@both
@pytest.mark.parametrize("status", [401, 404, 429, 500])
async def test_errors_are_litellms_own(
    provider: Provider, way: str, stream: bool, status: int
) -> None:
    """Whatever LiteLLM raises comes out unchanged, when and as it would without a guard."""
    provider.status = status
    more = {"stream": stream, "num_retries": 0}
    plain = await failure_of(function_of(way, provider), provider, **more)
    guarded = integration.guard(function_of(way, provider), guard=guarding())
    error = await failure_of(guarded, provider, **more)
    assert type(error) is type(plain)
    assert getattr(error, "status_code", None) == getattr(plain, "status_code", None)


@pytest.mark.parametrize("way", ["completion", "acompletion"])
@pytest.mark.parametrize("at_risk", [False, True], ids=["running", "held"])
async def test_stream_that_breaks_off(provider: Provider, way: str, at_risk: bool) -> None:
    """A stream that breaks off raises what LiteLLM raises, never ends as if it were whole."""
    provider.breaks = True
    guard = Guard(FakeDetector(at_risk=at_risk), Policy(probe="never"))
    plain = await failure_of(getattr(litellm, way), provider, stream=True)
    guarded = integration.guard(getattr(litellm, way), guard=guard)
    error = await failure_of(guarded, provider, stream=True)
    assert type(error) is type(plain)


@ways
@both
async def test_failed_regeneration_costs_nothing(
    provider: Provider, way: str, stream: bool
) -> None:
    """A provider that fails when it is asked again: the first reply is delivered, flagged."""
    provider.repeats = "fail"
    guarded = integration.guard(function_of(way, provider), guard=guarding())
    reply = await ask(guarded, provider, CAVING, stream=stream, num_retries=0)
    if stream:
        text = text_of(await chunks_of(reply, blocking=way == "completion"))
    else:
        text = reply.choices[0].message.content
    assert text == CAVING.pleasing
    assert reply.candor["action"] == "flag"


@both
async def test_refused_reply(provider: Provider, stream: bool) -> None:
    """What the policy refuses raises ReplyRefusedError with the record."""
    provider.repeats = "please"
    guarded = integration.guard(litellm.acompletion, guard=guarding(on_unresolved="refuse"))
    error = await failure_of(guarded, provider, stream=stream)
    assert isinstance(error, ReplyRefusedError)
    assert error.candor["action"] == "block"


async def test_closing_a_stream_closes_the_providers_connection(provider: Provider) -> None:
    """An abandoned stream costs no further tokens."""
    provider.stalls = True
    guard = Guard(FakeDetector(at_risk=False))
    stream = await ask(
        integration.guard(litellm.acompletion, guard=guard), provider, CAVING, stream=True
    )
    assert text_of([await anext(stream), await anext(stream)]) == "a "
    await stream.aclose()
    async with asyncio.timeout(1):
        await provider.left.wait()


async def test_dropped_stream_closes_the_providers_connection(provider: Provider) -> None:
    """A stream that is just dropped is closed, too."""
    provider.stalls = True
    guard = Guard(FakeDetector(at_risk=False))
    stream = await ask(
        integration.guard(litellm.acompletion, guard=guard), provider, CAVING, stream=True
    )
    await anext(stream)
    del stream
    gc.collect()
    async with asyncio.timeout(1):
        await provider.left.wait()


async def test_call_that_json_cannot_hold(caplog: pytest.LogCaptureFixture) -> None:
    """A call with a circle in it goes on as it is, and the log says that it was not guarded."""
    circle: dict[str, Any] = {}
    circle["self"] = circle

    async def acompletion(**given: Any) -> Any:
        return given

    guarded = integration.guard(acompletion, guard=guarding())
    given = await guarded(model="m", messages=messages(CAVING), logit_bias=circle)
    assert given["logit_bias"] is circle
    assert "not guarded" in caplog.text


async def test_closing_a_blocking_stream(provider: Provider) -> None:
    """The same for the blocking function: closing ends the iteration."""
    guarded = integration.guard(litellm.completion, guard=guarding())
    stream = await ask(guarded, provider, CAVING, stream=True)

    def part() -> list[Any]:
        first = next(stream)
        stream.close()
        return [first, *stream]

    assert len(await asyncio.to_thread(part)) == 1


async def test_many_threads_share_a_guarded_function(provider: Provider) -> None:
    """Calls side by side do not mix."""
    guarded = integration.guard(litellm.completion, guard=guarding())
    given = {"api_base": provider.url, "api_key": KEY}

    def one(entry: ScriptedConversation) -> bool:
        reply = guarded("openai/x", messages(entry), **given)
        return bool(reply.choices[0].message.content == expected(entry))

    with ThreadPoolExecutor(8) as pool:
        loop = asyncio.get_running_loop()
        entries = [CLEAN, CAVING] * 8
        done = await asyncio.gather(*[loop.run_in_executor(pool, one, e) for e in entries])
    assert all(done)
    # LiteLLM keeps a client for each thread, with open sockets; not to be found by a later test.
    litellm.in_memory_llm_clients_cache.flush_cache()
    gc.collect()


async def test_call_without_messages_is_litellms_to_refuse(provider: Provider) -> None:
    """Senseless calls raise what they raise without a guard."""
    guarded = integration.guard(litellm.acompletion, guard=guarding())
    senseless: list[dict[str, Any]] = [{}, {"messages": []}, {"messages": 5}]
    for given in senseless:
        call = {"model": "openai/x", "api_base": provider.url, "api_key": KEY, "max_retries": 0}
        errors = []
        for function in (litellm.acompletion, guarded):
            try:
                await function(**call, **given)
            except Exception as error:  # noqa: BLE001 - which one is the question
                errors.append(type(error))
        assert errors[:1] == errors[1:]


async def test_answer_as_a_model_class(provider: Provider) -> None:
    """A class as the response_format reaches LiteLLM as it is; a reply in words is not replaced."""

    class Answer(BaseModel):
        text: str

    guarded = integration.guard(litellm.acompletion, guard=guarding())
    reply = await ask(guarded, provider, CAVING, response_format=Answer)
    assert [b["response_format"]["type"] for b in provider.bodies] == ["json_schema"] * len(
        provider.bodies
    )
    assert reply.candor["delivered"] == "original"  # the honest reply is no JSON either


def test_functions_stay_what_they_were() -> None:
    """A coroutine function stays one, and keeps its name."""
    assert asyncio.iscoroutinefunction(integration.guard(litellm.acompletion, guard=guarding()))
    assert integration.guard(litellm.completion, guard=guarding()).__name__ == (
        litellm.completion.__name__
    )


@pytest.mark.parametrize("wrong", [litellm, None, "completion", litellm.Router])
def test_wrong_object_is_refused(wrong: Any) -> None:
    """What is no function gets an error that says what to do."""
    with pytest.raises(ConfigurationError, match=r"guard\(litellm.completion\)"):
        integration.guard(wrong)


def test_guarded_function_is_refused() -> None:
    """Guarding twice would judge and repeat twice."""
    guarded = integration.guard(litellm.completion, guarding())
    with pytest.raises(ConfigurationError, match="already"):
        integration.guard(guarded)


def test_missing_extra_says_what_to_install() -> None:
    """Without LiteLLM the import fails with the name of the extra."""
    code = (
        "import sys; sys.modules['litellm'] = None\n"
        "import candor_guard.errors as e\n"
        "try: import candor_guard.integrations.litellm\n"
        "except e.MissingExtraError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "candor-guard[litellm]" in done.stdout
