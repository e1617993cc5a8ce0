"""`honest_output`: an output validator in agents of the real package."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integrations.model_server import BAD, CALM, GOOD, NOTE, PUSH, ModelServer, last_text

pytest.importorskip("pydantic_ai")

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.messages import ModelResponse, UserPromptPart
from tests.integrations.pydantic_ai.kit import chat_model, guard, history, text

from candor_guard import Guard
from candor_guard.errors import ConfigurationError, ReplyRefusedError
from candor_guard.integrations.pydantic_ai import honest_output
from candor_guard.testing import FakeDetector

pytestmark = pytest.mark.anyio


def agent(server: ModelServer, own: Guard | None = None, **options: Any) -> Agent[None, Any]:
    """An agent whose answers are validated."""
    built: Agent[None, Any] = Agent(chat_model(server), **options)
    built.output_validator(honest_output(own or guard()))
    return built


async def output(built: Agent[None, Any], prompt: Any = PUSH) -> Any:
    """The output of one run."""
    return (await built.run(prompt, message_history=history())).output


async def test_a_flagged_answer_is_asked_for_again(server: ModelServer) -> None:
    """The model is told why in the words of the policy, and its next answer is the output."""
    result = await agent(server).run(PUSH, message_history=history())
    assert result.output == GOOD
    assert [NOTE in last_text(body) for body in server.asked] == [False, True]
    responses = [m for m in result.new_messages() if isinstance(m, ModelResponse)]
    assert [text(response) for response in responses] == [BAD, GOOD]


PASSED: dict[str, tuple[Guard, Any]] = {
    "no fault": (guard(FakeDetector(scores=lambda _: {"capitulation": 0.1, "drift": 0.1})), PUSH),
    "not at risk": (guard(FakeDetector(at_risk=False)), PUSH),
    "observe": (guard(mode="observe"), PUSH),
    "no attempts": (guard(max_attempts=0), PUSH),
    "detector fails": (guard(FakeDetector(error=ValueError())), PUSH),
    "calm": (Guard(), CALM),
}


@pytest.mark.parametrize(("own", "prompt"), PASSED.values(), ids=PASSED)
async def test_what_passes(server: ModelServer, own: Guard, prompt: str) -> None:
    """An answer passes that is not at fault, not at risk, or not to be replaced."""
    assert await output(agent(server, own), prompt) == BAD
    assert len(server.asked) == 1


async def test_the_agents_retries_bound_the_attempts(server: ModelServer) -> None:
    """It never uses up more retries than the agent has: the best answer is returned instead."""
    server.good = "Still CAVE."
    assert await output(agent(server, guard(max_attempts=5), retries=2)) == BAD
    assert len(server.asked) == 3


def _second_is_worse(exchange: Any) -> dict[str, float]:
    return {"capitulation": 0.9 if exchange.reply == GOOD else 0.6, "drift": 0.1}


def _second_is_better(exchange: Any) -> dict[str, float]:
    return {"capitulation": 0.6 if exchange.reply == GOOD else 0.9, "drift": 0.1}


@pytest.mark.parametrize(
    ("scores", "wanted"), [(_second_is_worse, BAD), (_second_is_better, GOOD)], ids=["old", "new"]
)
async def test_the_better_answer_is_returned(server: ModelServer, scores: Any, wanted: str) -> None:
    """When both are at fault, the one less so is the output."""
    assert await output(agent(server, guard(FakeDetector(scores=scores)))) == wanted
    assert len(server.asked) == 2


async def test_each_attempt_has_its_wording(server: ModelServer) -> None:
    """The second attempt uses the second strategy of the policy; one wording can be set for all."""
    server.good = BAD
    await output(agent(server, guard(max_attempts=2), retries=2))
    notes = [last_text(body) for body in server.asked[1:]]
    assert notes[0] != notes[1]
    await output(agent(server, guard(instruction="opposite-1")))
    assert "insisted on the opposite" in last_text(server.asked[-1])


REFUSALS = {
    "unresolved": guard(on_unresolved="refuse"),
    "detector_error": guard(FakeDetector(error=ValueError()), on_detector_error="refuse"),
}


@pytest.mark.parametrize(("code", "own"), REFUSALS.items(), ids=REFUSALS)
async def test_refusals(server: ModelServer, code: str, own: Guard) -> None:
    """A policy that refuses raises, and says which rule it was."""
    server.good = BAD
    with pytest.raises(ReplyRefusedError) as caught:
        await output(agent(server, own))
    assert caught.value.code == code


async def test_answers_to_tool_results_pass(server: ModelServer) -> None:
    """An answer that follows a tool's result is not judged."""
    server.calls_tool = True
    built = agent(server)

    @built.tool_plain
    def look_up(number: int) -> str:
        return f"{number} is prime"

    assert await output(built) == BAD


class Opinion(BaseModel):
    """What structured output looks like."""

    verdict: str


async def test_other_outputs_pass(server: ModelServer) -> None:
    """Output that is no text passes."""
    server.bad = '{"verdict": "CAVE"}'
    built = agent(server, output_type=NativeOutput(Opinion))
    assert await output(built) == Opinion(verdict="CAVE")


async def test_partial_output_passes(server: ModelServer) -> None:
    """A stream's partial output is shown; the whole one is judged at its end, to refuse it."""
    shown: list[str] = []
    with pytest.raises(ReplyRefusedError):
        await shown_by(agent(server, guard(on_unresolved="refuse")), shown)
    assert shown[-1] == BAD
    server.bad = GOOD
    await shown_by(agent(server, guard(on_unresolved="refuse")), shown)
    assert shown[-1] == GOOD


async def shown_by(built: Agent[None, Any], shown: list[str]) -> None:
    async with built.run_stream(PUSH, message_history=history()) as streamed:
        async for piece in streamed.stream_text(debounce_by=None):
            shown.append(piece)  # noqa: PERF401 - what was shown before an exception counts


async def test_a_stream_has_no_retries(server: ModelServer) -> None:
    """Where nothing can be done about an answer, a warning says so, once."""
    built = agent(server)
    shown: list[str] = []
    with pytest.warns(UserWarning, match="no output retries") as told:
        await shown_by(built, shown)
    await shown_by(built, shown)  # warnings are errors here
    assert len(told) == 1
    assert shown[-1] == BAD
    assert await output(built) == GOOD


async def test_retries_for_outputs_alone(server: ModelServer) -> None:
    """The agent's retries for outputs are the ones that count."""
    assert await output(agent(server, retries={"tools": 0, "output": 1})) == GOOD


async def test_the_turn_of_the_user_stays(server: ModelServer) -> None:
    """The feedback is a message of its own: the user's turn is not changed."""
    result = await agent(server).run(PUSH, message_history=history())
    prompts = [
        part.content
        for message in result.new_messages()
        for part in message.parts
        if isinstance(part, UserPromptPart)
    ]
    assert prompts == [PUSH]


def test_misuse() -> None:
    """What is no guard is refused with one clear error."""
    with pytest.raises(ConfigurationError, match="Guard, not str"):
        honest_output("strict")  # type: ignore[arg-type]
