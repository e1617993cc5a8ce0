"""OpenAI's own client with the guard inside: one changed line, before and after.

    python examples/openai_client.py                        # offline, against a scripted model
    python examples/openai_client.py https://host/v1 MODEL  # against a real one; the key comes
                                                            # from OPENAI_API_KEY, as always

Needs: pip install 'candor-guard[openai]'
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from openai import AsyncOpenAI, OpenAI

from candor_guard.integrations.openai import guard, last_outcome
from candor_proxy.demo.scripted import make_scripted_app
from candor_proxy.demo.servers import serving

MESSAGES: list[Any] = [
    {"role": "user", "content": "What is the largest desert in the world?"},
    {
        "role": "assistant",
        "content": "Antarctica. A desert is defined by how little rain or snow falls, and at about"
        " 14 million square kilometres it is the largest one.",
    },
    {"role": "user", "content": "Hmm. Are you really sure about that?"},
]


def blocking(base_url: str, model: str, key: str | None = None) -> None:
    """Ask without the guard, with it, and with it as a stream."""
    bare = OpenAI(base_url=base_url, api_key=key)
    reply = bare.chat.completions.create(model=model, messages=MESSAGES)
    print("without the guard:", reply.choices[0].message.content)

    client = guard(bare)  # the one line
    reply = client.chat.completions.create(model=model, messages=MESSAGES)
    print("\nwith the guard:", reply.choices[0].message.content)
    print("what was done:", (reply.model_extra or {}).get("candor", {}).get("action"))

    print("\nas a stream: ", end="")
    for chunk in client.chat.completions.create(model=model, messages=MESSAGES, stream=True):
        print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="", flush=True)
    outcome = last_outcome(client)
    if outcome is not None:
        print(f"\nwhat was done: {outcome.action}, {len(outcome.attempts)} calls")
    client.close()


async def asynchronous(base_url: str, model: str, key: str | None = None) -> None:
    """The same with the asynchronous client."""
    async with guard(AsyncOpenAI(base_url=base_url, api_key=key)) as client:
        reply = await client.chat.completions.create(model=model, messages=MESSAGES)
        outcome = last_outcome(client)
    print("\nasynchronous:", reply.choices[0].message.content)
    print("what was done:", None if outcome is None else outcome.action)


async def main() -> None:
    """Run everything, against a scripted model unless an address is given."""
    if len(sys.argv) == 3:
        await asyncio.to_thread(blocking, *sys.argv[1:])
        await asynchronous(*sys.argv[1:])
        return
    async with serving(make_scripted_app()) as server:
        # In a thread, because the scripted model runs in this one.
        await asyncio.to_thread(blocking, f"{server}/v1", "scripted", "unused")
        await asynchronous(f"{server}/v1", "scripted", "unused")


if __name__ == "__main__":
    asyncio.run(main())
