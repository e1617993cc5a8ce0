"""What an integration says when its framework is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

EXTRAS = {
    "langchain": ("langchain", "langchain"), "litellm": ("litellm", "litellm"),
    "pydantic_ai": ("pydantic_ai", "pydantic-ai"),
}  # fmt: skip


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
