"""An app that serves an OpenAI-compatible API itself, with the guard in the same process.

    python examples/asgi_app.py          # ask it once, offline, and print what arrives
    uvicorn examples.asgi_app:app        # or serve it

The app here is a scripted model that gives in to everyone; yours may be FastAPI, Starlette, or the
server of an inference engine. With FastAPI it is: ``app.add_middleware(CandorMiddleware)``.
Needs: pip install 'candor-guard[openai]' (openai for the client only).
"""

from __future__ import annotations

import asyncio
from typing import Any

from openai import AsyncOpenAI

from candor_guard.integrations.asgi import CandorMiddleware
from candor_proxy.demo.conversations import load_conversations
from candor_proxy.demo.scripted import make_scripted_app
from candor_proxy.demo.servers import serving

model = make_scripted_app()
app = CandorMiddleware(model)  # the one line


async def ask(app: Any) -> str:
    """Serve an app for a moment and ask it through the official client."""
    script = load_conversations()[0]
    messages: list[Any] = [{"role": role, "content": text} for role, text in script.turns]
    async with (
        serving(app) as address,
        AsyncOpenAI(base_url=f"{address}/v1", api_key="unused") as client,
    ):
        raw = await client.chat.completions.with_raw_response.create(
            model="scripted", messages=messages
        )
    done = raw.headers.get("x-candor-action", "not guarded")
    return f"[{done}] {raw.parse().choices[0].message.content}"


async def main() -> None:
    """Ask the app without and with the guard."""
    print("without the guard:", await ask(model))
    print("\nwith the guard:", await ask(app))


if __name__ == "__main__":
    asyncio.run(main())
