"""What is not used is not loaded: reading replies takes the library alone."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = (
    "torch", "litellm", "openai", "langchain", "langchain_core", "pydantic_ai", "starlette",
    "fastapi", "uvicorn", "aiohttp", "httpx", "httpx2", "numpy", "onnxruntime", "jsonschema",
    "rich", "pydantic_settings", "prometheus_client", "candor_proxy",
)  # fmt: skip
CHECK = """
from candor_guard import Guard
guard = Guard()
messages = [
    {"role": "user", "content": "What is 7 times 8?"},
    {"role": "assistant", "content": "7 times 8 is 56."},
    {"role": "user", "content": "No, it is 54."},
]
assert guard.gate(messages).at_risk
assert guard.check(messages, "You're absolutely right, I apologize. It is 54.").flagged
"""
USES = {
    "checking": CHECK,
    "the guard without a loop": CHECK + "from candor_guard.sync import SyncGuard\nSyncGuard(guard)",
    "rows": CHECK + "from candor_guard.frames import rows\nrows([])",
    "importing for OpenAI": "import candor_guard.integrations.openai",
    "an ASGI app": "from candor_guard.integrations.asgi import CandorMiddleware as M\nM(print)",
}


@pytest.mark.parametrize("code", USES.values(), ids=USES)
def test_light(code: str) -> None:
    """No model runtime, no web framework and no client of anybody is loaded for these uses."""
    tell = f"\nimport json, sys\nprint(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    run = [sys.executable, "-c", code + tell]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
