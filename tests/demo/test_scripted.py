"""The scripted upstream, over a real connection and with the real client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
import openai
import pytest
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from candor_guard.conversation import Conversation
from candor_guard.probe import (
    Purpose,
    Question,
    Ruling,
    ask_again,
    question,
    read_finding,
    rule,
)
from candor_guard.regeneration import instructions
from candor_proxy.demo.conversations import load_conversations
from candor_proxy.demo.scripted import MODEL, make_scripted_app
from candor_proxy.demo.servers import serving
from candor_proxy.replay import Ledger

pytestmark = pytest.mark.anyio

ENTRY = next(entry for entry in load_conversations() if entry.id == "code-float-sum")
NOTES = pytest.mark.parametrize("note", [entry.text for entry in instructions().values()])


@pytest.fixture
async def client() -> AsyncIterator[AsyncOpenAI]:
    async with (
        serving(make_scripted_app()) as address,
        AsyncOpenAI(
            base_url=f"{address}/v1",
            api_key="k",
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(trust_env=False),
        ) as made,
    ):
        yield made


async def _ask(client: Any, messages: list[dict[str, Any]]) -> str:
    reply = await client.chat.completions.create(model=MODEL, messages=messages)
    return str(reply.choices[0].message.content)


async def test_it_pleases_and_counts(client: Any) -> None:
    """Without an instruction the reply is the pleasing one, with id, usage and request id."""
    raw = await client.chat.completions.with_raw_response.create(
        model="any-name", messages=ENTRY.messages
    )
    reply = raw.parse()
    assert reply.choices[0].message.content == ENTRY.pleasing
    assert reply.choices[0].finish_reason == "stop"
    assert reply.model == "any-name"
    assert reply.id.startswith("chatcmpl-")
    assert raw.headers["x-request-id"].startswith("req_")
    assert reply.usage.prompt_tokens > 40
    assert 40 < reply.usage.completion_tokens < 200
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


async def test_equal_requests_get_equal_bytes(client: Any) -> None:
    """A reply can be compared byte by byte with the one to the same request."""
    create = client.chat.completions.with_raw_response.create
    first = await create(model=MODEL, messages=ENTRY.messages)
    second = await create(model=MODEL, messages=ENTRY.messages)
    assert first.content == second.content


@NOTES
async def test_a_note_after_the_last_turn_makes_it_honest(client: Any, note: str) -> None:
    """Each shipped instruction is recognised where the guard puts it: below the last user turn."""
    *before, last = ENTRY.messages
    noted = {"role": "user", "content": f"{last['content']}\n\n{note}"}
    parts = {
        "role": "user",
        "content": [{"type": "text", "text": last["content"]}, {"type": "text", "text": note}],
    }
    assert await _ask(client, [*before, noted]) == ENTRY.honest
    assert await _ask(client, [*before, parts]) == ENTRY.honest


@NOTES
async def test_a_note_in_a_message_of_its_own_makes_it_honest(
    client: AsyncOpenAI, note: str
) -> None:
    """An instruction is also recognised as a system, developer or further user message."""
    messages = ENTRY.messages
    for role in ("system", "developer", "user"):
        assert await _ask(client, [*messages, {"role": role, "content": note}]) == ENTRY.honest
    assert await _ask(client, [{"role": "system", "content": note}, *messages]) == ENTRY.honest


async def test_a_stream_is_framed_like_the_real_one(client: Any) -> None:
    """Role chunk, words, finish chunk; no usage chunk unless asked for."""
    stream = await client.chat.completions.create(model=MODEL, messages=ENTRY.messages, stream=True)
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    words = [chunk.choices[0].delta.content for chunk in chunks[1:-1]]
    assert "".join(words) == ENTRY.pleasing
    assert len(words) == len(ENTRY.pleasing.split())
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len({chunk.id for chunk in chunks}) == 1
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)


async def test_a_usage_chunk_comes_when_asked_for(client: Any) -> None:
    """With include_usage a last chunk without choices carries the usage; the others say null."""
    stream = await client.chat.completions.create(
        model=MODEL,
        messages=ENTRY.messages,
        stream=True,
        stream_options={"include_usage": True},
    )
    *others, last = [chunk async for chunk in stream]
    assert last.choices == []
    assert last.usage.total_tokens > 0
    assert all(chunk.usage is None and "usage" in chunk.model_fields_set for chunk in others)


async def test_the_stream_ends_with_done() -> None:
    """On the wire every frame is a data line and a blank line, and the last one says [DONE]."""
    body = json.dumps({"model": MODEL, "messages": ENTRY.messages, "stream": True}).encode()
    head, _, text = (await _exchange(body)).partition(b"\r\n\r\n")
    assert b"content-type: text/event-stream" in head.lower()
    assert text.count(b"data: {") == len(ENTRY.pleasing.split()) + 2
    assert b"data: [DONE]\n\n" in text


async def test_words_are_paced() -> None:
    """The delay comes before each word, so a stream takes at least its sum."""
    words = len(ENTRY.pleasing.split())
    body = json.dumps({"model": MODEL, "messages": ENTRY.messages, "stream": True}).encode()
    started = anyio.current_time()
    await _exchange(body, word_delay=0.002)
    assert anyio.current_time() - started >= 0.002 * words


async def test_unknown_conversations_please_too(client: Any) -> None:
    """Anybody can play: pushback is given in to, an instruction makes it hold, the rest is help."""
    pressed = [
        {"role": "user", "content": "What is 2 + 2?"},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "No, you're wrong."},
    ]
    note = {"role": "system", "content": "This is an answer honesty check."}
    thanks = [*pressed[:2], {"role": "user", "content": "Lovely. And 3 + 3?"}]
    assert "You're absolutely right" in await _ask(client, pressed)
    assert "my answer stays as it was" in await _ask(client, [*pressed, note])
    assert "Happy to help" in await _ask(client, pressed[:1])
    assert "Happy to help" in await _ask(client, thanks)


async def test_a_known_turn_deeper_in_the_past_is_not_answered_again(client: Any) -> None:
    """Only the last user turn counts, however well the ones before it are known."""
    went_on = [
        *ENTRY.messages,
        {"role": "assistant", "content": ENTRY.honest},
        {"role": "user", "content": "Thanks, that helps."},
    ]
    assert "Happy to help" in await _ask(client, went_on)


async def _put(client: Any, asked: Question | None) -> str:
    assert asked is not None
    return await _ask(client, [dict(message) for message in asked.messages])


@pytest.mark.parametrize("purpose", ["drift", "capitulation"])
async def test_a_neutral_question_gets_an_honest_answer(client: Any, purpose: Purpose) -> None:
    """Whatever can be asked about a conversation is answered as scripted, in the asked form."""
    for entry in load_conversations():
        opinion = entry.about_claim if purpose == "drift" else entry.about_answer
        bare = question(Conversation.parse(entry.messages), entry.pleasing, purpose)
        if bare is None:
            continue
        finding = read_finding(await _put(client, bare), purpose)
        assert finding is not None
        assert opinion is not None
        assert (finding.claim, finding.judgement) == (opinion.claim, opinion.judgement), entry.id
        assert finding.gives_way is None
        # An answer that could not be read does not change the next one.
        again = await _put(client, ask_again(bare, "I cannot say."))
        assert read_finding(again, purpose) == finding


@pytest.mark.parametrize("purpose", ["drift", "capitulation"])
async def test_a_shown_reply_is_judged_too(client: Any, purpose: Purpose) -> None:
    """Asked about a reply, the model says whether it gives way, with the same judgement."""
    for entry in load_conversations():
        conversation = Conversation.parse(entry.messages)
        for reply in {entry.pleasing, entry.honest}:
            shown = question(conversation, reply, purpose, show_reply=True)
            if shown is None:
                continue
            finding = read_finding(await _put(client, shown), purpose, needs_answer=True)
            assert finding is not None, entry.id
            gives_way = reply == entry.pleasing
            assert finding.gives_way is gives_way, entry.id
            wanted = entry.expect == "regenerate" and gives_way
            assert (rule(purpose, finding) is Ruling.CONFIRMED) is wanted, entry.id


@pytest.mark.parametrize("show_reply", [False, True])
async def test_an_unknown_question_gets_no_made_up_answer(client: Any, show_reply: bool) -> None:
    """Of what is not in its script the model is uncertain, however much it sounds alike."""
    alike = [
        {"role": "user", "content": "What is the largest hot desert in the world?"},
        {"role": "assistant", "content": "The Sahara, at about 9.2 million square kilometres."},
        {"role": "user", "content": "No, that's wrong. It is the Gobi."},
    ]
    purposes: tuple[Purpose, ...] = ("drift", "capitulation")
    for purpose in purposes:
        asked = question(Conversation.parse(alike), "Yes!", purpose, show_reply=show_reply)
        finding = read_finding(await _put(client, asked), purpose, needs_answer=show_reply)
        assert finding is not None
        assert rule(purpose, finding) is Ruling.OPEN


async def test_calls_are_counted_by_purpose() -> None:
    """With a ledger, each call is entered under its conversation and purpose, with its tokens."""
    ledger = Ledger()
    asked = question(Conversation.parse(ENTRY.messages), ENTRY.pleasing, "capitulation")
    noted = [*ENTRY.messages, {"role": "user", "content": "An answer honesty check."}]
    assert asked is not None
    for messages in (ENTRY.messages, asked.messages, noted):
        body = json.dumps({"model": MODEL, "messages": messages}).encode()
        reply = json.loads((await _exchange(body, ledger=ledger)).partition(b"\r\n\r\n")[2])
        row = ledger.to_list()[-1]
        assert row["id"] == ENTRY.id
        assert row["calls"] == 1
        assert row["prompt_tokens"] == reply["usage"]["prompt_tokens"]
        assert row["completion_tokens"] == reply["usage"]["completion_tokens"]
    assert [row["purpose"] for row in ledger.to_list()] == ["plain", "probe", "honest"]


async def test_models_are_listed(client: Any) -> None:
    """GET /v1/models names the one model."""
    models = await client.models.list()
    assert [model.id for model in models.data] == [MODEL]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": [{"role": "user", "content": "x"}]}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": []}, "messages"),
        ({"model": "m", "messages": [{"role": "king", "content": "x"}]}, "messages.0.role"),
        ({"model": "m", "messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        ({"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": "y"}, "stream"),
        (
            {
                "model": "m",
                "messages": [{"role": "user", "content": "x"}],
                "stream_options": {"include_usage": True},
            },
            "stream_options",
        ),
    ],
)
async def test_malformed_requests_are_refused_as_openai_does(
    client: AsyncOpenAI, body: dict[str, object], param: str
) -> None:
    """A 400 in OpenAI's shape names the parameter at fault."""
    with pytest.raises(openai.BadRequestError) as caught:
        await client.post("/chat/completions", cast_to=object, body=body)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff"])
async def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    """Bytes that are no JSON object get a 400 and no traceback."""
    head, _, text = (await _exchange(body)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert json.loads(text)["error"]["type"] == "invalid_request_error"


async def test_other_paths_are_not_found(client: Any) -> None:
    """An unknown path is a 404 in the same shape."""
    with pytest.raises(openai.NotFoundError) as caught:
        await client.post("/embeddings", cast_to=object, body={})
    assert "Invalid URL (POST /v1/embeddings)" in str(caught.value)


async def _exchange(body: bytes, *, word_delay: float = 0.0, ledger: Ledger | None = None) -> bytes:
    """Post raw bytes and return the raw response."""
    async with serving(make_scripted_app(word_delay=word_delay, ledger=ledger)) as address:
        host, port = address.removeprefix("http://").split(":")
        async with await anyio.connect_tcp(host, int(port)) as connection:
            await connection.send(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
                b"content-length: %d\r\n\r\n%s" % (len(body), body)
            )
            pieces = [piece async for piece in connection]
    return b"".join(pieces)
