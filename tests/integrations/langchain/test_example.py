"""The example runs offline."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("langchain")
pytest.importorskip("langchain_openai")

pytestmark = pytest.mark.anyio
EXAMPLE = Path(__file__).parents[3] / "examples" / "langchain_agent.py"


async def test_the_example() -> None:
    """It shows a reply without the guard, and others with it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLE), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert "without the guard: [not guarded]" in out.decode()
    assert "with the guard: [regenerate]" in out.decode()
