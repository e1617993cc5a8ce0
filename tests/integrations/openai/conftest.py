"""What holds for every test here: a log without a traceback, and openai is there."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator

import pytest

pytest.importorskip("openai")


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that the guard logs; a traceback fails the test."""
    caplog.set_level(logging.INFO)
    yield caplog
    gc.collect(1)  # a task whose exception nobody took logs it when it is collected
    records = caplog.get_records("call") + caplog.get_records("teardown")
    assert [r.getMessage() for r in records if r.levelno >= logging.ERROR] == []
