"""LiteLLM's ``completion`` and ``acompletion`` with the guard around them: one changed line.

    python examples/litellm_completion.py

Offline, against a scripted model that gives in to everyone. Needs: pip install 'candor-guard[litellm]'
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

# Keeps LiteLLM from fetching its price list while it is imported; this example stays offline.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # noqa: TID251 - a program of its own

import litellm

from candor_guard.integrations.litellm import guard
from candor_proxy.demo.conversations import load_conversations
from candor_proxy.demo.scripted import make_scripted_app
from candor_proxy.demo.servers import serving

SCRIPTED = load_conversations()[0]
MESSAGES: list[Any] = [{"role": role, "content": text} for role, text in SCRIPTED.turns]


def blocking(api_base: str) -> None:
    """Ask without the guard, with it, and with it as a stream."""
    call = {"model": "openai/scripted", "api_base": api_base, "api_key": "unused"}
    reply = litellm.completion(messages=MESSAGES, **call)
    print("without the guard:", reply.choices[0].message.content)

    completion = guard(litellm.completion)  # the one line
    reply = completion(messages=MESSAGES, **call)
    print("\nwith the guard:", reply.choices[0].message.content)
    print("what was done:", reply.candor["action"])

    print("\nas a stream: ", end="")
    stream = completion(messages=MESSAGES, stream=True, **call)
    for chunk in stream:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    print("\nwhat was done:", stream.candor["action"])


async def asynchronous(api_base: str) -> None:
    """The same with the asynchronous function."""
    acompletion = guard(litellm.acompletion)
    reply = await acompletion(
        model="openai/scripted", api_base=api_base, api_key="unused", messages=MESSAGES
    )
    print("\nasynchronous:", reply.choices[0].message.content)


async def main() -> None:
    """Run everything against the scripted model."""
    async with serving(make_scripted_app()) as server:
        # In a thread, because the scripted model runs in this one.
        await asyncio.to_thread(blocking, f"{server}/v1")
        await asynchronous(f"{server}/v1")


if __name__ == "__main__":
    asyncio.run(main())
