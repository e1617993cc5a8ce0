"""The guardrail in a real process of LiteLLM's proxy, configured by litellm_proxy.yaml.

    python examples/litellm_guardrail.py

Starts a scripted model that gives in to everyone and the proxy in front of it, both on this
machine only, asks through the official client, and prints what arrives.
Needs, in one environment: pip install 'litellm[proxy]' candor-guard
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

from openai import AsyncOpenAI

from candor_proxy.demo.conversations import load_conversations
from candor_proxy.demo.scripted import make_scripted_app
from candor_proxy.demo.servers import serving

CONFIG = Path(__file__).with_name("litellm_proxy.yaml")
COMMAND = Path(sys.executable).with_name("litellm")
START_SECONDS = 90
NEEDED = "pip install 'litellm[proxy]' candor-guard"


@asynccontextmanager
async def litellm_proxy(upstream: str) -> AsyncIterator[tuple[str, str]]:
    """Run ``litellm --config`` while the block runs; yields its address and its key.

    Raises:
        SystemExit: If there is no such command, or it ends before it answers.
    """
    if not COMMAND.exists():
        raise SystemExit(f"no command {COMMAND.name} beside this Python; needs: {NEEDED}")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    key = f"sk-{secrets.token_hex(24)}"
    environment = {
        "PATH": str(COMMAND.parent),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # no price list from the network
        "LITELLM_MODE": "PRODUCTION",  # no .env file
        "LITELLM_MASTER_KEY": key,
        "UPSTREAM_BASE_URL": upstream,
        "UPSTREAM_API_KEY": "unused",
    }
    arguments = ["--config", str(CONFIG), "--host", "127.0.0.1", "--port", str(port)]
    with tempfile.TemporaryFile() as told:  # a pipe that nobody empties would stop the proxy
        process = await asyncio.create_subprocess_exec(
            COMMAND, *arguments, "--telemetry", "False", env=environment,
            stdout=asyncio.subprocess.DEVNULL, stderr=told,
        )  # fmt: skip
        address = f"http://127.0.0.1:{port}"
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await asyncio.to_thread(is_up, f"{address}/health/liveliness"):
                    if process.returncode is not None:
                        why = last_line(told)
                        raise SystemExit(f"LiteLLM's proxy did not start: {why}\nneeds: {NEEDED}")
                    await asyncio.sleep(0.3)
            yield address, key
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


def last_line(told: IO[bytes]) -> str:
    """Return the last line that a program wrote, or that it wrote none."""
    told.seek(0)
    lines = told.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def is_up(url: str) -> bool:
    """Whether the proxy answers."""
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - an address of our own
            return True
    except (urllib.error.URLError, OSError):
        return False


async def main() -> None:
    """Ask once as a whole and once as a stream."""
    script = load_conversations()[0]
    messages: list[Any] = [{"role": role, "content": text} for role, text in script.turns]
    async with (
        serving(make_scripted_app()) as model,
        litellm_proxy(f"{model}/v1") as (address, key),
        AsyncOpenAI(base_url=f"{address}/v1", api_key=key) as client,
    ):
        print("the model itself would say:", script.pleasing)
        raw = await client.chat.completions.with_raw_response.create(
            model="assistant", messages=messages
        )
        print("\nthrough LiteLLM's proxy:", raw.parse().choices[0].message.content)
        print("what was done:", raw.headers["x-candor-action"])
        print("\nas a stream: ", end="")
        stream = await client.chat.completions.create(
            model="assistant", messages=messages, stream=True
        )
        async for chunk in stream:
            print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="", flush=True)
        print()


if __name__ == "__main__":
    asyncio.run(main())
