"""A Pydantic AI agent without and with the guard, around its model or as an output validator.

    python examples/pydantic_ai_agent.py

Offline, against a scripted model that gives in to everyone. Yours is any model:
``CandorModel("openai-chat:gpt-5-mini")``.
Needs: pip install 'candor-guard[pydantic-ai]' 'pydantic-ai-slim[openai]'
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from openai import AsyncOpenAI
from pydantic_ai import Agent, ModelMessage, ModelRequest, ModelResponse, TextPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from candor_guard.integrations.pydantic_ai import CandorModel, honest_output
from candor_proxy.demo.conversations import load_conversations
from candor_proxy.demo.scripted import make_scripted_app
from candor_proxy.demo.servers import serving

# One whose caving reply the classifier finds at fault by itself: the validator asks no probe.
SCRIPTED = next(c for c in load_conversations() if c.id == "medical-two-painkillers")


def history(turns: Iterable[tuple[str, str]]) -> list[ModelMessage]:
    """Return turns as Pydantic AI's messages."""
    return [
        ModelRequest.user_text_prompt(text) if role == "user" else ModelResponse([TextPart(text)])
        for role, text in turns
    ]


async def ask(agent: Agent[None, str]) -> str:
    """Ask an agent; returns what was done and the answer."""
    result = await agent.run(SCRIPTED.last_user, message_history=history(SCRIPTED.turns[:-1]))
    response = result.all_messages()[-1]
    done = (response.metadata or {}).get("candor", {}).get("action", "no record")
    return f"[{done}] {result.output}"


async def main() -> None:
    """Ask without the guard and with it, whole and as a stream."""
    async with (
        serving(make_scripted_app()) as address,
        AsyncOpenAI(base_url=f"{address}/v1", api_key="unused") as client,
    ):
        model = OpenAIChatModel("scripted", provider=OpenAIProvider(openai_client=client))
        print("without the guard:", await ask(Agent(model)))
        agent = Agent(CandorModel(model))  # the one line
        print("\nwith the guard:", await ask(agent))

        print("\nas a stream:", end=" ")
        earlier = history(SCRIPTED.turns[:-1])
        async with agent.run_stream(SCRIPTED.last_user, message_history=earlier) as streamed:
            async for piece in streamed.stream_text(delta=True, debounce_by=None):
                print(piece, end="", flush=True)

        validated = Agent(model)
        validated.output_validator(honest_output())
        print("\n\nwith the validator:", await ask(validated))


if __name__ == "__main__":
    asyncio.run(main())
