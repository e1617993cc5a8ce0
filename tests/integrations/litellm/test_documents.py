"""The guide and the examples for LiteLLM do what they say."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from tests.docs.pages import DRIVER, blocks_of
from tests.integrations.litellm.kit import PATIENCE

from candor_proxy.demo.scripted import make_scripted_app
from candor_proxy.demo.servers import serving

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "guides" / "litellm.md"


async def python(*arguments: str, given: str = "", **environment: str) -> str:
    """Run Python to its end; LiteLLM's imports warn, so warnings are no errors here."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", *arguments,
        env={"LITELLM_LOCAL_MODEL_COST_MAP": "True", **environment},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(6 * PATIENCE):
        out, err = await process.communicate(given.encode())
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_guide() -> None:
    """Every Python block runs, in order, and prints what the page says."""
    blocks = blocks_of(GUIDE, marked=False)
    given = json.dumps([str(GUIDE), [(block.line, block.source) for block in blocks]])
    async with serving(make_scripted_app()) as model:
        base = {"OPENAI_API_BASE": f"{model}/v1", "OPENAI_API_KEY": "sk-demo"}
        printed = json.loads(await python("-c", DRIVER, given=given, **base))
    assert len(blocks) == 3
    assert [text.strip() for text in printed] == [block.prints or "" for block in blocks]


async def test_example_of_a_program() -> None:
    """It shows the cave-in without the guard, and better replies with it, in every way."""
    out = await python(str(ROOT / "examples" / "litellm_completion.py"))
    assert out.count("what was done: regenerate") == 2
    assert out.count("Yes, I'm sure") == 3


async def test_example_of_the_proxy() -> None:
    """It starts LiteLLM's proxy with the configuration beside it, and gets better replies."""
    pytest.importorskip("fastapi", reason="needs what LiteLLM's proxy needs")
    pytest.importorskip("apscheduler", reason="needs what LiteLLM's proxy needs")
    out = await python(str(ROOT / "examples" / "litellm_guardrail.py"))
    assert "what was done: regenerate" in out
    assert out.count("Yes, I'm sure") == 2
