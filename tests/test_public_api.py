"""What the package promises: its names, and an import that is light."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import candor_guard

NAMES = [
    "CandorGuardError",
    "ClosedError",
    "ConfigurationError",
    "DetectorError",
    "Guard",
    "InvalidRequestError",
    "Outcome",
    "Policy",
    "Reading",
    "ReplyRefusedError",
    "Risk",
    "Span",
    "SyncGuard",
    "UpstreamError",
    "Verdict",
    "__version__",
]
HEAVY = [
    "starlette", "uvicorn", "fastapi", "pydantic_settings", "rich", "prometheus_client", "torch",
    "transformers", "onnxruntime", "litellm", "openai", "jsonschema", "candor_proxy",
]  # fmt: skip
LIST = (
    f"import json, sys, candor_guard; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
)


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_names() -> None:
    """The public names are these; a change is a decision, not an accident."""
    assert candor_guard.__all__ == NAMES
    assert all(hasattr(candor_guard, name) for name in NAMES)


def test_import_is_light() -> None:
    """Importing the library loads no web framework, no model runtime and no provider's client."""
    assert json.loads(python(LIST)) == []


def _cpu_seconds(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    python(code)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_import_is_fast() -> None:
    """Importing the library takes less than half a second of a core (Python's own start apart)."""
    start = min(_cpu_seconds("pass") for _ in range(3))
    assert min(_cpu_seconds("import candor_guard") for _ in range(3)) - start < 0.5
