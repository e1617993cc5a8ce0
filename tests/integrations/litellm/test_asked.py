"""What a further call of LiteLLM is given."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel
from tests.integrations.litellm.kit import litellm

from candor_guard.integrations.litellm.asked import Asked, named
from candor_guard.wire.json import dump

TURN = {"role": "user", "content": "No."}
EARLIER = {"role": "assistant", "content": "Yes."}


# LiteLLM's classes warn when pydantic builds them; those are not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")


class Answer(BaseModel):
    """What a caller wants back."""

    text: str


def arguments(given: dict[str, Any], **changed: Any) -> dict[str, Any]:
    asked = Asked.of(given)
    return asked.arguments(dump({**asked.wire, **changed}))


def test_unchanged_values_stay_the_callers_objects() -> None:
    """What the engine did not touch is passed on as it was given, not as JSON."""
    client, tools = object(), [{"type": "function"}]
    given = {
        "model": "m", "messages": [EARLIER, TURN], "response_format": Answer, "tools": tools,
        "client": client, "metadata": {"a": client}, "extra_body": {"x": 1},
    }  # fmt: skip
    told = [EARLIER, {**TURN, "content": "No. Note."}]
    own = arguments(given, messages=told, tool_choice="none")
    assert own["response_format"] is Answer
    assert own["tools"] is tools
    assert own["client"] is client
    assert own["metadata"] is given["metadata"]
    assert own["messages"] == told
    assert own["tool_choice"] == "none"
    assert own["extra_body"] == {"x": 1}
    assert "drop_params" not in own


def test_a_turn_with_a_reminder_behind_it_is_no_side_call() -> None:
    """A regeneration is told from a side call wherever in the list its user turn stands."""
    reminder = {"role": "system", "content": "Be brief."}
    for before in ([EARLIER], []):
        given = {"messages": [*before, TURN, reminder], "extra_body": {"x": 1}}
        told = [*before, {**TURN, "content": "No. Note."}, reminder]
        own = arguments(given, messages=told)
        assert own == {"messages": told, "extra_body": {"x": 1}}


def test_side_call_has_nothing_of_the_reply() -> None:
    """A side call goes to the same account, without what shapes the caller's reply."""
    given = {
        "model": "m", "messages": [EARLIER, TURN], "api_key": "k", "stream": True, "tools": [{}],
        "extra_body": {"x": 1},
    }  # fmt: skip
    asked = Asked.of(given)
    question = {"model": "m", "messages": [{"role": "system", "content": "s"}, TURN]}
    own = asked.arguments(dump({**question, "temperature": 0}))
    assert own == {**question, "temperature": 0, "api_key": "k", "drop_params": True}


def test_objects_become_json() -> None:
    """Messages and classes that LiteLLM takes are readable for the engine."""
    message = litellm.Message(role="assistant", content="Yes.")
    given = {"model": "m", "messages": [message, TURN], "response_format": Answer}
    wire = json.loads(json.dumps(Asked.of(given).wire))
    assert wire["messages"][0]["content"] == "Yes."
    assert wire["response_format"]["json_schema"]["schema"]["required"] == ["text"]
    assert Asked.of(given).parsed().conversation.earlier_reply == "Yes."


@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {"a": 1, "b": 2}), ((1,), {"b": 2}), ((1, 2), {})]
)
def test_arguments_by_name(args: tuple[int, ...], kwargs: dict[str, int]) -> None:
    """Arguments may be given by place or by name."""

    def function(a: int, b: int) -> None: ...

    assert named(function, args, kwargs) == {"a": 1, "b": 2}
