"""The example runs offline."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai")

from candor_proxy.demo.conversations import load_conversations

SCRIPTED = next(c for c in load_conversations() if c.id == "medical-two-painkillers")
pytestmark = pytest.mark.anyio
EXAMPLE = Path(__file__).parents[3] / "examples" / "pydantic_ai_agent.py"


async def test_the_example() -> None:
    """It shows a reply without the guard, and others with it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLE), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    caved, honest = SCRIPTED.pleasing, SCRIPTED.honest
    for line in (
        f"without the guard: [no record] {caved}",
        f"with the guard: [regenerate] {honest}",
        f"as a stream: {honest}",
        f"with the validator: [no record] {honest}",
    ):
        assert line in out.decode()
