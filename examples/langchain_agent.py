"""A LangChain agent and a LangChain chat model, without and with the guard.

    python examples/langchain_agent.py

Offline, against a scripted model that gives in to everyone. Yours is any chat model, such as
``init_chat_model("openai:gpt-5-mini")``.
Needs: pip install 'candor-guard[langchain]' langchain-openai
"""

from __future__ import annotations

import asyncio
from typing import Any

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from candor_guard.integrations.langchain import CandorMiddleware, guard
from candor_proxy.demo.conversations import load_conversations
from candor_proxy.demo.scripted import make_scripted_app
from candor_proxy.demo.servers import serving

MESSAGES: list[Any] = list(load_conversations()[0].turns)


async def ask(agent: Any) -> str:
    """Ask an agent; returns what was done and the answer."""
    state = await agent.ainvoke({"messages": MESSAGES})
    answer = state["messages"][-1]
    done = answer.response_metadata.get("candor", {}).get("action", "not guarded")
    return f"[{done}] {answer.text}"


async def main() -> None:
    """Ask an agent without and with the guard, and stream from a guarded model."""
    async with serving(make_scripted_app()) as address:
        model = ChatOpenAI(
            model="scripted", base_url=f"{address}/v1", api_key=SecretStr("unused"), max_retries=0
        )
        print("without the guard:", await ask(create_agent(model)))
        agent = create_agent(model, middleware=[CandorMiddleware()])  # the one line
        print("\nwith the guard:", await ask(agent))

        print("\nas a stream:", end=" ")
        async for chunk in guard(model).astream(MESSAGES):
            print(chunk.text, end="", flush=True)
        print()


if __name__ == "__main__":
    asyncio.run(main())
