"""What comes with a reply of a guarded model: its other choices, what its package says, its usage."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integrations.model_server import BAD, GOOD, PUSH, ModelServer

pytest.importorskip("langchain")
pytest.importorskip("langchain_openai")

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from langchain_core.outputs import ChatGeneration
from tests.integrations.langchain.kit import DISPUTE, ask, candor, chat_model, fake_guard
from typing_extensions import override

from candor_guard.integrations.langchain import guard

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("bound", [False, True], ids=["of the model", "bound"])
async def test_several_choices_pass(server: ModelServer, bound: bool) -> None:
    """All choices arrive, the record with the first, and what the model says of the call."""
    bare = chat_model(server).bind(n=2) if bound else chat_model(server, n=2)
    model = guard(bare, fake_guard())
    results = [
        await model.agenerate([[HumanMessage(PUSH)]]),
        model.generate([[HumanMessage(PUSH)]]),
    ]
    for result in results:
        first, second = result.generations[0]
        assert isinstance(first, ChatGeneration)
        assert (first.text, second.text) == (BAD, BAD)
        assert candor(first.message)["skipped"] == "n"
        assert result.llm_output is not None
        assert result.llm_output["token_usage"]["total_tokens"] == 15
    assert len(server.asked) == 2


async def test_what_the_model_says_of_its_calls(server: ModelServer) -> None:
    """The delivered choice comes with what the model's package says of it and of its call."""
    result = await guard(chat_model(server), fake_guard()).agenerate([[HumanMessage(PUSH)]])
    (only,) = result.generations[0]
    assert (only.text, only.generation_info) == (GOOD, {"finish_reason": "stop", "logprobs": None})
    assert result.llm_output is not None
    assert result.llm_output["token_usage"]["total_tokens"] == 15


async def test_log_probabilities_pass(server: ModelServer) -> None:
    """A reply with log probabilities is the model's own: those of another would not fit it."""
    answer = await ask(guard(chat_model(server, logprobs=True), fake_guard()), "ainvoke")
    assert (answer.text, candor(answer)["skipped"]) == (BAD, "logprobs")
    assert answer.response_metadata["logprobs"]["content"]


@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_usage_is_the_sum_or_none(server: ModelServer, way: str) -> None:
    """A stream that does not tell its usage leaves none: the probe's alone would pass for all."""
    for told, total in ((True, 45), (False, None)):
        model = guard(chat_model(server, stream_usage=told), fake_guard(probe="uncertain"))
        answer = await ask(model, way)
        assert answer.text == GOOD
        usage = answer.usage_metadata
        assert (usage["total_tokens"] if usage else None) == total


class Told(BaseCallbackHandler):
    """What traces are told of the model that is called."""

    def __init__(self) -> None:
        self.of_model: dict[str, Any] = {}

    @override
    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        told = kwargs["metadata"]
        self.of_model = {key: told[key] for key in told if key.startswith("ls_")}
        self.of_model["parameters"] = kwargs["invocation_params"]


@pytest.mark.parametrize("bound", [False, True], ids=["plain", "bound"])
async def test_traces_name_the_wrapped_model(server: ModelServer, bound: bool) -> None:
    """Traces hear the wrapped model's provider, name and settings, by which costs are reckoned."""
    bare: Any = chat_model(server, temperature=0.5)
    bare = bare.bind(max_tokens=9) if bound else bare
    heard = []
    for model in (bare, guard(bare, fake_guard())):
        told = Told()
        await model.ainvoke(DISPUTE, {"callbacks": [told]})
        heard.append(told.of_model)
    assert heard[0]["ls_provider"] == "openai"
    assert heard[0] == heard[1]
