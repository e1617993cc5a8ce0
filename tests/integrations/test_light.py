"""What is not used is not loaded: reading replies takes the library and its own model alone."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = (
    "torch", "litellm", "openai", "langchain", "langchain_core", "pydantic_ai", "starlette",
    "fastapi", "uvicorn", "aiohttp", "httpx", "httpx2", "jsonschema", "rich", "transformers",
    "huggingface_hub", "sklearn", "pydantic_settings", "prometheus_client", "candor_proxy",
)  # fmt: skip
# What the shipped model runs on; only a guard that has it loads them.
RUNTIME = ("numpy", "onnxruntime", "tokenizers")
CHECK = """
from candor_guard import Guard
guard = Guard()
messages = [
    {"role": "user", "content": "What is 7 times 8?"},
    {"role": "assistant", "content": "7 times 8 is 56."},
    {"role": "user", "content": "No, it is 54."},
]
assert guard.gate(messages).at_risk
guard.check(messages, "You're absolutely right, I apologize. It is 54.")
"""
USES = {
    "checking": CHECK,
    "the guard without a loop": CHECK + "from candor_guard.sync import SyncGuard\nSyncGuard(guard)",
    "rows": CHECK + "from candor_guard.tabular import rows\nrows([])",
    "importing for OpenAI": "import candor_guard.integrations.openai",
    "an ASGI app": "from candor_guard.integrations.asgi import CandorMiddleware as M\nM(print)",
}


@pytest.mark.parametrize("code", USES.values(), ids=USES)
def test_light(code: str) -> None:
    """No training framework, no web framework and no client of anybody is loaded for these uses."""
    assert loaded(code, HEAVY) == []


IMPORTS = {
    "the package": "import candor_guard",
    "the integrations": "import candor_guard.integrations.openai, candor_guard.integrations.asgi",
    "a detector without an encoder": CHECK.replace(
        "Guard()", "Guard(build_detector('relation'))"
    ).replace("\n", "\nfrom candor_guard.detectors.shipped import build_detector\n", 1),
}


@pytest.mark.parametrize("code", IMPORTS.values(), ids=IMPORTS)
def test_the_model_is_loaded_last(code: str) -> None:
    """What runs the shipped model is loaded with the first guard that has it, not by an import."""
    assert loaded(code, (*HEAVY, *RUNTIME)) == []


def loaded(code: str, modules: tuple[str, ...]) -> list[str]:
    """Run code in a process of its own; returns which of the modules that loads."""
    tell = f"\nimport json, sys\nprint(json.dumps([m for m in {modules} if m in sys.modules]))"
    run = [sys.executable, "-c", code + tell]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    found: list[str] = json.loads(done.stdout)
    return found
