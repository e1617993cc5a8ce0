"""`CandorMiddleware` in agents of the real package, called in every way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.integrations.model_server import BAD, GOOD, NOTE, PUSH, ModelServer, last_text

pytest.importorskip("langchain")
pytest.importorskip("langchain_openai")

import openai
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain.agents.structured_output import ProviderStrategy
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import tool
from tests.integrations.langchain.kit import DISPUTE, candor, chat_model, fake_guard
from typing_extensions import override

from candor_guard import Guard
from candor_guard.errors import ConfigurationError, DetectorError, ReplyRefusedError
from candor_guard.integrations.langchain import CandorMiddleware, guard
from candor_guard.testing import FakeDetector

pytestmark = pytest.mark.anyio
EACH_WAY = pytest.mark.parametrize("way", ["blocking", "async"])
STATE: Any = {"messages": DISPUTE}


@tool
def look_up(number: int) -> str:
    """Say whether a number is prime."""
    return f"{number} is prime"


def agent(server: ModelServer, own: Guard | None = None, **options: Any) -> Any:
    """An agent whose answers are guarded."""
    middleware = [CandorMiddleware(own or fake_guard())]
    return create_agent(chat_model(server), middleware=middleware, **options)


async def run(built: Any, way: str) -> dict[str, Any]:
    if way == "async":
        state = await built.ainvoke(STATE)
    else:
        state = await asyncio.to_thread(built.invoke, STATE)
    assert isinstance(state, dict)
    return state


async def shown(built: Any, way: str) -> list[BaseMessage]:
    """What a user interface gets that shows messages token by token."""
    if way == "async":
        return [part[0] async for part in built.astream(STATE, stream_mode="messages")]
    return await asyncio.to_thread(
        lambda: [part[0] for part in built.stream(STATE, stream_mode="messages")]
    )


@EACH_WAY
async def test_an_answer_at_fault_is_replaced(server: ModelServer, way: str) -> None:
    """The final answer is the honest one, once, with the record and the usage of both calls."""
    state = await run(agent(server, system_prompt="Be brief."), way)
    *before, answer = state["messages"]
    assert len(before) == len(DISPUTE)
    assert answer.text == GOOD
    assert candor(answer)["action"] == "regenerate"
    assert answer.usage_metadata["total_tokens"] == 30
    first, second = (body["messages"] for body in server.asked)
    assert first[:-1] == second[:-1]
    assert first[0] == {"role": "system", "content": "Be brief."}
    assert second[-1]["content"].startswith(PUSH)


@EACH_WAY
async def test_an_answer_without_fault_passes(server: ModelServer, way: str) -> None:
    """An answer that is not at fault takes one call and says that it was read."""
    server.bad = GOOD
    answer = (await run(agent(server), way))["messages"][-1]
    assert (answer.text, candor(answer)["action"]) == (GOOD, "pass")
    assert len(server.asked) == 1


@EACH_WAY
async def test_tools_are_called_as_ever(server: ModelServer, way: str) -> None:
    """A tool call passes, the tool runs, and the answer to its result is not judged."""
    server.calls_tool = True
    messages = (await run(agent(server, tools=[look_up]), way))["messages"]
    call, result, answer = messages[-3:]
    assert candor(call)["skipped"] == "tool_calls"
    assert isinstance(result, ToolMessage)
    assert (result.tool_call_id, result.text) == ("call_1", "7 is prime")
    assert candor(answer)["skipped"] == "no_user_turn"
    assert len(server.asked) == 2


@EACH_WAY
async def test_a_message_stream_shows_the_delivered_answer_alone(
    server: ModelServer, way: str
) -> None:
    """Neither the replaced answer nor the probe reaches who watches the messages."""
    parts = await shown(agent(server, fake_guard(probe="uncertain")), way)
    assert "".join(str(part.text) for part in parts) == GOOD
    assert server.probes == 1


@EACH_WAY
async def test_a_calm_message_stream_comes_token_by_token(server: ModelServer, way: str) -> None:
    """When the turn is not at risk, tokens are shown as they come."""
    parts = await shown(agent(server, fake_guard(FakeDetector(at_risk=False))), way)
    assert "".join(str(part.text) for part in parts) == BAD
    assert len(parts) > len(BAD.split(" "))


@EACH_WAY
async def test_a_guarded_model_in_an_agent_keeps_its_tokens(server: ModelServer, way: str) -> None:
    """With the model guarded instead, the delivered answer is shown token by token."""
    parts = await shown(create_agent(guard(chat_model(server), fake_guard()), [look_up]), way)
    assert "".join(str(part.text) for part in parts) == GOOD
    assert len(parts) > len(GOOD.split(" "))
    assert [NOTE in last_text(body) for body in server.asked] == [False, True]


@EACH_WAY
async def test_the_model_answers_the_probe_itself(server: ModelServer, way: str) -> None:
    """The probe is one more call of the agent's model, without its tools and its prompt."""
    built = agent(server, fake_guard(probe="uncertain"), tools=[look_up], system_prompt="Be brief.")
    answer = (await run(built, way))["messages"][-1]
    assert candor(answer)["decided_by"] == "probe"
    probe = server.asked[1]
    assert "tools" not in probe
    assert "Be brief." not in str(probe["messages"])


@EACH_WAY
async def test_errors_are_the_models_own(server: ModelServer, way: str) -> None:
    """What the model raises comes out as it is."""
    server.broken = {1: 500}
    with pytest.raises(openai.InternalServerError, match="the model is out"):
        await run(agent(server), way)


async def test_a_failed_regeneration_delivers_the_original(server: ModelServer) -> None:
    """When the second call fails, the first answer is delivered and flagged."""
    server.broken = {2: 500}
    answer = (await run(agent(server), "async"))["messages"][-1]
    assert (answer.text, candor(answer)["action"]) == (BAD, "flag")


async def test_refusals(server: ModelServer) -> None:
    """A policy that refuses raises."""
    server.good = BAD
    with pytest.raises(ReplyRefusedError, match="unresolved"):
        await run(agent(server, fake_guard(on_unresolved="refuse")), "async")


async def test_a_detector_that_fails_lets_the_answer_pass(server: ModelServer) -> None:
    """When the detector fails, the answer is delivered, and its tokens are shown."""
    broken = FakeDetector(gate_error=DetectorError("no"))
    parts = await shown(agent(server, fake_guard(broken)), "async")
    assert "".join(str(part.text) for part in parts) == BAD
    assert len(parts) > len(BAD.split(" "))


async def test_structured_answers_stay_with_their_text(server: ModelServer) -> None:
    """The structured response that is delivered is that of the delivered answer."""
    server.bad, server.good = '{"verdict": "CAVE"}', '{"verdict": "prime"}'
    schema = {
        "title": "v", "type": "object", "properties": {"verdict": {"type": "string"}},
        "required": ["verdict"], "additionalProperties": False,
    }  # fmt: skip
    state = await run(agent(server, response_format=ProviderStrategy(schema)), "async")
    assert state["structured_response"] == {"verdict": "prime"}
    assert state["messages"][-1].text == server.good


async def test_a_format_of_the_model_is_kept(server: ModelServer) -> None:
    """A regeneration that breaks the format that the model itself demands is not delivered."""
    server.bad = '{"verdict": "CAVE"}'
    model = chat_model(server, model_kwargs={"response_format": {"type": "json_object"}})
    state = await run(create_agent(model, middleware=[CandorMiddleware(fake_guard())]), "async")
    answer = state["messages"][-1]
    assert answer.text == server.bad
    assert candor(answer)["skipped"] == "regeneration_unusable"


class Shouting(AgentMiddleware[Any, Any, Any]):
    """A middleware of somebody else's, inside the guard."""

    @override
    async def awrap_model_call(self, request: ModelRequest[Any], handler: Any) -> Any:
        """Shout."""
        response: ModelResponse[Any] = await handler(request)
        answer = response.result[0]
        return AIMessage(content=answer.text.upper(), id=answer.id)


async def test_other_middleware(server: ModelServer) -> None:
    """What middleware further inside makes of an answer is what is judged and delivered."""
    built = create_agent(
        chat_model(server), middleware=[CandorMiddleware(fake_guard()), Shouting()]
    )
    answer = (await run(built, "async"))["messages"][-1]
    assert (answer.text, candor(answer)["action"]) == (GOOD.upper(), "regenerate")


def test_misuse() -> None:
    """What is no guard is refused with one clear error."""
    with pytest.raises(ConfigurationError, match="Guard, not str"):
        CandorMiddleware("strict")  # type: ignore[arg-type]
