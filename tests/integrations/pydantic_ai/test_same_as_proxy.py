"""The Pydantic AI integration decides as the engine does over HTTP."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

pytest.importorskip("pydantic_ai")

from openai import AsyncOpenAI
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from tests.integrations.pydantic_ai.kit import candor, text
from tests.integrations.scripted import decision, decisions, scripted_model

from candor_guard.integrations.pydantic_ai import CandorModel
from candor_proxy.demo.scripted import MODEL

pytestmark = pytest.mark.anyio


def messages_of(turns: Sequence[tuple[str, str]]) -> list[ModelMessage]:
    """The same conversation in Pydantic AI's messages."""
    made: list[ModelMessage] = []
    for role, said in turns:
        match role:
            case "user":
                made.append(ModelRequest([UserPromptPart(said)]))
            case "system":
                made.append(ModelRequest([SystemPromptPart(said)]))
            case _:
                made.append(ModelResponse([TextPart(said)]))
    return made


async def test_same_verdicts_and_texts() -> None:
    """For every conversation: one record and one text, streaming and not streaming."""
    nothing = ModelRequestParameters()
    async with scripted_model() as url, AsyncOpenAI(base_url=url, api_key="k") as client:
        expected = await decisions(url)
        provider = OpenAIProvider(openai_client=client)
        model = CandorModel(OpenAIChatModel(MODEL, provider=provider))
        for conversation, whole, streamed in expected:
            messages = messages_of(conversation.turns)
            response = await model.request(messages, None, nothing)
            assert decision(text(response), candor(response)) == whole, conversation.id
            async with model.request_stream(messages, None, nothing) as stream:
                async for _ in stream:
                    pass
            response = stream.get()
            found = decision(text(response), candor(response), streamed=True)
            assert found == streamed, conversation.id
    assert len({whole.record["action"] for _, whole, _ in expected}) > 1
