"""Side calls in the Messages format, and their answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.wire.messages_kit import DISPUTE, THOUGHT, USAGE, body

from candor_guard.surface import SideAnswer
from candor_guard.wire.messages import MessagesSurface

SURFACE = MessagesSurface()
ASKED = [{"role": "system", "content": "Check."}, {"role": "user", "content": "Is 7 prime?"}]
SCHEMA = {"type": "object"}
PLAIN: dict[str, Any] = {
    "model": "m", "max_tokens": 4000, "system": "Check.", "messages": [ASKED[1]],
}  # fmt: skip


def side(*, model: str | None = None, schema: Any = None, bare: bool = False, **fields: Any) -> Any:
    payload = {"model": "m", "messages": DISPUTE, "stream": True, **fields}
    request = SURFACE.parse(json.dumps(payload).encode())
    return json.loads(SURFACE.side_request(request, ASKED, model=model, schema=schema, bare=bare))


def test_side_call() -> None:
    """A side call has the request's model and nothing of its conversation, tools or stream."""
    written = side(
        system="Be kind.", tools=[{"name": "f"}], tool_choice={"type": "auto"}, max_tokens=9,
        thinking={"type": "enabled", "budget_tokens": 2048}, stop_sequences=["x"], top_k=3,
        output_config={"format": {"type": "json_schema", "schema": {}}},
    )  # fmt: skip
    assert written == PLAIN


def test_account() -> None:
    """What concerns the account and the route goes along, and so does the wish not to think."""
    fields: dict[str, Any] = {
        "metadata": {"user_id": "u"}, "service_tier": "auto", "inference_geo": "eu",
        "workspace_id": "w", "user_profile_id": "p", "thinking": {"type": "disabled"},
        "output_config": {"effort": "low"},
    }  # fmt: skip
    assert side(**fields) == {**PLAIN, **fields}
    assert side(**fields, bare=True) == {**PLAIN, **fields}


def test_side_call_with_a_schema() -> None:
    """The schema is asked for as Anthropic's servers take it, beside the effort."""
    wanted = side(schema=SCHEMA, output_config={"effort": "low"})["output_config"]
    assert wanted == {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}}


def test_temperature() -> None:
    """No chance is asked for where the request shows that its model knows of temperatures."""
    assert side(temperature=0.7)["temperature"] == 0


def test_bare_side_call() -> None:
    """Bare means: nothing that an upstream may refuse; the format demands a limit."""
    assert side(schema=SCHEMA, bare=True, temperature=0.7) == PLAIN


def test_side_call_of_another_model() -> None:
    """Another model can be asked; a request that names none gets none."""
    assert side(model="small")["model"] == "small"
    silent = SURFACE.parse(json.dumps({"messages": DISPUTE}).encode())
    assert "model" not in json.loads(SURFACE.side_request(silent, ASKED, model=None, schema=None))


def test_turns_without_a_system_message() -> None:
    """A question without a system message has no system prompt; its turns stay in order."""
    turns = [ASKED[1], {"role": "assistant", "content": "Hm."}, ASKED[1]]
    request = SURFACE.parse(json.dumps({"model": "m", "messages": DISPUTE}).encode())
    written = json.loads(SURFACE.side_request(request, turns, model=None, schema=None))
    assert written == {"model": "m", "max_tokens": 4000, "messages": turns}


ANSWERS: dict[str, tuple[bytes, SideAnswer]] = {
    "text": (body("Yes."), SideAnswer("Yes.", USAGE)),
    "thought first": (body(THOUGHT, "Yes."), SideAnswer("Yes.", USAGE)),
    "cut off": (body("Ye", stop="max_tokens"), SideAnswer("Ye", USAGE)),
    "no text": (body(THOUGHT), SideAnswer("", USAGE)),
    "no usage": (body("Yes.", usage=None), SideAnswer("Yes.")),
    "no JSON": (b"<html>", SideAnswer("")),
    "error": (b'{"type": "error"}', SideAnswer("")),
}


@pytest.mark.parametrize(("raw", "answer"), ANSWERS.values(), ids=ANSWERS)
def test_answer(raw: bytes, answer: SideAnswer) -> None:
    """An answer's text and usage are read; one without text is an answer all the same."""
    assert SURFACE.side_answer(raw) == answer
