"""An upstream that reaches every provider LiteLLM knows, behind the extra ``[litellm]``.

The rest of the program sees an OpenAI server: JSON in, JSON or server-sent events out. LiteLLM
takes two seconds and 190 MB to import, so it is imported when the first `LiteLLMUpstream` is made
and nowhere else. `candor_guard.upstreams.litellm_request` says what a client may ask for; every
other option belongs to the operator.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import json
import logging
import os
import re
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from candor_guard.errors import (
    MissingExtraError,
    UpstreamError,
    UpstreamInterruptedError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from candor_guard.upstreams import Headers, UpstreamRequest, UpstreamResponse
from candor_guard.upstreams.litellm_request import RefusedError, checked

# "litellm.NotFoundError: NotFoundError: OpenAIException - " in front of what the provider said.
_OWN_PREFIX: Final = re.compile(r"(litellm\.)?(\w+(Error|Exception)(: | - ))+")

_PASSED_HEADERS: Final = re.compile(
    r"x-request-id|retry-after(-ms)?|x-ratelimit-.*|x-should-retry|openai-processing-ms"
)
_JSON: Final = ("content-type", "application/json")
_EVENTS: Final = ("content-type", "text/event-stream; charset=utf-8")
_DONE: Final = b"data: [DONE]\n\n"
_BROKEN_OFF: Final = "the provider broke off in the middle of its answer"


class LiteLLMUpstream:
    """Every provider that LiteLLM knows, as one OpenAI-compatible server.

    Serves ``POST /chat/completions`` and ``GET /models``; other paths do not exist. The client's
    own key is never passed on: keys come from here or, as LiteLLM does it, from the environment
    variables of each provider.

    Args:
        models: Names for ``GET /models``, such as ``anthropic/claude-sonnet-4-5``. When given, no
            other model can be asked for.
        api_keys: Key by provider, such as ``{"openai": "sk-..."}``.
        litellm_params: Options of ``litellm.acompletion`` for every call, such as ``api_base``.
        read_timeout: Seconds until the reply, or the first and each next piece of a stream.

    Raises:
        MissingExtraError: If LiteLLM is not installed.
    """

    def __init__(
        self,
        *,
        models: Iterable[str] = (),
        api_keys: Mapping[str, str] | None = None,
        litellm_params: Mapping[str, Any] | None = None,
        read_timeout: float = 600,
    ) -> None:
        self._library = _load()
        self._models = tuple(models)
        self._api_keys = dict(api_keys or {})
        self._params = dict(litellm_params or {})
        self._read_timeout = read_timeout
        self._streams: set[_EventResponse] = set()

    async def open(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send a request and return as soon as status and headers are there.

        Raises:
            UpstreamUnreachableError: If the provider cannot be reached.
            UpstreamTimeoutError: If it can, but does not answer in time.
        """
        match request.method, request.path.partition("?")[0]:
            case "POST", "/chat/completions":
                body = await _collect(request.body)
                try:
                    return await self._complete(checked(body, self._models))
                except RefusedError as refusal:
                    return _error(refusal.status, str(refusal), param=refusal.param)
            case "GET", "/models":
                return _whole(200, _model_list(self._models))
            case method, path:
                return _error(404, f"there is no {method} {path} with LiteLLM as the upstream")

    async def aclose(self) -> None:
        """Close all streams, and LiteLLM's connections unless the host program uses it too."""
        for stream in list(self._streams):
            await stream.aclose()
        await self._library.close()

    async def _complete(self, params: dict[str, Any]) -> UpstreamResponse:
        library = self._library
        try:
            async with asyncio.timeout(self._read_timeout):
                reply = await library.litellm.acompletion(**self._options(params))
        except library.errors as error:
            failure = library.translate(error)
            if failure is None:
                return self._error_response(error)
            raise failure from None
        headers = _passed(getattr(reply, "_hidden_params", {}).get("additional_headers"))
        if params.get("stream"):
            return _EventResponse(reply, headers, library, self._read_timeout, self._streams)
        return _whole(200, _as_openai(reply, "message"), headers)

    def _options(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return what LiteLLM is called with; the operator's options come last, and win."""
        # Our clock goes off first: what LiteLLM makes of a timeout differs by provider.
        options = {"timeout": 2 * self._read_timeout, "max_retries": 0, **params}
        if self._api_keys:
            options["api_key"] = self._api_keys.get(self._provider(params["model"]))
        return options | self._params

    def _provider(self, model: str) -> str:
        provider, slash, _ = model.partition("/")
        return provider if slash else str(self._library.litellm.get_llm_provider(model)[1])

    def _error_response(self, error: Any) -> UpstreamResponse:
        bodies = (getattr(cause, "body", None) for cause in _causes(error))
        said = next((body for body in bodies if isinstance(body, Mapping)), {})
        own_words = _OWN_PREFIX.sub("", str(getattr(error, "message", error)), count=1)
        message = str(said.get("message") or own_words)
        for secret in (*self._api_keys.values(), self._params.get("api_key")):
            message = message.replace(secret, "***") if secret else message
        headers = _passed(_headers_of(error))
        code, param = said.get("code"), said.get("param")
        return _error(_status(error), message, code=code, param=param, headers=headers)


class _WholeResponse:
    """A response whose body is known."""

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self._body = body

    async def read(self) -> bytes:
        body, self._body = self._body, b""
        return body

    async def aclose(self) -> None:
        self._body = b""


class _EventResponse:
    """A stream of LiteLLM's chunks as server-sent events.

    The chunk is awaited in a task of its own: cancelling a generator in mid-step would end it,
    but a cancelled `read` must lose nothing.
    """

    def __init__(
        self,
        chunks: Any,
        headers: Headers,
        library: _Library,
        read_timeout: float,
        registry: set[_EventResponse],
    ) -> None:
        self.status = 200
        self.headers: Headers = (_EVENTS, *headers)
        self._chunks = chunks
        self._events = _events(chunks)
        self._library = library
        self._read_timeout = read_timeout
        self._registry = registry
        self._next: asyncio.Task[bytes] | None = None
        self._closed = False
        registry.add(self)

    async def read(self) -> bytes:
        if self._closed:
            raise UpstreamInterruptedError(_BROKEN_OFF)
        step = self._next = self._next or asyncio.create_task(self._step())
        await asyncio.wait({step}, timeout=self._read_timeout)
        if not step.done():
            await self.aclose()
            raise UpstreamTimeoutError("the provider fell silent in the middle of its answer")
        self._next = None
        if step.cancelled():
            raise UpstreamInterruptedError(_BROKEN_OFF)
        try:
            return step.result()
        except self._library.errors as error:
            await self.aclose()
            failure = self._library.translate(error)
            if isinstance(failure, UpstreamTimeoutError):
                raise failure from None
            raise UpstreamInterruptedError(_BROKEN_OFF) from None

    async def aclose(self) -> None:
        self._closed = True
        self._registry.discard(self)
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)
        await self._events.aclose()
        await self._chunks.aclose()

    async def _step(self) -> bytes:
        return await anext(self._events, b"")


@dataclass(frozen=True, slots=True)
class _Library:
    """LiteLLM as imported, and what its exceptions mean to us."""

    litellm: Any
    openai: Any
    shared: bool

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        # LiteLLM's exceptions inherit from OpenAI's.
        return (self.openai.OpenAIError, TimeoutError)

    def translate(self, error: Exception) -> UpstreamError | None:
        """Return our exception for a lost connection or silence; None for a provider's answer."""
        if isinstance(error, (TimeoutError, self.openai.APITimeoutError)):
            return UpstreamTimeoutError("the provider did not answer in time")
        # A lost connection may come as a status 500 that no server has sent.
        if any(isinstance(cause, self.openai.APIConnectionError) for cause in _causes(error)):
            return UpstreamUnreachableError("the provider cannot be reached")
        return None

    async def close(self) -> None:
        if self.shared:
            return
        cleanup = importlib.import_module("litellm.llms.custom_httpx.async_client_cleanup")
        await cleanup.close_litellm_async_clients()
        # Closed clients in LiteLLM's cache would be handed out again.
        self.litellm.in_memory_llm_clients_cache.flush_cache()


@functools.cache
def _load() -> _Library:
    shared = "litellm" in sys.modules
    if not shared:
        # Read by LiteLLM while it is imported. Without the first it fetches a price list from
        # the network and retries for seconds; without the second it loads any .env file.
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # noqa: TID251 - write only
        os.environ.setdefault("LITELLM_MODE", "PRODUCTION")  # noqa: TID251 - write only
    try:
        litellm: Any = importlib.import_module("litellm")
        openai: Any = importlib.import_module("openai")
    except ImportError as error:
        raise MissingExtraError("the LiteLLM upstream", "litellm") from error
    litellm.suppress_debug_info = True
    if not shared:
        litellm.telemetry = False
        litellm.turn_off_message_logging = True
        # Its log lines quote requests, and failures reach the caller anyway.
        for name in ("LiteLLM", "LiteLLM Router"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    return _Library(litellm, openai, shared)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _headers_of(error: Exception) -> Mapping[str, Any]:
    """Return the headers of a provider's error; where LiteLLM keeps them differs by provider."""
    for cause in _causes(error):
        for holder in (cause, getattr(cause, "response", None)):
            for name in ("litellm_response_headers", "headers"):
                headers = getattr(holder, name, None)
                if isinstance(headers, Mapping) and headers:
                    return headers
    return {}


async def _collect(body: bytes | AsyncIterator[bytes]) -> bytes:
    return body if isinstance(body, bytes) else b"".join([piece async for piece in body])


async def _events(chunks: Any) -> AsyncGenerator[bytes, None]:
    async for chunk in chunks:
        yield b"data: " + _dump(_as_openai(chunk, "delta")) + b"\n\n"
    yield _DONE


def _as_openai(reply: Any, part: str) -> dict[str, Any]:
    """Return LiteLLM's object as OpenAI's JSON.

    LiteLLM fills in every field that any provider has; OpenAI sends few of them as null, but
    those it does send, clients read.
    """
    data: dict[str, Any] = reply.model_dump(exclude_none=True, warnings=False)
    for choice in data.get("choices", ()):
        choice.setdefault("finish_reason", None)
        if part == "message":
            choice.get(part, {}).setdefault("content", None)
        for holder in (choice, choice.get(part, {})):
            if not any(holder.get("provider_specific_fields", {}).values()):
                holder.pop("provider_specific_fields", None)
    return data


def _model_list(models: tuple[str, ...]) -> dict[str, Any]:
    entries = [
        {"id": name, "object": "model", "created": 0, "owned_by": name.partition("/")[0]}
        for name in models
    ]
    return {"object": "list", "data": entries}


def _passed(headers: Mapping[str, Any] | None) -> Headers:
    """Return the provider's headers that clients act on."""
    named = ((str(k).lower().removeprefix("llm_provider-"), v) for k, v in (headers or {}).items())
    return tuple({name: str(v) for name, v in named if _PASSED_HEADERS.fullmatch(name)}.items())


def _status(error: Any) -> int:
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) and 400 <= status < 600 else 500


def _error(
    status: int,
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    headers: Headers = (),
) -> UpstreamResponse:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    kind = "rate_limit_error" if status == 429 else kind
    error = {"message": message, "type": kind, "param": param, "code": code}
    return _whole(status, {"error": error}, headers)


def _whole(status: int, content: dict[str, Any], headers: Headers = ()) -> UpstreamResponse:
    body = _dump(content)
    return _WholeResponse(status, (_JSON, ("content-length", str(len(body))), *headers), body)


def _dump(content: dict[str, Any]) -> bytes:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    # A lone surrogate, which JSON allows and UTF-8 does not, stays the escape that it was.
    return text.encode("utf-8", "backslashreplace")
