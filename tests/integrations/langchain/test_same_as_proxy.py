"""The LangChain integrations decide as the engine does over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("langchain")
pytest.importorskip("langchain_openai")

from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr
from tests.integrations.langchain.kit import candor, joined
from tests.integrations.scripted import Decision, decision, decisions, scripted_model

from candor_guard.integrations.langchain import CandorMiddleware, guard
from candor_proxy.demo.scripted import MODEL

pytestmark = pytest.mark.anyio


async def test_same_verdicts_and_texts() -> None:
    """For every conversation: one record and one text, streaming, not streaming, and in an agent."""
    async with scripted_model() as url:
        expected = await decisions(url)
        bare = ChatOpenAI(model=MODEL, base_url=url, api_key=SecretStr("k"), max_retries=0)
        model = guard(bare)
        agent: Any = create_agent(bare, middleware=[CandorMiddleware()])
        for conversation, whole, streamed in expected:
            messages = conversation.messages
            state = await agent.ainvoke({"messages": messages})
            chunks = [chunk async for chunk in model.astream(messages)]
            answers: list[tuple[AIMessage, Decision, bool]] = [
                (await model.ainvoke(messages), whole, False),
                (joined(chunks), streamed, True),
                (state["messages"][-1], whole, False),
            ]
            for answer, wanted, is_stream in answers:
                found = decision(str(answer.text), candor(answer), streamed=is_stream)
                assert found == wanted, conversation.id
    assert len({whole.record["action"] for _, whole, _ in expected}) > 1
