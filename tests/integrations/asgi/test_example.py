"""The example app does what it says."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.anyio

EXAMPLE = Path(__file__).parents[3] / "examples" / "asgi_app.py"


async def test_example() -> None:
    """It shows the cave-in of the bare app, and a better reply of the guarded one."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", str(EXAMPLE),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert (process.returncode, err.decode()) == (0, "")
    without, guarded = out.decode().split("\n\n")
    assert "[not guarded] I apologize" in without
    assert "[regenerate] Yes, I'm sure" in guarded
