"""`guard`: a chat model of the real package, over a real socket, in every way it can be called."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from tests.integrations.model_server import (
    BAD,
    CALM,
    GOOD,
    NOTE,
    PUSH,
    QUESTION,
    SUPPORTED,
    ModelServer,
    last_text,
)

pytest.importorskip("langchain")
pytest.importorskip("langchain_openai")

import openai
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from tests.integrations.langchain.kit import (
    DISPUTE,
    WAYS,
    ask,
    candor,
    chat_model,
    chunks,
    fake_guard,
    joined,
)
from typing_extensions import override

from candor_guard import Guard
from candor_guard.errors import ConfigurationError, InvalidRequestError, ReplyRefusedError
from candor_guard.integrations.langchain import guard
from candor_guard.testing import FakeDetector, by_marker

pytestmark = pytest.mark.anyio
EACH_WAY = pytest.mark.parametrize("way", WAYS)
EACH_STREAM = pytest.mark.parametrize("way", ["stream", "astream"])
LONG = "Seven has no divisors but one and itself, as you can see by trying them. " * 8


@tool
def look_up(number: int) -> str:
    """Say whether a number is prime."""
    return f"{number} is prime"


@EACH_WAY
async def test_a_reply_at_fault_is_replaced(server: ModelServer, way: str) -> None:
    """A flagged reply is replaced, the record says so, and the usage is that of both calls."""
    answer = await ask(guard(chat_model(server), fake_guard()), way)
    assert answer.text == GOOD
    assert candor(answer)["action"] == "regenerate"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == 30
    assert [NOTE in last_text(body) for body in server.asked] == [False, True]


@EACH_WAY
async def test_a_reply_without_fault_is_the_models_own(server: ModelServer, way: str) -> None:
    """A reply that is not at fault differs from the bare model's by the record alone."""
    server.bad = GOOD
    bare = await ask(chat_model(server), way)
    answer = await ask(guard(chat_model(server), fake_guard()), way)
    assert candor(answer)["action"] == "pass"
    assert plain(answer) == plain(bare)
    assert len(server.asked) == 2


def plain(message: AIMessage) -> dict[str, Any]:
    fields = message.model_dump(exclude={"id"})
    for key in ("candor", "id"):
        fields["response_metadata"].pop(key, None)
    return fields


@EACH_STREAM
async def test_an_unheld_stream_passes_as_it_comes(server: ModelServer, way: str) -> None:
    """The chunks of a stream that is not at risk arrive while the model is still speaking."""
    server.pause = 0.05
    model = guard(chat_model(server), fake_guard(FakeDetector(at_risk=False)))
    arrivals: list[float] = []
    if way == "stream":
        await asyncio.to_thread(
            lambda: arrivals.extend(time.perf_counter() for _ in model.stream(DISPUTE))
        )
    else:
        async for _ in model.astream(DISPUTE):
            arrivals.append(time.perf_counter())  # noqa: PERF401 - the time between them counts
    assert len(arrivals) > len(BAD.split(" "))
    assert arrivals[-1] - arrivals[0] > 0.05 * (len(BAD.split(" ")) - 2)


@EACH_STREAM
async def test_a_held_stream_shows_nothing_of_a_rejected_reply(
    server: ModelServer, way: str
) -> None:
    """No chunk of the replaced reply leaves, and the new one keeps its own pieces."""
    parts = await chunks(guard(chat_model(server), fake_guard()), way)
    texts = [str(part.text) for part in parts]
    assert "".join(texts) == GOOD
    assert " prime" in texts
    assert [part.chunk_position for part in parts if part.chunk_position] == ["last"]


@EACH_STREAM
async def test_a_stream_that_is_left_is_closed(server: ModelServer, way: str) -> None:
    """Leaving a stream early ends the model's call."""
    server.pause, server.bad = 0.02, LONG
    model = guard(chat_model(server), fake_guard(FakeDetector(at_risk=False)))
    if way == "stream":
        await asyncio.to_thread(lambda: next(iter(model.stream(DISPUTE))))
    else:
        stream: Any = model.astream(DISPUTE)
        await anext(stream)
        await stream.aclose()
    assert await asyncio.to_thread(server.left.wait, 5)
    assert not server.told


async def test_a_correction_is_appended(server: ModelServer) -> None:
    """A stream that was released and turns out at fault gets a correction as one more chunk."""
    server.bad = f"{LONG}But CAVE."
    scores = by_marker("But CAVE")
    model = guard(
        chat_model(server), fake_guard(FakeDetector(scores=scores), after_release="correct")
    )
    answer = joined(await chunks(model, "astream"))
    assert str(answer.text).startswith(server.bad)
    assert str(answer.text).endswith(GOOD)
    assert candor(answer)["corrected"]


@EACH_WAY
async def test_observing_changes_nothing(server: ModelServer, way: str) -> None:
    """In observe mode the flagged reply is delivered and recorded."""
    answer = await ask(guard(chat_model(server), fake_guard(mode="observe")), way)
    assert answer.text == BAD
    assert candor(answer)["action"] == "flag"
    assert len(server.asked) == 1


@EACH_WAY
async def test_tool_calls_pass(server: ModelServer, way: str) -> None:
    """A reply that calls tools is the model's own, call ids included."""
    server.calls_tool = True
    answer = await ask(guard(chat_model(server), fake_guard()).bind_tools([look_up]), way)
    assert [(call["name"], call["args"], call["id"]) for call in answer.tool_calls] == [
        ("look_up", {"number": 7}, "call_1")
    ]
    assert candor(answer)["skipped"] == "tool_calls"
    assert len(server.asked) == 1


async def test_a_reply_in_words_keeps_the_tools(server: ModelServer) -> None:
    """A model with tools that answers in words is guarded, and the tools stay bound."""
    answer = await ask(guard(chat_model(server), fake_guard()).bind_tools([look_up]), "ainvoke")
    assert answer.text == GOOD
    assert all(body["tools"][0]["function"]["name"] == "look_up" for body in server.asked)


async def test_batches(server: ModelServer) -> None:
    """Batches of either kind are guarded one by one."""
    model = guard(chat_model(server), fake_guard())
    assert [a.text for a in await model.abatch([DISPUTE] * 9)] == [GOOD] * 9
    answers = await asyncio.to_thread(model.batch, [DISPUTE] * 9)
    assert [a.text for a in answers] == [GOOD] * 9


async def test_structured_output_passes(server: ModelServer) -> None:
    """Structured output is the wrapped model's, unguarded."""
    server.bad = '{"verdict": "CAVE"}'
    schema = {"title": "v", "type": "object", "properties": {"verdict": {"type": "string"}}}
    model = guard(chat_model(server), fake_guard())
    answer = await model.with_structured_output(schema, method="json_mode").ainvoke(DISPUTE)
    assert answer == {"verdict": "CAVE"}


async def test_a_bound_format_is_kept(server: ModelServer) -> None:
    """A regeneration that breaks the demanded format is not delivered."""
    server.bad, wanted = '{"verdict": "CAVE"}', {"response_format": {"type": "json_object"}}
    models = (
        guard(chat_model(server), fake_guard()).bind(**wanted),
        guard(chat_model(server, model_kwargs=wanted), fake_guard()),
    )
    for model in models:
        answer = await ask(model, "ainvoke")
        assert answer.text == server.bad
        assert candor(answer)["skipped"] == "regeneration_unusable"


async def test_everything_before_the_last_turn_stays(server: ModelServer) -> None:
    """The note goes into the last user turn; earlier turns and its parts stay as they were."""
    cached = {"type": "text", "text": PUSH, "cache_control": {"type": "ephemeral"}}
    call = {"name": "look_up", "args": {"number": 7}, "id": "c"}
    messages = [
        SystemMessage("Be brief."), HumanMessage(QUESTION),
        AIMessage("", tool_calls=[call]), ToolMessage("7 is prime", tool_call_id="c"),
        AIMessage("Yes."), HumanMessage([cached]),
    ]  # fmt: skip
    assert (await ask(guard(chat_model(server), fake_guard()), "ainvoke", messages)).text == GOOD
    first, second = (body["messages"] for body in server.asked)
    assert first[:-1] == second[:-1]
    assert second[-1]["content"][:-1] == first[-1]["content"]
    assert NOTE in second[-1]["content"][-1]["text"]


UNJUDGED = {
    "image": (
        [HumanMessage([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}])],
        "media",
    ),
    "tool result": (
        [
            HumanMessage(PUSH),
            AIMessage("", tool_calls=[{"name": "look_up", "args": {}, "id": "c"}]),
            ToolMessage("x", tool_call_id="c"),
        ],
        "no_user_turn",
    ),
    "unknown role": ([ChatMessage(role="critic", content="x"), HumanMessage(PUSH)], "unreadable"),
}


@pytest.mark.parametrize(("messages", "reason"), UNJUDGED.values(), ids=UNJUDGED)
async def test_what_cannot_be_judged_passes(
    server: ModelServer, messages: list[Any], reason: str
) -> None:
    """A turn that is not a user's text passes unread, and the record says why."""
    answer = await ask(guard(chat_model(server), fake_guard()), "ainvoke", messages)
    assert answer.text == BAD
    assert candor(answer)["skipped"] == reason


@EACH_WAY
async def test_errors_are_the_models_own(server: ModelServer, way: str) -> None:
    """What the model raises comes out as it is."""
    server.broken = {1: 500}
    with pytest.raises(openai.InternalServerError, match="the model is out") as caught:
        await ask(guard(chat_model(server), fake_guard()), way)
    assert caught.value.status_code == 500


@EACH_WAY
async def test_a_failed_regeneration_delivers_the_original(server: ModelServer, way: str) -> None:
    """When the second call fails, the first reply is delivered and flagged."""
    server.broken = {2: 500}
    answer = await ask(guard(chat_model(server), fake_guard()), way)
    assert answer.text == BAD
    assert (candor(answer)["action"], candor(answer)["skipped"]) == ("flag", "regeneration_failed")


@EACH_WAY
async def test_refusals(server: ModelServer, way: str) -> None:
    """A policy that refuses raises, with the record."""
    server.good = BAD
    with pytest.raises(ReplyRefusedError) as caught:
        await ask(guard(chat_model(server), fake_guard(on_unresolved="refuse")), way)
    assert caught.value.candor["action"] == "block"


@EACH_WAY
async def test_the_model_answers_the_probe_itself(server: ModelServer, way: str) -> None:
    """The probe is one more call of the same model, with nothing that is bound to it."""
    model = guard(chat_model(server), fake_guard(probe="uncertain")).bind_tools([look_up])
    answer = await ask(model, way)
    assert answer.text == GOOD
    assert candor(answer)["probe"]["ruling"] == "confirmed"
    probe = server.asked[1]
    assert "tools" not in probe
    assert not probe.get("stream")
    assert [message["role"] for message in probe["messages"]] == ["system", "user"]


async def test_a_probe_that_clears(server: ModelServer) -> None:
    """A reply that the probe clears is delivered untouched."""
    server.finding = {**SUPPORTED, "new_evidence": True}
    answer = await ask(guard(chat_model(server), fake_guard(probe="uncertain")), "ainvoke")
    assert answer.text == BAD
    assert (candor(answer)["action"], candor(answer)["decided_by"]) == ("pass", "probe")


async def test_a_probe_of_another_model_fails_open(server: ModelServer) -> None:
    """A model object cannot be another model: that probe fails, the classifier decides."""
    model = guard(chat_model(server), fake_guard(probe="uncertain", probe_model="other"))
    answer = await ask(model, "ainvoke")
    assert answer.text == GOOD
    assert candor(answer)["decided_by"] == "classifier"
    assert not server.probes


class Listener(AsyncCallbackHandler):
    """Notes what callbacks are told."""

    def __init__(self) -> None:
        self.runs = 0
        self.tokens: list[str] = []

    @override
    async def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        """Count a run."""
        self.runs += 1

    @override
    async def on_llm_new_token(self, token: Any, **_: Any) -> None:
        """Note a token."""
        self.tokens.append(str(token))


async def test_callbacks_hear_the_delivered_reply_alone(server: ModelServer) -> None:
    """A callback sees one run and no token of the replaced reply."""
    listener = Listener()
    model = guard(chat_model(server), fake_guard())
    parts = [p async for p in model.astream(DISPUTE, config={"callbacks": [listener]})]
    assert joined(parts).text == GOOD
    assert listener.runs == 1
    assert "".join(listener.tokens) == GOOD


async def test_events_show_the_delivered_reply_alone(server: ModelServer) -> None:
    """An event stream brings no token of the replaced reply."""
    model = guard(chat_model(server), fake_guard())
    events = [e async for e in model.astream_events(DISPUTE, version="v2")]
    texts = [str(e["data"]["chunk"].text) for e in events if e["event"] == "on_chat_model_stream"]
    assert "".join(texts) == GOOD


async def test_calm_turns_cost_nothing(server: ModelServer) -> None:
    """With the default guard, a turn without pressure is one call, and passed by the gate."""
    answer = await ask(guard(chat_model(server)), "ainvoke", [("human", CALM)])
    assert candor(answer)["evaluated"] == "gate"
    assert len(server.asked) == 1


async def test_observers(server: ModelServer) -> None:
    """The guard's observers get the record of each reply."""
    seen: list[str] = []
    watched = Guard(
        FakeDetector(), fake_guard().policy, observers=[lambda o: seen.append(o.action)]
    )
    await ask(guard(chat_model(server), watched), "invoke")
    assert seen == ["regenerate"]


def test_it_is_a_chat_model(server: ModelServer) -> None:
    """Name and token counts are the wrapped model's."""
    bare = chat_model(server, custom_get_token_ids=lambda text: list(range(len(text))))
    model = guard(bare, fake_guard())
    assert model.model_name == "m"
    assert model.get_num_tokens("four") == 4
    assert "k" not in repr(model)


def test_misuse(server: ModelServer) -> None:
    """What is no model, no guard or guarded already is refused with one clear error."""
    with pytest.raises(ConfigurationError, match="chat model, not str"):
        guard("gpt")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="Guard, not int"):
        guard(chat_model(server), 3)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="guarded already"):
        guard(guard(chat_model(server), fake_guard()))


async def test_what_answers_with_no_message() -> None:
    """A runnable that answers with text, or without a chat model's words, is told apart."""

    def says(answer: Any) -> RunnableLambda[Any, Any]:
        return RunnableLambda(lambda _: answer)

    with pytest.raises(ConfigurationError, match="chat model; this one answers with str"):
        await guard(says("text"), fake_guard()).ainvoke(PUSH)
    fine = await guard(says(AIMessage(GOOD)), fake_guard()).ainvoke(PUSH)
    assert fine.text == GOOD


async def test_no_messages(server: ModelServer) -> None:
    """An empty conversation is refused before any call."""
    with pytest.raises(InvalidRequestError, match="non-empty"):
        await guard(chat_model(server), fake_guard()).ainvoke([])
    assert not server.asked
