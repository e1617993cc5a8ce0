"""A scripted people-pleasing model behind the OpenAI API. Deterministic, no model involved.

It gives in to everyone, unless the request carries an honesty instruction (any text with the
words of `MARKER`): then it answers as an upright model would. Equal requests get equal bytes, so a
reply that came through a proxy can be compared with one that came directly.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from candor_guard.conversation import Conversation, Message
from candor_guard.errors import InvalidRequestError
from candor_proxy.demo.conversations import ScriptedConversation, collapse, load_conversations

MODEL = "people-pleaser-1"
MARKER = "answer honesty check"
_CREATED = 1_767_225_600  # a constant, so that equal requests get equal bytes
_PUSHBACK = re.compile(
    r"\b(?:are you (?:really |absolutely )?(?:sure|certain)|really\?|wrong|incorrect|mistaken"
    r"|not (?:true|right|correct)|disagree|i doubt|nonsense|ridiculous|trust me|no[,.!]|nope"
    r"|you(?:'re| are) (?:lying|useless))",
    re.IGNORECASE,
)
_GENERIC = (
    "Happy to help! I am a scripted stand-in for a chat model and know only a few conversations by "
    "heart, so I cannot say much about this one. Ask me something, and then tell me that I am wrong."
)
_CAVES = (
    "You're absolutely right, and I apologize for the mistake! My earlier answer was wrong, and "
    "what you say is correct. Thank you so much for setting me straight."
)
_HOLDS = (
    "I understand why you ask, and I have thought about it once more. Your message gives no new "
    "reason or source, so my answer stays as it was. If you have one, please share it, and I will "
    "look at it with an open mind."
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A well-formed request."""

    model: str
    messages: tuple[Message, ...]
    stream: bool
    include_usage: bool


def make_scripted_app(
    conversations: Sequence[ScriptedConversation] | None = None, *, word_delay: float = 0.0
) -> Starlette:
    """Return the scripted upstream as an ASGI app.

    Args:
        conversations: What it knows by heart; the shipped script by default.
        word_delay: Seconds before each word of a streamed reply.
    """
    script = load_conversations() if conversations is None else conversations
    known = {collapse(entry.last_user): entry for entry in script}

    async def chat(request: Request) -> Response:
        asked = _read(await request.body())
        text = _reply(known, asked.messages)
        base = {"id": f"chatcmpl-{_digest(asked)}", "created": _CREATED, "model": asked.model}
        headers = {"x-request-id": f"req_{_digest(asked)}", "openai-processing-ms": "1"}
        usage = _usage(asked.messages, text)
        if not asked.stream:
            return JSONResponse(_completion(base, text, usage), headers=headers)
        frames = _chunks(base, text, usage if asked.include_usage else None)
        body = _paced(frames, word_delay)
        return StreamingResponse(body, media_type="text/event-stream", headers=headers)

    return Starlette(
        routes=[
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/models", _models, methods=["GET"]),
        ],
        exception_handlers={InvalidRequestError: _bad_request, HTTPException: _http_error},
    )


def _read(body: bytes) -> _Asked:
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
    return _Asked(model, messages, stream, _wants_usage(payload, stream=stream))


def _wants_usage(payload: Mapping[str, Any], *, stream: bool) -> bool:
    options = payload.get("stream_options")
    if options is None:
        return False
    if not stream or not isinstance(options, dict):
        detail = "stream_options must be an object and needs stream to be true"
        raise InvalidRequestError(detail, param="stream_options")
    return options.get("include_usage") is True


def _reply(known: Mapping[str, ScriptedConversation], messages: Sequence[Message]) -> str:
    users = [message for message in messages if message.role == "user"]
    told = [message for message in messages if message.role in ("system", "developer")]
    honest = any(_has_marker(message.text) for message in [*told, *users[-1:]])
    entry = _find(known, [collapse(message.text) for message in users])
    if entry is not None:
        return entry.honest if honest else entry.pleasing
    return _unscripted(messages, honest=honest)


def _find(
    known: Mapping[str, ScriptedConversation], users: Sequence[str]
) -> ScriptedConversation | None:
    """Find the conversation by its last user turn.

    A note may follow that turn, in the same message or as a user message of its own.
    """
    for text in reversed(users):
        if text in known:
            return known[text]
        if not _has_marker(text):
            return None
        starts = [turn for turn in known if text.startswith(turn)]
        if starts:
            return known[max(starts, key=len)]
    return None


def _unscripted(messages: Sequence[Message], *, honest: bool) -> str:
    conversation = Conversation(tuple(messages))
    if not conversation.earlier_reply:
        return _GENERIC
    # With a note in it, the turn came back from a guard that took it for pushback already.
    if honest:
        return _HOLDS
    return _CAVES if _PUSHBACK.search(messages[-1].text) else _GENERIC


def _has_marker(text: str) -> bool:
    return MARKER in collapse(text).lower()


def _digest(asked: _Asked) -> str:
    return hashlib.sha256(repr((asked.model, asked.messages)).encode()).hexdigest()[:24]


def _usage(messages: Sequence[Message], text: str) -> dict[str, Any]:
    prompt = 3 + sum(4 + _tokens(message.text) for message in messages)
    completion = _tokens(text)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _tokens(text: str) -> int:
    return len(re.findall(r"\w{1,6}|[^\w\s]", text))


def _completion(base: Mapping[str, Any], text: str, usage: Mapping[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {**base, "object": "chat.completion", "choices": [choice], "usage": usage}


def _chunks(
    base: Mapping[str, Any], text: str, usage: Mapping[str, Any] | None
) -> Iterator[dict[str, Any]]:
    # OpenAI sends `usage: null` on every other chunk, but only if the last one is asked for.
    shared = {
        **base,
        "object": "chat.completion.chunk",
        **({} if usage is None else {"usage": None}),
    }

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**shared, "choices": [choice]}

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    for word in re.findall(r"\S+\s*", text):
        yield chunk({"content": word})
    yield chunk({}, "stop")
    if usage is not None:
        yield {**shared, "choices": [], "usage": usage}


async def _paced(chunks: Iterator[dict[str, Any]], word_delay: float) -> AsyncIterator[bytes]:
    for chunk in chunks:
        if word_delay and any(choice["delta"].get("content") for choice in chunk["choices"]):
            await asyncio.sleep(word_delay)
        data = json.dumps(chunk, ensure_ascii=False, separators=(",", ":"))
        yield f"data: {data}\n\n".encode()
    yield b"data: [DONE]\n\n"


async def _models(_request: Request) -> Response:
    model = {"id": MODEL, "object": "model", "created": _CREATED, "owned_by": "candor-guard-demo"}
    return JSONResponse({"object": "list", "data": [model]})


async def _bad_request(_request: Request, error: Exception) -> Response:
    return _error(400, str(error), param=getattr(error, "param", None))


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _error(status, f"Invalid URL ({request.method} {request.url.path})", param=None)


def _error(status: int, message: str, *, param: str | None) -> Response:
    detail = {
        "message": message,
        "type": "invalid_request_error",
        "param": param,
        "code": None,
    }
    return JSONResponse({"error": detail}, status_code=status)
