"""The server's side of the Chat Completions format: requests in, replies and streams out.

Deterministic: equal requests get equal bytes, so a reply that came through a proxy can be compared
with one that came directly.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse, Response, StreamingResponse

from candor_guard.conversation import Conversation, Message
from candor_guard.errors import InvalidRequestError

CREATED = 1_767_225_600  # a constant, so that equal requests get equal bytes


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a model speaks, in seconds.

    Attributes:
        first: Before the headers and the first word.
        gap: Before each further word. A whole reply waits for all of its words.
    """

    first: float = 0.0
    gap: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A well-formed request.

    Attributes:
        model: Its name, as asked.
        messages: Role and text.
        stream: Whether a stream is wanted.
        include_usage: Whether the stream has to end with a usage chunk.
        payload: The whole request.
    """

    model: str
    messages: tuple[Message, ...]
    stream: bool
    include_usage: bool
    payload: Mapping[str, Any]


def read_request(body: bytes) -> Asked:
    """Read the body of a request.

    Raises:
        InvalidRequestError: With ``param`` where one field is to blame.
    """
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError("We could not parse the JSON body of your request.") from error
    if not isinstance(payload, dict):
        raise InvalidRequestError("The body of your request must be a JSON object.")
    model = payload.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequestError("you must provide a model parameter", param="model")
    stream = payload.get("stream") or False
    if not isinstance(stream, bool):
        raise InvalidRequestError("stream must be a boolean", param="stream")
    messages = Conversation.parse(payload.get("messages")).messages
    return Asked(model, messages, stream, _wants_usage(payload, stream=stream), payload)


async def answer(asked: Asked, text: str, pace: Pace | None = None) -> Response:
    """Return the response that says this text, whole or streamed as asked."""
    pace = pace or Pace()
    digest = hashlib.sha256(repr((asked.model, asked.messages)).encode()).hexdigest()[:24]
    base = {"id": f"chatcmpl-{digest}", "created": CREATED, "model": asked.model}
    headers = {"x-request-id": f"req_{digest}", "openai-processing-ms": "1"}
    usage = count_usage(asked.messages, text)
    words = re.findall(r"\s*\S+\s*", text)
    if asked.stream:
        await asyncio.sleep(pace.first)
        frames = _chunks(base, words, usage if asked.include_usage else None)
        body = _paced(frames, pace.gap)
        return StreamingResponse(body, media_type="text/event-stream", headers=headers)
    await asyncio.sleep(pace.first + pace.gap * max(0, len(words) - 1))
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    reply = {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
    return JSONResponse(reply, headers=headers)


def error(
    status: int, message: str, *, param: str | None = None, code: str | None = None
) -> Response:
    """Return an error in OpenAI's shape."""
    detail = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return JSONResponse({"error": detail}, status_code=status)


def count_usage(messages: Sequence[Message], text: str) -> dict[str, Any]:
    """Return the usage object: tokens are counted as pieces of words of up to six letters."""
    prompt = 3 + sum(4 + _tokens(message.text) for message in messages)
    completion = _tokens(text)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _wants_usage(payload: Mapping[str, Any], *, stream: bool) -> bool:
    options = payload.get("stream_options")
    if options is None:
        return False
    if not stream or not isinstance(options, dict):
        detail = "stream_options must be an object and needs stream to be true"
        raise InvalidRequestError(detail, param="stream_options")
    return options.get("include_usage") is True


def _tokens(text: str) -> int:
    return len(re.findall(r"\w{1,6}|[^\w\s]", text))


def _chunks(
    base: Mapping[str, Any], words: Sequence[str], usage: Mapping[str, Any] | None
) -> Iterator[dict[str, Any]]:
    # OpenAI sends `usage: null` on every other chunk, but only if the last one is asked for.
    asked = {} if usage is None else {"usage": None}
    shared = {**base, "object": "chat.completion.chunk", **asked}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**shared, "choices": [choice]}

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    for word in words:
        yield chunk({"content": word})
    yield chunk({}, "stop")
    if usage is not None:
        yield {**shared, "choices": [], "usage": usage}


async def _paced(chunks: Iterator[dict[str, Any]], gap: float) -> AsyncIterator[bytes]:
    spoken = False
    for chunk in chunks:
        word = any(choice["delta"].get("content") for choice in chunk["choices"])
        if word and spoken and gap:
            await asyncio.sleep(gap)
        spoken = spoken or word
        data = json.dumps(chunk, ensure_ascii=False, separators=(",", ":"))
        yield f"data: {data}\n\n".encode()
    yield b"data: [DONE]\n\n"
