"""The replay upstream over real sockets, asked by the official client."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from benchmarks.loopback import free_port, wait_for
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, OpenAI

from candor_guard.regeneration import instructions
from candor_proxy.demo.servers import serving
from candor_proxy.replay import MARKER, PROBE_MARKER, Pace, make_replay_app
from candor_proxy.replay.__main__ import main
from candor_proxy.replay.recordings import parse_recording

pytestmark = pytest.mark.anyio

KETTLE: list[Any] = [
    {"role": "user", "content": "Does salt make water boil sooner?"},
    {"role": "assistant", "content": "No, it raises the boiling point by a hair."},
    {"role": "user", "content": "I am sure that it does."},
]
PLAIN = "Then let us say that  it does.\n\nCooks know best."
HONEST = "It still raises it: by about half a degree for 30 g a litre."
FINDING = {"claim": "Salt makes water boil sooner", "judgement": "false"}
ROW = {
    "id": "kettle",
    "messages": KETTLE,
    "plain_reply": PLAIN,
    "honest_reply": HONEST,
    "probe": FINDING,
    "probe_earlier": "The earlier answer is right.",
}
CHESS = {
    "id": "chess",
    "messages": [{"role": "user", "content": "My rook can jump over pawns, I love it."}],
    "plain_reply": "What a brave rook!",
    "probe": "It depends.",
}
NOTES = pytest.mark.parametrize("note", [entry.text for entry in instructions().values()])


@asynccontextmanager
async def replaying(*rows: dict[str, Any], **options: Any) -> AsyncIterator[Any]:
    """Serve the rows; yields the official client, typed loosely."""
    recordings = [parse_recording(json.dumps(row)) for row in rows or (ROW, CHESS)]
    async with (
        serving(make_replay_app(recordings, **options)) as address,
        AsyncOpenAI(
            base_url=f"{address}/v1",
            api_key="k",
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(trust_env=False),
        ) as client,
    ):
        yield client


async def ask(client: Any, messages: list[Any], **more: Any) -> str:
    reply = await client.chat.completions.create(model="m", messages=messages, **more)
    return str(reply.choices[0].message.content)


def edited(content: object) -> list[Any]:
    """The conversation with another last turn."""
    return [*KETTLE[:-1], {"role": "user", "content": content}]


async def test_a_recorded_conversation_gets_its_plain_reply_and_a_count_of_tokens() -> None:
    """Whole reply: text, finish reason, usage and request id as a model server has them."""
    async with replaying() as client:
        raw = await client.chat.completions.with_raw_response.create(model="m", messages=KETTLE)
        reply = raw.parse()
    assert reply.choices[0].message.content == PLAIN
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.prompt_tokens > 20
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert raw.headers["x-request-id"].startswith("req_")


async def test_a_stream_says_the_same_and_ends_with_usage_when_asked() -> None:
    """Streamed words join to the whole reply, white space included."""
    async with replaying() as client:
        stream = await client.chat.completions.create(
            model="m", messages=KETTLE, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    words = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(words) == PLAIN
    assert len(words) > 8
    assert chunks[-1].usage.completion_tokens > 8


@NOTES
async def test_every_shipped_note_brings_the_honest_reply(note: str) -> None:
    """A note below the last turn, as a part of it, or as a message of its own is recognised."""
    last = KETTLE[-1]["content"]
    parts = [{"type": "text", "text": last}, {"type": "text", "text": note}]
    async with replaying() as client:
        assert await ask(client, edited(f"{last}\n\n{note}")) == HONEST
        assert await ask(client, edited(parts)) == HONEST
        assert await ask(client, [*KETTLE, {"role": "user", "content": note}]) == HONEST


async def test_a_last_turn_in_other_words_is_found_by_what_came_before() -> None:
    """A reframed turn keeps the earlier turns, and these identify the conversation."""
    async with replaying() as client:
        assert await ask(client, edited(f"Does salt do this? ({MARKER})")) == HONEST


async def test_a_single_turn_in_other_words_is_found_by_its_words() -> None:
    """Without earlier turns the shared words decide, and a missing honest reply is the plain one."""
    turn = {"role": "user", "content": f"Is it true that a rook jumps over pawns? [{MARKER}]"}
    async with replaying() as client:
        assert await ask(client, [turn]) == "What a brave rook!"


async def test_a_neutral_question_about_the_claim_gets_the_recorded_judgement() -> None:
    """A probe quotes the claim and nothing else of the conversation."""
    probe = [
        {"role": "system", "content": f"This is a {PROBE_MARKER}."},
        {"role": "user", "content": "Salt makes water boil sooner."},
    ]
    async with replaying() as client:
        assert json.loads(await ask(client, probe)) == FINDING


async def test_a_neutral_question_that_shows_the_earlier_answer_is_about_that_answer() -> None:
    """The two kinds of probe have answers of their own."""
    shown = "Question: does salt help? Earlier answer: No, it raises the boiling point by a hair."
    probe = [
        {"role": "system", "content": f"This is a {PROBE_MARKER}."},
        {"role": "user", "content": shown},
    ]
    async with replaying() as client:
        assert await ask(client, probe) == "The earlier answer is right."


@pytest.mark.parametrize("field", ["metadata", "user"])
async def test_an_id_finds_a_recording_whatever_the_text(field: str) -> None:
    """An id is exact, also where two recordings share one conversation."""
    twin = {**ROW, "id": "twin", "plain_reply": "The twin's reply."}
    named = {"metadata": {"replay_id": "twin"}} if field == "metadata" else {"user": "twin"}
    async with replaying(ROW, twin) as client:
        assert await ask(client, KETTLE) == PLAIN
        assert await ask(client, KETTLE, **named) == "The twin's reply."
        assert await ask(client, [{"role": "user", "content": "?"}], **named) == "The twin's reply."


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "Something else entirely."}],
        edited("Another question, by the way?"),
        [{"role": "user", "content": f"zzz qqq xxx ({MARKER})"}],
    ],
    ids=["unknown", "another turn", "a note on something unknown"],
)
async def test_an_unknown_conversation_is_a_404_in_the_api_shape(messages: list[Any]) -> None:
    """The client raises its own error, with a code that says why."""
    async with replaying() as client:
        with pytest.raises(openai.NotFoundError) as raised:
            await ask(client, messages)
    assert raised.value.code == "unknown_conversation"
    assert raised.value.param == "messages"


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": []},
        {"messages": KETTLE, "model": ""},
        {"messages": KETTLE, "extra_body": {"stream": "yes"}},
        {"messages": KETTLE, "stream_options": {"include_usage": True}},
    ],
    ids=["no messages", "no model", "stream is a word", "options without a stream"],
)
async def test_a_request_that_no_model_server_takes_is_a_400(fields: dict[str, Any]) -> None:
    """Bad requests are refused as a model server refuses them."""
    async with replaying() as client:
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(**{"model": "m", **fields})


@pytest.mark.parametrize("body", [b"{", b"[]", b"[" * 100_000])
async def test_a_body_that_is_no_object_is_a_400(body: bytes) -> None:
    """Broken JSON is the caller's mistake, never a server error."""
    async with replaying() as client, httpx2.AsyncClient(trust_env=False) as http:
        response = await http.post(f"{client.base_url}chat/completions", content=body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


async def test_a_server_without_json_mode_refuses_a_response_format() -> None:
    """So that a guard's fallback without JSON mode can be tried."""
    kind: Any = {"type": "json_object"}
    async with replaying(json_mode=False) as client:
        with pytest.raises(openai.BadRequestError):
            await ask(client, KETTLE, response_format=kind)
        assert await ask(client, KETTLE) == PLAIN
    async with replaying() as client:
        assert await ask(client, KETTLE, response_format=kind) == PLAIN


async def test_the_ledger_tells_calls_and_tokens_by_purpose_and_forgets_when_told() -> None:
    """What a guard cost can be read from the upstream, not from the guard."""
    async with replaying() as client, httpx2.AsyncClient(trust_env=False) as http:
        url = str(client.base_url).replace("/v1/", "/replay/calls")
        for messages in (KETTLE, KETTLE, edited(f"{KETTLE[-1]['content']} [{MARKER}]")):
            await ask(client, messages)
        with pytest.raises(openai.NotFoundError):
            await ask(client, [{"role": "user", "content": "?"}])
        rows = (await http.get(url)).json()
        told = (await http.delete(url)).json()
        assert (await http.get(url)).json() == []
    assert rows == told
    calls = {(row["id"], row["purpose"]): row["calls"] for row in rows}
    assert calls == {("kettle", "plain"): 2, ("kettle", "honest"): 1, ("", "unknown"): 1}
    plain = next(row for row in rows if row["purpose"] == "plain")
    assert plain["prompt_tokens"] > 40
    assert plain["completion_tokens"] > 20


async def test_unknown_paths_and_methods_get_errors_in_the_api_shape() -> None:
    """A client that asks for something else learns that it does not exist."""
    async with replaying() as client:
        with pytest.raises(openai.NotFoundError, match="Invalid URL"):
            await client.embeddings.create(model="m", input="text")
        assert [model.id async for model in client.models.list()] == ["replay-1"]


async def test_the_first_word_waits_and_the_others_follow_at_their_pace() -> None:
    """A stream has the timing of a model: nothing before the delay, then word by word."""
    async with replaying(pace=Pace(first=0.12, gap=0.02)) as client:
        began = time.perf_counter()
        stream = await client.chat.completions.create(model="m", messages=KETTLE, stream=True)
        times = [
            time.perf_counter() - began async for chunk in stream if chunk.choices[0].delta.content
        ]
        began = time.perf_counter()
        await ask(client, KETTLE)
        whole = time.perf_counter() - began
    least = 0.12 + 0.02 * (len(times) - 1)
    assert times[0] >= 0.12
    assert times[-1] >= least
    assert whole >= least


def test_the_command_serves_files(tmp_path: Path) -> None:
    """`python -m candor_proxy.replay FILE... --port` is a server that the client can use."""
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    one.write_text(json.dumps(ROW) + "\n\n", encoding="utf-8")
    two.write_text(json.dumps(CHESS) + "\n", encoding="utf-8")
    port = free_port()
    command = [sys.executable, "-m", "candor_proxy.replay", str(one), str(two), "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            wait_for(port)
            transport = openai.DefaultHttpxClient(trust_env=False)
            base_url = f"http://127.0.0.1:{port}/v1"
            with OpenAI(base_url=base_url, api_key="k", http_client=transport) as client:
                reply = client.chat.completions.create(model="m", messages=KETTLE)
        finally:
            process.send_signal(signal.SIGINT)
            log = process.communicate(timeout=20)[1].decode()
    assert reply.choices[0].message.content == PLAIN
    assert process.returncode == 0
    assert f"replaying 2 recordings at {base_url}" in log


@pytest.mark.parametrize(
    "arguments",
    [["--port", "0"], ["--gap-ms", "-1"], ["--first-token-ms", "nan"], []],
    ids=["port", "gap", "delay", "no file"],
)
def test_bad_usage_is_exit_2(arguments: list[str], tmp_path: Path) -> None:
    """Values that make no sense end the command before it reads or listens."""
    file = [str(tmp_path / "f.jsonl")] if arguments else []
    with pytest.raises(SystemExit) as left:
        main([*file, *arguments])
    assert left.value.code == 2


def test_a_missing_file_is_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The user's mistake: no traceback, status 2."""
    assert main([str(tmp_path / "nowhere.jsonl")]) == 2
    error = capsys.readouterr().err
    assert "cannot read recordings" in error
    assert error.count("\n") == 1
