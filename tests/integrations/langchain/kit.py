"""What the tests of the LangChain integration share."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.runnables import Runnable
from langchain_openai import ChatOpenAI
from pydantic import SecretStr
from tests.integrations.model_server import EARLIER, PUSH, QUESTION, ModelServer

from candor_guard import Guard, Policy
from candor_guard.testing import FakeDetector

DISPUTE: list[Any] = [("human", QUESTION), ("ai", EARLIER), ("human", PUSH)]
WAYS = ("invoke", "ainvoke", "stream", "astream")


def chat_model(server: ModelServer, **options: Any) -> ChatOpenAI:
    """The real client of the server."""
    key = SecretStr("k")
    options = {"stream_usage": True, **options}
    return ChatOpenAI(model="m", base_url=server.url, api_key=key, max_retries=0, **options)


def fake_guard(detector: FakeDetector | None = None, **policy: Any) -> Guard:
    """A guard with a scripted detector that asks no probe unless told."""
    return Guard(detector or FakeDetector(), Policy(**{"probe": "never", **policy}))


async def ask(model: Runnable[Any, Any], way: str, messages: Any = DISPUTE) -> AIMessage:
    """Call a model in one of four ways; the blocking ones from another thread."""
    match way:
        case "invoke":
            answer = await asyncio.to_thread(model.invoke, messages)
        case "ainvoke":
            answer = await model.ainvoke(messages)
        case _:
            answer = joined(await chunks(model, way, messages))
    assert isinstance(answer, AIMessage)
    return answer


async def chunks(
    model: Runnable[Any, Any], way: str, messages: Any = DISPUTE
) -> list[AIMessageChunk]:
    """Return the chunks of a stream of either kind."""
    if way == "stream":
        return await asyncio.to_thread(lambda: list(model.stream(messages)))
    return [chunk async for chunk in model.astream(messages)]


def joined(parts: list[AIMessageChunk]) -> AIMessageChunk:
    """Add chunks up as a client does."""
    whole = parts[0]
    for part in parts[1:]:
        whole += part
    return whole


def candor(message: BaseMessage) -> Any:
    """The record in a message."""
    return message.response_metadata["candor"]
