"""Pydantic AI's messages as the detectors read them."""

from __future__ import annotations

import pytest

pytest.importorskip("pydantic_ai")

from pydantic_ai.messages import (
    BinaryContent,
    CachePoint,
    FilePart,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    NativeToolCallPart,
    NativeToolReturnPart,
    SpeechPart,
    SystemPromptPart,
    TextContent,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.usage import RequestUsage

from candor_guard.conversation import Message
from candor_guard.integrations.hosting.terms import Edited
from candor_guard.integrations.pydantic_ai.messages import edited, finish, openai_usage, skip, turns


def test_turns() -> None:
    """Each part is a turn of its role; instructions come first, thinking is left out."""
    messages: list[ModelMessage] = [
        ModelRequest([SystemPromptPart("S"), UserPromptPart("U")], instructions="old"),
        ModelResponse([ThinkingPart("T"), TextPart("A"), TextPart("B"), ToolCallPart("f", {})]),
        ModelRequest([ToolReturnPart("f", {"n": 7}, "id")], instructions="new"),
        ModelRequest([UserPromptPart(["x", TextContent("y"), CachePoint()])]),
        ModelRequest([UserPromptPart(["x", BinaryContent(b"", media_type="image/png")])]),
    ]
    assert turns(messages) == [
        Message("system", "new"),
        Message("system", "S"),
        Message("user", "U"),
        Message("assistant", "A\n\nB"),
        Message("tool", '{"n":7}'),
        Message("user", "x\ny"),
        Message("user", "x", media=True),
    ]


def test_feedback_is_nobodys_pressure() -> None:
    """A program's feedback is no turn of the user; speech is one that cannot be read."""
    part = {"part_kind": "retry-prompt", "content": "wrong!"}
    stored = ModelMessagesTypeAdapter.validate_python([{"kind": "request", "parts": [part]}])
    assert turns(stored) == [Message("tool", "")]
    assert turns([ModelRequest([SpeechPart(speaker="user")])]) == [Message("user", "", media=True)]


def test_the_note_goes_into_the_users_turn() -> None:
    """Whatever the framework adds behind the user's turn stays as it is."""
    earlier = ModelRequest([UserPromptPart("Is it?")])
    turn = ModelRequest([UserPromptPart("No."), SystemPromptPart("Be brief.")])
    reminder = ModelRequest([SystemPromptPart("Be brief.")])
    for behind in ([], [reminder]):
        first, second, *rest = edited([earlier, turn, *behind], Edited("No. Note.", "Note."))
        assert (first, rest) == (earlier, behind)
        assert turns([second]) == [Message("user", "No. Note."), Message("system", "Be brief.")]


def test_usage() -> None:
    """Usage is told in OpenAI's words; none at all is told as none."""
    assert openai_usage(RequestUsage()) is None
    details = RequestUsage(
        input_tokens=10, output_tokens=5, cache_read_tokens=4, output_reasoning_tokens=2
    )
    assert openai_usage(details) == {
        "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }  # fmt: skip


def test_reasons_to_finish() -> None:
    """Reasons are OpenAI's; a response that goes on later is no whole one."""
    assert finish(ModelResponse([], finish_reason="tool_call")) == "tool_calls"
    assert finish(ModelResponse([], finish_reason="length")) == "length"
    assert finish(ModelResponse([])) is None
    assert finish(ModelResponse([], finish_reason="stop", state="interrupted")) == "length"


CITED = TextPart("A", provider_details={"citations": [{}]}, provider_name="anthropic")
UNJUDGED: dict[str, tuple[ModelResponse, str | None]] = {
    "words": (ModelResponse([ThinkingPart("T"), TextPart("A")], provider_name="anthropic"), None),
    "tool": (ModelResponse([TextPart("A"), ToolCallPart("f", {})]), "tool_calls"),
    "citations": (ModelResponse([CITED], provider_name="anthropic"), "citations"),
    "cited by OpenAI": (ModelResponse([CITED], provider_name="openai"), None),
    "picture": (ModelResponse([FilePart(BinaryContent(b"", media_type="image/png"))]), "media"),
    "log probabilities": (
        ModelResponse([TextPart("A")], provider_details={"logprobs": [{}]}),
        "logprobs",
    ),
    "paused": (ModelResponse([TextPart("A")], state="suspended"), "pause_turn"),
}


@pytest.mark.parametrize(("response", "reason"), UNJUDGED.values(), ids=UNJUDGED)
def test_what_is_more_than_words(response: ModelResponse, reason: str | None) -> None:
    """What belongs to a response's own words keeps it from being replaced."""
    assert skip(response) == reason


SEARCHED = (NativeToolCallPart("web_search", {}), NativeToolReturnPart("web_search", []))


@pytest.mark.parametrize("part", SEARCHED)
def test_words_beside_a_search(part: ModelResponsePart) -> None:
    """They are judged where a regeneration may search again, as on ``/v1/responses``."""
    for provider, reason in (
        ("anthropic", "tool_calls"),
        ("google", "tool_calls"),
        ("openai", None),
    ):
        assert skip(ModelResponse([part, TextPart("A")], provider_name=provider)) == reason
    picture = ModelResponse([NativeToolCallPart("image_generation", {})], provider_name="openai")
    assert skip(picture) == "tool_calls"
