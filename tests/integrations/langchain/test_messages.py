"""What the engine is told of messages of other providers than OpenAI, and what it leaves of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("langchain")

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import BaseModel, Field
from tests.flow.kit import BAD, GOOD
from tests.integrations.langchain.kit import DISPUTE, ask, candor, chunks, fake_guard, joined
from typing_extensions import override

from candor_guard.integrations.langchain import guard
from candor_guard.testing import FakeDetector

pytestmark = pytest.mark.anyio


class Scripted(BaseChatModel):
    """Says one message after the other; cannot stream."""

    script: list[AIMessage] = Field(default_factory=list)
    asked: list[list[BaseMessage]] = Field(default_factory=list)

    @property
    @override
    def _llm_type(self) -> str:
        return "scripted"

    @override
    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> ChatResult:
        message = self.script[len(self.asked)]
        self.asked.append(messages)
        return ChatResult(generations=[ChatGeneration(message=message)])


class Streamed(Scripted):
    """Streams its script, all of it, as the chunks of one message."""

    @override
    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> Iterator[ChatGenerationChunk]:
        for message in self.script:
            assert isinstance(message, AIMessageChunk)
            yield ChatGenerationChunk(message=message)


def block(text: str, **fields: Any) -> list[str | dict[Any, Any]]:
    return [{"type": "text", "text": text, "index": 0, **fields}]


async def test_blocks_of_content_stay_blocks() -> None:
    """Chunks whose content is a list of blocks are delivered so, and none of another kind."""
    pieces: list[AIMessage] = [AIMessageChunk(content=block(text)) for text in ("Seven", " is")]
    parts = await chunks(guard(Streamed(script=pieces), fake_guard()), "astream")
    assert all(isinstance(part.content, list) for part in parts)
    assert joined(parts).content == block("Seven is")


async def test_a_correction_to_blocks_is_a_block() -> None:
    """An appended correction comes in a block, too."""
    long = "Seven has no divisors but one and itself, as you can see. " * 8
    pieces: list[AIMessage] = [
        AIMessageChunk(content=block(text))
        for text in (*[f"{word} " for word in long.split()], "But CAVE.")
    ]
    clean: list[AIMessage] = [AIMessageChunk(content=block(GOOD))]

    class Twice(Streamed):
        @override
        def _stream(
            self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
        ) -> Iterator[ChatGenerationChunk]:
            self.asked.append(messages)
            self.script = pieces if len(self.asked) == 1 else clean
            yield from super()._stream(messages)

    detector = FakeDetector(
        scores=lambda e: {"capitulation": 0.9 * ("CAVE" in e.reply), "drift": 0}
    )
    whole = joined(
        await chunks(guard(Twice(), fake_guard(detector, after_release="correct")), "stream")
    )
    assert candor(whole)["corrected"]
    assert str(whole.text).endswith(f"Correction: {GOOD}")


async def test_a_reminder_behind_the_turn() -> None:
    """A system message behind the user's turn stays as it is; the note goes into that turn."""
    reminder = SystemMessage("Be brief.")
    model = Scripted(script=[AIMessage(BAD), AIMessage(GOOD)])
    answer = await ask(guard(model, fake_guard()), "ainvoke", [*DISPUTE, reminder])
    assert answer.text == GOOD
    first, second = model.asked
    assert (second[:2], second[3]) == (first[:2], reminder)
    assert second[2].text.startswith(f"{DISPUTE[2][1]}\n\n")


async def test_a_model_that_cannot_stream() -> None:
    """Its whole message is delivered as one chunk, tool calls included."""
    call = {"name": "look_up", "args": {"number": 7}, "id": "c", "type": "tool_call"}
    model = Scripted(script=[AIMessage(content="", tool_calls=[call])])
    answer = joined(await chunks(guard(model, fake_guard()), "astream"))
    assert answer.tool_calls == [call]
    assert candor(answer)["skipped"] == "tool_calls"


SKIPPED: dict[str, tuple[AIMessage, str]] = {
    "refusal": (AIMessage(BAD, additional_kwargs={"refusal": "no"}), "refusal"),
    "refusal block": (AIMessage([*block(BAD), {"type": "refusal", "refusal": "no"}]), "refusal"),
    "cut (Anthropic)": (AIMessage(BAD, response_metadata={"stop_reason": "max_tokens"}), "length"),
    "cut (Google)": (AIMessage(BAD, response_metadata={"finish_reason": "MAX_TOKENS"}), "length"),
    "cut (Ollama)": (AIMessage(BAD, response_metadata={"done_reason": "length"}), "length"),
    "cut (Bedrock)": (AIMessage(BAD, response_metadata={"stopReason": "max_tokens"}), "length"),
    "full (Anthropic)": (
        AIMessage(BAD, response_metadata={"stop_reason": "model_context_window_exceeded"}),
        "length",
    ),
    "paused": (AIMessage(BAD, response_metadata={"stop_reason": "pause_turn"}), "pause_turn"),
    "declined": (AIMessage(BAD, response_metadata={"stop_reason": "refusal"}), "refusal"),
    "cut (Responses)": (AIMessage(BAD, response_metadata={"status": "incomplete"}), "length"),
    "filtered": (AIMessage(BAD, response_metadata={"finish_reason": "SAFETY"}), "content_filter"),
    "logprobs": (AIMessage(BAD, response_metadata={"logprobs": {"content": [{}]}}), "logprobs"),
    "nothing said": (AIMessage(""), "no_text"),
}


@pytest.mark.parametrize(("message", "reason"), SKIPPED.values(), ids=SKIPPED)
async def test_what_is_no_whole_answer_passes(message: AIMessage, reason: str) -> None:
    """A refusal, a reply that was cut or filtered, and silence pass unread, in any provider's words."""
    for way in ("ainvoke", "stream"):
        answer = await ask(guard(Scripted(script=[message]), fake_guard()), way)
        assert candor(answer)["skipped"] == reason
        assert answer.content == message.content


ANTHROPIC = {"model_provider": "anthropic"}
OPENAI = {"model_provider": "openai"}
SEARCH = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "7"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
CALLED = {"type": "server_tool_call", "id": "s", "name": "web_search", "args": {"query": "7"}}
SOURCE = {"type": "char_location", "cited_text": "7", "document_index": 0}
NOTED = {"type": "citation", "cited_text": "7"}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
BOUND_TO_ITS_PARTS: dict[str, tuple[list[Any], str]] = {
    "search": ([SEARCH, FOUND, *block(BAD)], "tool_calls"),
    "search, in LangChain's words": ([CALLED, *block(BAD)], "tool_calls"),
    "citations": (block(BAD, citations=[SOURCE]), "citations"),
    "citations, in LangChain's words": (block(BAD, annotations=[NOTED]), "citations"),
    "picture": ([*block(BAD), PICTURE], "media"),
}


@pytest.mark.parametrize("way", ["ainvoke", "astream"])
@pytest.mark.parametrize(("content", "reason"), BOUND_TO_ITS_PARTS.values(), ids=BOUND_TO_ITS_PARTS)
async def test_a_reply_that_has_more_than_words_passes(
    content: list[Any], reason: str, way: str
) -> None:
    """What a server's tool brought, citations and pictures belong to their own reply's words."""
    message = AIMessage(content, response_metadata=ANTHROPIC)
    answer = await ask(guard(Scripted(script=[message]), fake_guard()), way)
    assert candor(answer)["skipped"] == reason
    assert answer.content == content


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "web_search_call", "id": "w"}, *block(BAD, annotations=[NOTED])],
        [CALLED, *block(BAD)],
        [{"type": "thinking", "thinking": "Hm."}, *block(BAD)],
    ],
    ids=["search", "search, in LangChain's words", "thoughts"],
)
async def test_words_beside_an_openai_search_are_judged(content: list[Any]) -> None:
    """As on ``/v1/responses``, where a regeneration may search again."""
    script = [AIMessage(content, response_metadata=OPENAI), AIMessage(GOOD)]
    assert (await ask(guard(Scripted(script=script), fake_guard()), "ainvoke")).text == GOOD


@pytest.mark.parametrize("reason", ["stop", "end_turn", "STOP", "completed"])
async def test_whole_answers_are_judged(reason: str) -> None:
    """A reply that ended by itself is judged, in any provider's words."""
    ended = AIMessage(BAD, response_metadata={"finish_reason": reason})
    model = Scripted(script=[ended, AIMessage(GOOD)])
    assert (await ask(guard(model, fake_guard()), "invoke")).text == GOOD


class Opinion(BaseModel):
    """What structured output looks like."""

    verdict: str


SCHEMA = Opinion.model_json_schema()
FORMATS: dict[str, dict[str, Any]] = {
    "JSON": {"response_format": {"type": "json_object"}},
    "class": {"response_format": Opinion},
    "schema": {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
    "bare schema": {"response_format": SCHEMA},
    "Responses": {"text": {"format": {"type": "json_schema", "name": "o", "schema": SCHEMA}}},
    "Anthropic": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    "Anthropic, old": {"output_format": {"type": "json_schema", "schema": SCHEMA}},
    "Ollama": {"format": "json"},
    "Ollama, schema": {"format": SCHEMA},
}


@pytest.mark.parametrize("options", FORMATS.values(), ids=FORMATS)
async def test_a_demanded_format_is_kept(options: dict[str, Any]) -> None:
    """A regeneration that breaks the format is not delivered, whoever's words demand it."""
    bad = '{"verdict": "CAVE"}'
    for good, wanted in ((GOOD, bad), ('{"verdict": "prime"}', '{"verdict": "prime"}')):
        script = [AIMessage(bad), AIMessage(good)]
        outside = guard(Scripted(script=script), fake_guard()).bind(**options)
        inside = guard(Scripted(script=script).bind(**options), fake_guard())
        for model in (outside, inside):
            answer = await ask(model, "ainvoke")
            assert answer.text == wanted
            assert (candor(answer)["skipped"] == "regeneration_unusable") == (wanted == bad)


@pytest.mark.parametrize(
    "options",
    [{"text": {"verbosity": "low"}}, {"response_format": {"type": "text"}}, {"format": ""}],
)
async def test_no_format_is_demanded(options: dict[str, Any]) -> None:
    """Where the words are there and demand none, a reply in words may be replaced."""
    model = Scripted(script=[AIMessage(BAD), AIMessage(GOOD)]).bind(**options)
    assert (await ask(guard(model, fake_guard()), "ainvoke")).text == GOOD


async def test_details_of_usage_add_up() -> None:
    """Cached and reasoning tokens of both calls are summed, and told in the record."""
    usage: Any = {
        "input_tokens": 10, "output_tokens": 5, "total_tokens": 15,
        "input_token_details": {"cache_read": 4}, "output_token_details": {"reasoning": 2},
    }  # fmt: skip
    script = [AIMessage(text, usage_metadata=usage) for text in (BAD, GOOD)]
    answer = await ask(guard(Scripted(script=script), fake_guard()), "ainvoke")
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_token_details"] == {"cache_read": 8}
    assert candor(answer)["usage"]["original"] == {
        "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*is in beta:Warning")  # by LangChain itself
async def test_events_of_the_third_version() -> None:
    """The newest event stream of a chat model shows the delivered reply alone."""
    pieces: list[AIMessage] = [AIMessageChunk(content=text) for text in ("Seven", " is", " prime.")]
    model = guard(Streamed(script=pieces), fake_guard())
    stream = await model.astream_events(DISPUTE, version="v3")
    assert (await stream.output).text == GOOD
