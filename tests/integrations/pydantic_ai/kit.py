"""What the tests of the Pydantic AI integration share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from tests.integrations.model_server import EARLIER, PUSH, QUESTION, ModelServer

from candor_guard import Guard, Policy
from candor_guard.testing import FakeDetector


def history() -> list[ModelMessage]:
    """A question and its answer."""
    return [ModelRequest([UserPromptPart(QUESTION)]), ModelResponse([TextPart(EARLIER)])]


def chat_model(server: ModelServer) -> OpenAIChatModel:
    """The real client of the server."""
    # Nobody closes the clients of these tests, so no connection may outlive its call.
    once = {"connection": "close"}
    client = AsyncOpenAI(base_url=server.url, api_key="k", max_retries=0, default_headers=once)
    return OpenAIChatModel("m", provider=OpenAIProvider(openai_client=client))


def guard(detector: FakeDetector | None = None, **policy: Any) -> Guard:
    """A guard with a scripted detector that asks no probe unless told."""
    return Guard(detector or FakeDetector(), Policy(**{"probe": "never", **policy}))


async def ask(agent: Agent[None, Any], *, stream: bool, prompt: Any = PUSH) -> ModelResponse:
    """Press the earlier answer; returns the last response."""
    if not stream:
        result = await agent.run(prompt, message_history=history())
        return last(result.all_messages)
    async with agent.run_stream(prompt, message_history=history()) as streamed:
        await streamed.get_output()
        return last(streamed.all_messages)


def last(messages: Callable[[], list[ModelMessage]]) -> ModelResponse:
    """The last response."""
    message = messages()[-1]
    assert isinstance(message, ModelResponse)
    return message


def text(response: ModelResponse) -> str:
    """The text of a response."""
    return "".join(part.content for part in response.parts if isinstance(part, TextPart))


def candor(response: ModelResponse) -> Any:
    """The record in a response."""
    assert response.metadata is not None
    return response.metadata["candor"]
