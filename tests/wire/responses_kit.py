"""Replies of the Responses format, whole and as a stream, as OpenAI's servers write them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

USAGE: dict[str, Any] = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 15,
}
REASONING: dict[str, Any] = {"id": "rs_1", "type": "reasoning", "summary": []}
CALL: dict[str, Any] = {
    "id": "fc_1", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}",
    "status": "completed",
}  # fmt: skip

# What providers do for a reply by themselves.
BESIDE: dict[str, dict[str, Any]] = {
    "mcp_list_tools": {"id": "mcpl_1", "type": "mcp_list_tools", "server_label": "s", "tools": []},
    "web_search": {
        "id": "ws_1", "type": "web_search_call", "status": "completed",
        "action": {"type": "search", "query": "7 times 8"},
    },
    "file_search": {
        "id": "fs_1", "type": "file_search_call", "status": "completed", "queries": ["7"],
        "results": None,
    },
    "code_interpreter": {
        "id": "ci_1", "type": "code_interpreter_call", "status": "completed", "code": "7 * 8",
        "container_id": "cntr_1", "outputs": None,
    },
}  # fmt: skip
CITED: dict[str, Any] = {
    "type": "url_citation", "url": "https://example.org/", "title": "Sevens", "start_index": 0,
    "end_index": 2,
}  # fmt: skip
_STEPS: dict[str, list[str]] = {
    "mcp_list_tools": ["mcp_list_tools.in_progress", "mcp_list_tools.completed"],
    "web_search": [
        "web_search_call.in_progress", "web_search_call.searching", "web_search_call.completed",
    ],
    "file_search": [
        "file_search_call.in_progress", "file_search_call.searching", "file_search_call.completed",
    ],
    "code_interpreter": [
        "code_interpreter_call.in_progress", "code_interpreter_call_code.delta",
        "code_interpreter_call_code.done", "code_interpreter_call.interpreting",
        "code_interpreter_call.completed",
    ],
}  # fmt: skip
_STEP_FIELDS: dict[str, dict[str, Any]] = {
    "code_interpreter_call_code.delta": {"delta": "7 * 8"},
    "code_interpreter_call_code.done": {"code": "7 * 8"},
}  # fmt: skip


def part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def message(*content: Any, name: str = "msg_1", status: str = "completed") -> dict[str, Any]:
    return {
        "id": name, "type": "message", "status": status, "role": "assistant",
        "content": [part(each) if isinstance(each, str) else each for each in content],
    }  # fmt: skip


def response(*output: Any, name: str = "resp_1", **fields: Any) -> dict[str, Any]:
    """Return a response with these items; a text is a message of its own."""
    return {
        "id": name, "object": "response", "created_at": 1, "status": "completed", "error": None,
        "incomplete_details": None, "instructions": None, "metadata": {}, "model": "gpt-x",
        "output": [message(each) if isinstance(each, str) else each for each in output],
        "parallel_tool_calls": True, "temperature": 1.0, "tool_choice": "auto", "tools": [],
        "top_p": 1.0, "usage": USAGE,
        **fields,
    }  # fmt: skip


def response_body(*output: Any, **fields: Any) -> bytes:
    return json.dumps(response(*output, **fields)).encode()


def written(*events: Any) -> bytes:
    """Return events as a stream, numbered in turn."""
    frames = [
        f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n"
        for number, event in enumerate(events)
    ]
    return "".join(frames).encode()


def saying(pieces: Iterable[str], *, place: int = 0, name: str = "msg_1") -> list[dict[str, Any]]:
    """Return the events of one message."""
    told = list(pieces)
    text = "".join(told)
    at = {"item_id": name, "output_index": place, "content_index": 0}
    item = "response.output_item"
    started = {**message(name=name, status="in_progress"), "content": []}
    return [
        {"type": f"{item}.added", "output_index": place, "item": started},
        {"type": "response.content_part.added", **at, "part": part("")},
        *[
            {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}
            for piece in told
        ],
        {"type": "response.output_text.done", **at, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **at, "part": part(text)},
        {"type": f"{item}.done", "output_index": place, "item": message(text, name=name)},
    ]


def thinking(place: int = 0) -> list[dict[str, Any]]:
    """Return the events of a reasoning item."""
    kind = "response.output_item"
    return [
        {"type": f"{kind}.added", "output_index": place, "item": REASONING},
        {"type": f"{kind}.done", "output_index": place, "item": REASONING},
    ]


def done_by_the_provider(place: int = 0, *names: str) -> list[dict[str, Any]]:
    """Return the events of items that the provider makes by itself, from a place on; default: all."""
    events: list[dict[str, Any]] = []
    for at, name in enumerate(names or BESIDE, place):
        item = BESIDE[name]
        steps = [
            {"type": f"response.{step}", "output_index": at, "item_id": item["id"]}
            | _STEP_FIELDS.get(step, {})
            for step in _STEPS[name]
        ]
        added = {**item, "status": "in_progress"} if "status" in item else item
        events += [
            {"type": "response.output_item.added", "output_index": at, "item": added},
            *steps,
            {"type": "response.output_item.done", "output_index": at, "item": item},
        ]
    return events


def response_stream(
    pieces: Iterable[str], *, name: str = "resp_1", end: str = "completed", **fields: Any
) -> bytes:
    """Return the whole stream of a reply that thinks first and then says its text in pieces."""
    told = list(pieces)
    begun = response(name=name, **{**fields, "status": "in_progress", "usage": None})
    whole = response(REASONING, "".join(told), name=name, **{"status": end, **fields})
    return written(
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        *thinking(),
        *saying(told, place=1),
        {"type": f"response.{end}", "response": whole},
    )
