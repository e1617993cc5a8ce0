"""What a client may ask of LiteLLM.

LiteLLM's options can send a call to another host, with other keys, or answer without one. So the
list says what passes; a new option of LiteLLM never opens a door by itself.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

# What a client may ask for: OpenAI's chat parameters, and sampling parameters that many servers
# understand. Not listed means refused.
CLIENT_PARAMETERS: Final = frozenset({
    "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
    "max_completion_tokens", "max_tokens", "messages", "modalities", "model", "n",
    "parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key",
    "prompt_cache_retention", "reasoning_effort", "response_format", "safety_identifier", "seed",
    "service_tier", "stop", "store", "stream", "stream_options", "temperature", "thinking",
    "tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity", "web_search_options",
    "ignore_eos", "length_penalty", "min_p", "min_tokens", "repetition_penalty", "top_a", "top_k",
    "typical_p",
})  # fmt: skip

# OpenAI's label for stored completions. LiteLLM takes the same key for instructions to itself, so
# it goes no further; it has no influence on the reply.
_DROPPED: Final = frozenset({"metadata"})

# Some providers take a URL in the place of a model name. No name needs //, .. or a query.
_MODEL_NAME: Final = re.compile(r"(?!.*(//|\.\.))[\w.@+-][\w.:/@+-]*", re.ASCII)


class RefusedError(Exception):
    """A request that gets an error response instead of a call.

    Attributes:
        param: The parameter at fault, or None.
        status: HTTP status for the client.
    """

    def __init__(self, message: str, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param = param
        self.status = status


def checked(body: bytes, models: tuple[str, ...]) -> dict[str, Any]:
    """Return the parameters of a request that a client is allowed to make.

    Raises:
        RefusedError: Naming the parameter that it is not.
    """
    try:
        params = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError("the body is not valid JSON") from None
    if not isinstance(params, dict):
        raise RefusedError("the body must be a JSON object")
    for key in params:
        if key not in CLIENT_PARAMETERS | _DROPPED:
            raise RefusedError(f"unknown or forbidden parameter: {key}", key)
    for key, kind in (("model", str), ("messages", list)):
        if not isinstance(params.get(key), kind):
            raise RefusedError(f"{key} is missing or of the wrong type", key)
    _check_model(params["model"], models)
    params["stream"] = params.get("stream") is True
    return {key: value for key, value in params.items() if key not in _DROPPED}


def _check_model(model: str, models: tuple[str, ...]) -> None:
    if _MODEL_NAME.fullmatch(model) is None:
        raise RefusedError("model must be a plain name such as provider/model", "model")
    if models and model not in models:
        raise RefusedError(f"there is no model {model}", "model", 404)
