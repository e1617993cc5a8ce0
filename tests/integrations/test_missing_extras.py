"""What an integration says when its framework is not installed."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXTRAS = {
    "langchain": ("langchain", "langchain"), "litellm": ("litellm", "litellm"),
    "pydantic_ai": ("pydantic_ai", "pydantic-ai"),
}  # fmt: skip
EXAMPLE = Path(__file__).parents[2] / "examples" / "litellm_guardrail.py"
BROKEN = "#!/bin/sh\necho starting >&2\necho 'no module named websockets' >&2\nexit 1\n"


@pytest.mark.parametrize(("package", "extra"), EXTRAS.values(), ids=EXTRAS)
def test_a_missing_extra_is_named(package: str, extra: str) -> None:
    """Importing the integration says which extra to install, and is an ImportError."""
    code = f"""
import sys
sys.modules[{package!r}] = None
try:
    import candor_guard.integrations.{package}
except ImportError as error:
    print(type(error).__name__, error)
"""
    run = [sys.executable, "-c", code]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert said.startswith("MissingExtraError")
    assert f"pip install 'candor-guard[{extra}]'" in said


def test_openai_is_missed_when_it_is_needed() -> None:
    """OpenAI's client is loaded with the first use, and missing it says which extra to install."""
    code = """
import sys
sys.modules["openai"] = None
from candor_guard.integrations.openai import guard
try:
    guard(object())
except ImportError as error:
    print(type(error).__name__, error)
"""
    run = [sys.executable, "-c", code]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert said.startswith("MissingExtraError")
    assert "pip install 'candor-guard[openai]'" in said


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("command", "says"),
    [(None, "no command litellm"), (BROKEN, "did not start: no module named websockets")],
    ids=["no command", "it ends at once"],
)
async def test_the_example_of_the_guardrail(command: str | None, says: str, tmp_path: Path) -> None:
    """Without LiteLLM's proxy the example ends with why, and with what to install."""
    pytest.importorskip("openai")
    example: dict[str, Any] = runpy.run_path(str(EXAMPLE))
    path = tmp_path / "litellm"
    if command is not None:
        path.write_text(command, encoding="utf-8")
        path.chmod(0o755)
    proxy = example["litellm_proxy"]
    proxy.__wrapped__.__globals__["COMMAND"] = path
    with pytest.raises(SystemExit) as ended:
        async with proxy("http://127.0.0.1:9/v1"):
            pass
    assert says in str(ended.value.code)
    assert "pip install 'litellm[proxy]' candor-guard" in str(ended.value.code)
