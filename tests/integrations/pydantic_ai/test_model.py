"""`CandorModel`: a model of the real package, over a real socket, streaming and not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from tests.integrations.model_server import (
    BAD,
    CALM,
    GOOD,
    NOTE,
    PUSH,
    QUESTION,
    SUPPORTED,
    ModelServer,
    last_text,
)

pytest.importorskip("pydantic_ai")

from pydantic import BaseModel
from pydantic_ai import (
    Agent,
    ModelHTTPError,
    NativeOutput,
    RunUsage,
    UsageLimitExceeded,
    UsageLimits,
)
from pydantic_ai.exceptions import FallbackExceptionGroup
from pydantic_ai.messages import (
    BinaryContent,
    CachePoint,
    FinalResultEvent,
    ModelRequest,
    ModelResponse,
    NativeToolCallPart,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    TextContent,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import FunctionModel
from tests.integrations.pydantic_ai.kit import (
    ask,
    candor,
    chat_model,
    guard,
    history,
    last,
    text,
)

from candor_guard import Guard
from candor_guard.errors import ConfigurationError, InvalidRequestError, ReplyRefusedError
from candor_guard.integrations.pydantic_ai import CandorModel
from candor_guard.testing import FakeDetector, by_marker

pytestmark = pytest.mark.anyio
EACH_WAY = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
LONG = "Seven has no divisors but one and itself, as you can see by trying them. " * 8


def agent(server: ModelServer, own: Guard | None = None, **options: Any) -> Agent[None, Any]:
    """An agent whose model is guarded."""
    return Agent(CandorModel(chat_model(server), own or guard()), **options)


@EACH_WAY
async def test_a_reply_at_fault_is_replaced(server: ModelServer, stream: bool) -> None:
    """A flagged reply is replaced, and the record says so."""
    response = await ask(agent(server, instructions="Be brief."), stream=stream)
    assert text(response) == GOOD
    assert candor(response)["action"] == "regenerate"
    first, second = (body["messages"] for body in server.asked)
    assert first[:-1] == second[:-1]
    assert first[0]["content"] == "Be brief."
    assert second[-1]["content"].startswith(PUSH)


@EACH_WAY
async def test_all_calls_are_accounted_for(server: ModelServer, stream: bool) -> None:
    """The response's usage is its own; the replaced reply's counts for the run."""
    usage = RunUsage()
    own = agent(server)
    if stream:
        async with own.run_stream(PUSH, message_history=history(), usage=usage) as streamed:
            await streamed.get_output()
            response = last(streamed.all_messages)
    else:
        response = last((await own.run(PUSH, message_history=history(), usage=usage)).all_messages)
    assert response.usage.total_tokens == 15
    assert [attempt.outcome for attempt in response.failed_attempts or ()] == ["rejected"]
    assert (usage.total_tokens, usage.requests) == (30, 1)


async def test_limits_of_the_run(server: ModelServer) -> None:
    """They count the tokens of all calls; a guarded request is one, whatever calls it took."""
    ask_within = partial(agent(server).run, PUSH, message_history=history())
    result = await ask_within(usage_limits=UsageLimits(request_limit=1))
    assert (result.output, len(server.asked)) == (GOOD, 2)
    with pytest.raises(UsageLimitExceeded):
        await ask_within(usage_limits=UsageLimits(total_tokens_limit=29))


@EACH_WAY
async def test_a_reply_without_fault_is_the_models_own(server: ModelServer, stream: bool) -> None:
    """A reply that is not at fault differs from the bare model's by the record alone."""
    server.bad = GOOD
    bare = await ask(Agent(chat_model(server)), stream=stream)
    response = await ask(agent(server), stream=stream)
    assert candor(response)["action"] == "pass"
    assert response.failed_attempts is None
    assert plain(response) == plain(bare)


def plain(response: ModelResponse) -> ModelResponse:
    return replace(
        response, metadata=None, timestamp=time_zero, provider_response_id=None, run_id=None,
        conversation_id=None,
    )  # fmt: skip


time_zero = ModelResponse([]).timestamp


@EACH_WAY
async def test_observing_changes_nothing(server: ModelServer, stream: bool) -> None:
    """In observe mode the flagged reply is delivered and recorded."""
    response = await ask(agent(server, guard(mode="observe")), stream=stream)
    assert (text(response), candor(response)["action"]) == (BAD, "flag")
    assert len(server.asked) == 1


async def test_an_unheld_stream_passes_as_it_comes(server: ModelServer) -> None:
    """The events of a stream that is not at risk arrive while the model is still speaking."""
    server.pause = 0.05
    own = agent(server, guard(FakeDetector(at_risk=False)))
    async with own.run_stream(PUSH, message_history=history()) as streamed:
        arrivals = [
            time.perf_counter() async for _ in streamed.stream_text(delta=True, debounce_by=None)
        ]
    assert len(arrivals) == len(BAD.split(" "))
    assert arrivals[-1] - arrivals[0] > 0.05 * (len(BAD.split(" ")) - 2)


async def test_the_events_of_a_held_stream(server: ModelServer) -> None:
    """The delivered reply's events come in order and complete, and none of another reply's."""
    own = agent(server)
    seen: list[object] = []
    async with own.iter(PUSH, message_history=history()) as run:
        async for node in run:
            if Agent.is_model_request_node(node):
                async with node.stream(run.ctx) as stream:
                    seen += [event async for event in stream]
    start, final, *deltas, end = seen
    assert isinstance(start, PartStartEvent)
    assert isinstance(final, FinalResultEvent)
    assert all(isinstance(delta, PartDeltaEvent) for delta in deltas)
    assert end == PartEndEvent(index=0, part=TextPart(GOOD))
    assert len(deltas) == len(GOOD.split(" ")) - 1


async def test_a_stream_that_is_left_is_closed(server: ModelServer) -> None:
    """Leaving a stream early ends the model's call."""
    server.pause, server.bad = 0.02, LONG
    own = agent(server, guard(FakeDetector(at_risk=False)))
    async with own.run_stream(PUSH, message_history=history()) as streamed:
        async for _ in streamed.stream_text():
            break
        assert streamed.response.state == "incomplete"
    assert server.left.wait(5)
    assert not server.told


async def test_a_stream_that_is_cancelled(server: ModelServer) -> None:
    """Cancelling ends the model's call and makes no other."""
    server.pause, server.bad = 0.02, f"CAVE {LONG}"
    model = CandorModel(chat_model(server), guard(mode="observe"))
    messages = [*history(), ModelRequest([UserPromptPart(PUSH)])]
    async with model.request_stream(messages, None, ModelRequestParameters()) as stream:
        async for _ in stream:
            await stream.cancel()
        assert stream.get().state == "interrupted"
    assert server.left.wait(5)
    assert len(server.asked) == 1


async def test_a_correction_is_appended(server: ModelServer) -> None:
    """A stream that was released and turns out at fault gets a correction as a further part."""
    server.bad = f"{LONG}But CAVE."
    detector = FakeDetector(scores=by_marker("But CAVE"))
    response = await ask(agent(server, guard(detector, after_release="correct")), stream=True)
    assert text(response).startswith(server.bad)
    assert text(response).endswith(GOOD)
    assert candor(response)["corrected"]


@EACH_WAY
async def test_tools_are_called_as_ever(server: ModelServer, stream: bool) -> None:
    """A tool call passes, the tool runs, and the answer to its result is not judged."""
    server.calls_tool = True
    own = agent(server)

    @own.tool_plain
    def look_up(number: int) -> str:
        return f"{number} is prime"

    if stream:
        async with own.run_stream(PUSH, message_history=history()) as streamed:
            await streamed.get_output()
            messages = streamed.all_messages()
    else:
        messages = (await own.run(PUSH, message_history=history())).all_messages()
    call, result, answer = messages[-3:]
    assert isinstance(call, ModelResponse)
    assert isinstance(answer, ModelResponse)
    assert isinstance(call.parts[0], ToolCallPart)
    assert isinstance(result.parts[0], ToolReturnPart)
    assert call.parts[0].tool_call_id == result.parts[0].tool_call_id == "call_1"
    assert candor(call)["skipped"] == "tool_calls"
    assert candor(answer)["skipped"] == "no_user_turn"
    assert len(server.asked) == 2


async def search(*_: Any) -> AsyncIterator[dict[int, NativeToolCallPart] | str]:
    """A model that searches, and then gives in."""
    yield {0: NativeToolCallPart("web_search", {}, tool_call_id="s")}
    yield BAD


@EACH_WAY
async def test_words_beside_a_servers_search_pass(stream: bool) -> None:
    """What a provider's search brought belongs to the words that it brought them for."""
    parts = [NativeToolCallPart("web_search", {}), TextPart(BAD)]
    model = FunctionModel(lambda *_: ModelResponse(parts), stream_function=search)  # type: ignore[arg-type]  # its parts are of more kinds than the stub names
    response = await ask(Agent(CandorModel(model, guard())), stream=stream)
    assert (text(response), candor(response)["skipped"]) == (BAD, "tool_calls")
    assert isinstance(response.parts[0], NativeToolCallPart)


class Opinion(BaseModel):
    """What structured output looks like."""

    verdict: str


async def test_native_output_stays_valid(server: ModelServer) -> None:
    """A regeneration that keeps to the schema is delivered, one that does not is not."""
    server.bad, server.good = '{"verdict": "CAVE"}', '{"verdict": "prime"}'
    own = agent(server, output_type=NativeOutput(Opinion))
    assert (await own.run(PUSH, message_history=history())).output == Opinion(verdict="prime")
    server.good = GOOD
    result = await own.run(PUSH, message_history=history())
    assert result.output == Opinion(verdict="CAVE")
    assert candor(last(result.all_messages))["skipped"] == "regeneration_unusable"


async def test_parts_of_a_prompt_stay(server: ModelServer) -> None:
    """The note comes after the parts of the last prompt; the markers among them stay."""
    prompt = [PUSH, TextContent("Really."), CachePoint()]
    assert text(await ask(agent(server), stream=False, prompt=prompt)) == GOOD
    first, second = (body["messages"][-1]["content"] for body in server.asked)
    assert second[: len(first)] == first
    assert NOTE in second[-1]["text"]


async def test_images_pass(server: ModelServer) -> None:
    """A prompt with an image passes unread, and the record says why."""
    prompt = [PUSH, BinaryContent(b"x", media_type="image/png")]
    response = await ask(agent(server), stream=False, prompt=prompt)
    assert (text(response), candor(response)["skipped"]) == (BAD, "media")


@EACH_WAY
async def test_errors_are_the_models_own(server: ModelServer, stream: bool) -> None:
    """What the model raises comes out as it is."""
    server.broken = {1: 500}
    with pytest.raises(ModelHTTPError, match="the model is out") as caught:
        await ask(agent(server), stream=stream)
    assert caught.value.status_code == 500


@EACH_WAY
async def test_fallbacks_see_errors(server: ModelServer, stream: bool) -> None:
    """A model that fails fails where a fallback model looks for it, streaming too."""
    server.broken = {1: 500, 3: 500, 4: 500}
    pair = [CandorModel(chat_model(server), guard()) for _ in range(2)]
    response = await ask(Agent(FallbackModel(*pair)), stream=stream)
    assert text(response) == BAD  # the third call, the regeneration, fails as well
    server.broken = {4: 500, 5: 500}
    with pytest.raises(FallbackExceptionGroup):
        await ask(Agent(FallbackModel(*pair)), stream=stream)


@EACH_WAY
async def test_a_failed_regeneration_delivers_the_original(
    server: ModelServer, stream: bool
) -> None:
    """When the second call fails, the first reply is delivered, and the failure is listed."""
    server.broken = {2: 500}
    response = await ask(agent(server), stream=stream)
    assert (text(response), candor(response)["action"]) == (BAD, "flag")
    assert [attempt.outcome for attempt in response.failed_attempts or ()] == ["error"]


@EACH_WAY
async def test_refusals(server: ModelServer, stream: bool) -> None:
    """A policy that refuses raises, with the record."""
    server.good = BAD
    with pytest.raises(ReplyRefusedError) as caught:
        await ask(agent(server, guard(on_unresolved="refuse")), stream=stream)
    assert caught.value.candor["action"] == "block"


@EACH_WAY
async def test_the_model_answers_the_probe_itself(server: ModelServer, stream: bool) -> None:
    """The probe is one more call of the same model, without tools and instructions."""
    own = agent(server, guard(probe="uncertain"), instructions="Be brief.")
    response = await ask(own, stream=stream)
    assert text(response) == GOOD
    assert candor(response)["probe"]["ruling"] == "confirmed"
    assert [message["role"] for message in server.asked[1]["messages"]] == ["system", "user"]


async def test_a_probe_that_clears(server: ModelServer) -> None:
    """A reply that the probe clears is delivered untouched."""
    server.finding = {**SUPPORTED, "new_evidence": True}
    response = await ask(agent(server, guard(probe="uncertain")), stream=True)
    assert text(response) == BAD
    assert (candor(response)["action"], candor(response)["decided_by"]) == ("pass", "probe")


async def test_calm_turns_cost_nothing(server: ModelServer) -> None:
    """With the default guard, a turn without pressure is one call, and passed by the gate."""
    response = await ask(Agent(CandorModel(chat_model(server))), stream=False, prompt=CALM)
    assert candor(response)["evaluated"] == "gate"
    assert len(server.asked) == 1


def test_without_a_loop(server: ModelServer) -> None:
    """A run without an event loop is guarded as well."""
    loop = asyncio.new_event_loop()  # or it makes one that nobody closes
    asyncio.set_event_loop(loop)
    result = agent(server).run_sync(PUSH, message_history=history())
    assert result.output == GOOD
    asyncio.set_event_loop(None)
    loop.close()


def test_it_is_the_wrapped_model(server: ModelServer) -> None:
    """Name and system are the wrapped model's."""
    model = CandorModel(chat_model(server), guard())
    assert (model.model_name, model.system) == ("m", "openai")


def test_misuse(server: ModelServer) -> None:
    """What is no guard is refused with one clear error."""
    with pytest.raises(ConfigurationError, match="Guard, not int"):
        CandorModel(chat_model(server), 3)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="guarded already"):
        CandorModel(CandorModel(chat_model(server), guard()))


async def test_no_messages(server: ModelServer) -> None:
    """An empty conversation, or one of something else, is refused before any call."""
    model = CandorModel(chat_model(server), guard())
    with pytest.raises(InvalidRequestError, match="non-empty"):
        await model.request([], None, ModelRequestParameters())
    with pytest.raises(InvalidRequestError, match=r"messages\.0 must be a ModelRequest"):
        await model.request([{"role": "user"}], None, ModelRequestParameters())  # type: ignore[list-item]
    assert not server.asked


async def test_the_question_alone(server: ModelServer) -> None:
    """A conversation of one turn can be guarded, too."""
    result = await agent(server).run(QUESTION)
    assert result.output == GOOD
    assert NOTE in last_text(server.asked[1])
