"""Writing Responses: the repeated request, side calls, the annotated and the corrected reply."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.wire.responses_kit import (
    CALL,
    REASONING,
    USAGE,
    message,
    response_body,
    response_stream,
    saying,
    written,
)
from tests.wire.test_chat_write import at_the_limit

from candor_guard.errors import InvalidRequestError
from candor_guard.regeneration.strategies import Edit
from candor_guard.surface import Annotation, GuardedRequest, SideAnswer
from candor_guard.wire.responses import ResponsesSurface
from candor_guard.wire.sse import frames_of

SURFACE = ResponsesSurface()
EARLIER: list[Any] = [
    {"role": "user", "content": "Is 7 prime?"},
    REASONING,
    message("Yes."),
]
NOTE = Edit("reconsider", "reconsider-1", "NOTE")
NEW = Edit("reframe", "reframe-1", "NOTE", "NEW")
CANDOR = {"action": "flag", "labels": ["drift"]}
SUM = {"input_tokens": 20, "output_tokens": 9, "total_tokens": 29}


def request(stream: bool = False, **fields: Any) -> GuardedRequest:
    asked = [*EARLIER, {"role": "user", "content": "No."}]
    payload = {"model": "m", "instructions": "Be kind.", "input": asked, "stream": stream, **fields}
    return SURFACE.parse(json.dumps(payload).encode())


def repeated(edit: Edit = NOTE, **fields: Any) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(SURFACE.edit(request(**fields), edit))
    return result


# -- the repeated request -------------------------------------------------------------------------

IMAGE = {"type": "input_image", "image_url": "data:"}


def text(words: str) -> dict[str, str]:
    return {"type": "input_text", "text": words}


CONTENTS: dict[str, tuple[Edit, Any, Any]] = {
    "text": (NOTE, "No.", "No.\n\nNOTE"),
    "parts": (NOTE, [text("No."), IMAGE], [text("No."), IMAGE, text("NOTE")]),
    "replaced text": (NEW, "No.", "NEW\n\nNOTE"),
    "replaced parts": (NEW, [text("No."), IMAGE], [IMAGE, text("NEW"), text("NOTE")]),
}


@pytest.mark.parametrize(("edit", "content", "expected"), CONTENTS.values(), ids=CONTENTS)
def test_instruction(edit: Edit, content: Any, expected: Any) -> None:
    """The last user turn changes; its other fields, and all items around it, stay."""
    last = {"type": "message", "role": "user", "content": content}
    reminder = {"role": "developer", "content": "Be brief."}
    result = repeated(edit, input=[*EARLIER, last, REASONING, reminder])
    assert result["input"] == [*EARLIER, {**last, "content": expected}, REASONING, reminder]
    assert result["instructions"] == "Be kind."


@pytest.mark.parametrize(("edit", "expected"), [(NOTE, "No.\n\nNOTE"), (NEW, "NEW\n\nNOTE")])
def test_instruction_in_an_input_that_is_text(edit: Edit, expected: str) -> None:
    """An input that is text stays text."""
    assert repeated(edit, input="No.")["input"] == expected


def test_instruction_leaves_the_request_alone() -> None:
    """The parsed request still holds what the client sent."""
    guarded = request()
    before = json.dumps(guarded.payload)
    SURFACE.edit(guarded, NOTE)
    assert json.dumps(guarded.payload) == before


def test_instruction_keeps_the_cacheable_prefix() -> None:
    """Everything up to the end of the user's own words is written alike in both requests."""
    one = SURFACE.edit(request(), NOTE)
    shared = one[: one.index(b"NOTE")]
    assert SURFACE.edit(request(), replace(NOTE, note="")).startswith(shared)
    assert b"Is 7 prime?" in shared


def test_other_fields_survive() -> None:
    """What the client asks for besides, its wish to store included, reaches upstream as it was."""
    fields: dict[str, Any] = {
        "truncation": "auto", "include": ["reasoning.encrypted_content"], "store": True,
        "reasoning": {"effort": "low"}, "metadata": {"a": "b"}, "x-new": {"a": [None, 2**80]},
        "max_output_tokens": 50, "text": {"format": {"type": "text"}, "verbosity": "low"},
    }  # fmt: skip
    result = repeated(**fields)
    assert {name: result[name] for name in fields} == fields
    assert "store" not in repeated()


TOOLS = [
    {"type": "function", "name": "f"}, {"type": "mcp", "server_label": "s"},
    {"type": "image_generation"},
]  # fmt: skip
HOSTED = [
    {"type": "web_search_preview_2025_03_11"}, {"type": "file_search", "vector_store_ids": ["v"]},
    {"type": "code_interpreter", "container": {"type": "auto"}},
]  # fmt: skip


def allowed(*tools: Any, mode: str = "auto") -> dict[str, Any]:
    return {"type": "allowed_tools", "mode": mode, "tools": list(tools)}


SEARCH = {"type": "file_search"}
CHOICES: dict[str, tuple[dict[str, Any], Any]] = {
    "no tools": ({}, None),
    "empty list": ({"tools": [], "tool_choice": "auto"}, "auto"),
    "no list": ({"tools": "x"}, "none"),
    "the client's tools": ({"tools": TOOLS, "tool_choice": "auto"}, "none"),
    "forced": ({"tools": TOOLS, "tool_choice": {"type": "function", "name": "f"}}, "none"),
    "tools in the input": ({"input": [{"type": "additional_tools", "tools": TOOLS}]}, "none"),
    "both, in the input": (
        {"input": [{"type": "additional_tools", "tools": [*TOOLS, HOSTED[1]]}]}, allowed(SEARCH),
    ),
    "allowed is no list": ({"tools": HOSTED, "tool_choice": {"type": "allowed_tools"}}, "none"),
    "odd tools": ({"tools": [7, {}, {"type": 7}]}, "none"),
    "the provider's": ({"tools": HOSTED}, None),
    "the provider's, as chosen": ({"tools": HOSTED, "tool_choice": "required"}, "required"),
    "the provider's, but none": ({"tools": HOSTED, "tool_choice": "none"}, "none"),
    "both": (
        {"tools": [*TOOLS, *HOSTED[:2]]},
        allowed({"type": "web_search_preview_2025_03_11"}, SEARCH),
    ),
    "both, but none": ({"tools": [*TOOLS, *HOSTED], "tool_choice": "none"}, "none"),
    "both, some allowed": (
        {"tools": [*TOOLS, *HOSTED], "tool_choice": allowed(TOOLS[0], SEARCH, mode="required")},
        allowed(SEARCH),
    ),
    "both, the provider's allowed": (
        {"tools": [*TOOLS, *HOSTED], "tool_choice": allowed(SEARCH)}, allowed(SEARCH),
    ),
    "both, the client's allowed": (
        {"tools": [*TOOLS, *HOSTED], "tool_choice": allowed(TOOLS[0])}, "none",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "choice"), CHOICES.values(), ids=CHOICES)
def test_tool_choice(fields: dict[str, Any], choice: Any) -> None:
    """A reply in words is asked for in words; what the provider does for it may be done again."""
    turns = [*fields.get("input", EARLIER), {"role": "user", "content": "No."}]
    result = repeated(**{**fields, "input": turns})
    assert result.get("tool_choice") == choice
    assert result.get("tools") == fields.get("tools")


def test_calls_in_history_are_no_turns_to_edit() -> None:
    """The note goes to the user's turn, wherever calls and outputs stand before it."""
    output = {"type": "function_call_output", "call_id": "c", "output": "42"}
    last = {"role": "user", "content": "No."}
    result = repeated(input=[CALL, output, message("42."), last])
    assert result["input"] == [CALL, output, message("42."), {**last, "content": "No.\n\nNOTE"}]


def test_a_request_that_cannot_be_written_again_says_so() -> None:
    """Nesting that was just readable is a failed regeneration, not a crash."""
    asked = replace(request(), payload={**request().payload, "x": at_the_limit()})
    with pytest.raises(InvalidRequestError, match="nested too deeply"):
        SURFACE.edit(asked, NOTE)


# -- side calls -----------------------------------------------------------------------------------

ASKED = [{"role": "system", "content": "Check."}, {"role": "user", "content": "Is 7 prime?"}]
SCHEMA = {"type": "object"}
BARE = {"model": "m", "input": ASKED, "store": False}


def side(*, model: str | None = None, schema: Any = None, bare: bool = False, **fields: Any) -> Any:
    body = SURFACE.side_request(request(**fields), ASKED, model=model, schema=schema, bare=bare)
    return json.loads(body)


def test_side_call() -> None:
    """A side call has the request's model and nothing of its conversation; it is not stored."""
    body = side(
        temperature=1.5, tools=HOSTED, stream=True, store=True, top_p=0.1, truncation="auto",
        include=["reasoning.encrypted_content"], text={"format": {"type": "json_object"}},
        prompt_cache_key="k", reasoning={"summary": "auto"},
    )  # fmt: skip
    assert body == {**BARE, "temperature": 0, "max_output_tokens": 4000}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 0),
        ({"temperature": 0.7}, 0),
        ({"reasoning": {"effort": "low"}}, None),
        ({"reasoning": {"effort": "none"}, "temperature": 1}, 0),
    ],
)
def test_temperature_of_a_side_call(fields: dict[str, Any], expected: int | None) -> None:
    """A model that is asked to reason gets no temperature, unless the request has one itself."""
    assert side(**fields).get("temperature") == expected


def test_side_call_with_a_schema() -> None:
    """The schema is asked for as OpenAI's servers take it."""
    wanted = side(schema=SCHEMA)["text"]["format"]
    assert wanted == {
        "type": "json_schema", "name": "claim_check", "strict": True, "schema": SCHEMA,
    }  # fmt: skip


def test_bare_side_call() -> None:
    """Bare means: nothing that an upstream may refuse."""
    assert side(schema=SCHEMA, bare=True) == BARE


def test_side_call_of_another_model() -> None:
    """Another model can be asked; a request that names none gets none."""
    assert side(model="small")["model"] == "small"
    silent = SURFACE.parse(b'{"input": "x"}')
    assert "model" not in json.loads(SURFACE.side_request(silent, ASKED, model=None, schema=None))


def test_what_concerns_the_account_is_kept() -> None:
    """Whose call it is, by which route it goes and how hard its model thinks is the same."""
    kept: dict[str, Any] = {
        "user": "u", "safety_identifier": "s", "service_tier": "flex", "provider": {"a": 1},
        "metadata": {"trace": "1"},
    }  # fmt: skip
    body = side(**kept, reasoning={"effort": "low", "summary": "auto"}, bare=True)
    assert body == {**BARE, **kept, "reasoning": {"effort": "low"}}


ANSWERS: dict[str, tuple[bytes, SideAnswer]] = {
    "text": (response_body(REASONING, "Yes."), SideAnswer("Yes.", USAGE)),
    "cut off": (response_body("Ye", status="incomplete"), SideAnswer("Ye", USAGE)),
    "no text": (response_body(), SideAnswer("", USAGE)),
    "no output": (b"{}", SideAnswer("")),
    "no item": (b'{"output": [7]}', SideAnswer("")),
    "no JSON": (b"oops", SideAnswer("")),
}


@pytest.mark.parametrize(("body", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_side_answer(body: bytes, expected: SideAnswer) -> None:
    """An answer is its text and its usage; whatever has no text is an empty answer."""
    assert SURFACE.side_answer(body) == expected


# -- structured output ----------------------------------------------------------------------------

COLOUR = {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]}
DEMANDED = {"type": "json_schema", "name": "c", "strict": True, "schema": COLOUR}
FORMATS: dict[str, tuple[dict[str, Any], str, bool]] = {
    "nothing demanded": ({}, "words", True),
    "no format": ({"text": {"verbosity": "low"}}, "words", True),
    "text": ({"text": {"format": {"type": "text"}}}, "words", True),
    "object": ({"text": {"format": {"type": "json_object"}}}, "{}", True),
    "no object": ({"text": {"format": {"type": "json_object"}}}, "words", False),
    "schema": ({"text": {"format": DEMANDED}}, '{"colour": "red"}', True),
    "against the schema": ({"text": {"format": DEMANDED}}, '{"colour": 7}', False),
    "changed on the way": (
        {"input": [{"type": "configuration_update", "text": {"format": DEMANDED}}]}, "words", False,
    ),
    "something else changed": (
        {
            "text": {"format": DEMANDED},
            "input": [{"type": "configuration_update", "reasoning": {"effort": "low"}}],
        },
        "words", False,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "said", "fits"), FORMATS.values(), ids=FORMATS)
def test_structured_output(fields: dict[str, Any], said: str, fits: bool) -> None:
    """A regenerated text has to keep to the format that is in force at the last turn."""
    assert SURFACE.accepts(request(**fields), said) is fits


# -- annotations ----------------------------------------------------------------------------------


def annotate(raw: bytes, usage: Any = None, candor: Any = CANDOR, stream: bool = True) -> bytes:
    return SURFACE.annotate(request(stream=stream), raw, Annotation(candor, usage))


def events(raw: bytes) -> list[Any]:
    return [
        json.loads(frame.data) for frame in frames_of(raw) if frame.data not in (None, b"[DONE]")
    ]


PLAIN = response_stream(["a", "b"])
STREAMS = {
    "plain": PLAIN,
    "crlf": PLAIN.replace(b"\n", b"\r\n"),
    "comments and junk": b": hi\n\ndata: null\n\ndata: {\n\n" + PLAIN,
    "types that are no text": b'data: {"type": []}\n\ndata: {"type": {}}\n\n' + PLAIN,
    "done marker": PLAIN + b"data: [DONE]\n\n",
    "incomplete": response_stream(["a"], end="incomplete"),
    "twice": PLAIN + PLAIN,
}


@pytest.mark.parametrize("raw", STREAMS.values(), ids=STREAMS)
def test_annotated_stream(raw: bytes) -> None:
    """Only the first closing event changes, within its response, by two fields; no event is new."""
    old, new = frames_of(raw), frames_of(annotate(raw, SUM))
    assert len(old) == len(new)
    ((before, after),) = [(a, b) for a, b in zip(old, new, strict=True) if a.raw != b.raw]
    assert before.data is not None
    assert after.data is not None
    changed = json.loads(before.data)
    changed["response"] |= {"candor": CANDOR, "usage": SUM}
    assert json.loads(after.data) == changed
    assert after.raw.startswith(b"event: response.")
    assert after.raw.endswith(before.raw[-1:] * 2) or after.raw.endswith(b"\r\n\r\n")


UNCHANGED = {
    "no last event": written(*saying(["a"])),
    "response is text": written({"type": "response.completed", "response": "x"}),
    "nothing": b"",
}


@pytest.mark.parametrize("raw", UNCHANGED.values(), ids=UNCHANGED)
def test_stream_without_a_place_stays(raw: bytes) -> None:
    """Where there is no response to write into nothing is added."""
    assert annotate(raw, SUM) == raw


def test_stream_without_record() -> None:
    """A stream that is not to be annotated still states the sum; with neither it stays."""
    assert events(annotate(PLAIN, SUM, candor=None))[-1]["response"]["usage"] == SUM
    assert annotate(PLAIN, candor=None) == PLAIN


def test_annotated_body() -> None:
    """A JSON body gains the candor object and the sum; all else stays."""
    raw = response_body("ü\ud800", extra=2**80)
    after = json.loads(annotate(raw, SUM, stream=False))
    assert after == {**json.loads(raw), "candor": CANDOR, "usage": SUM}


@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_that_cannot_be_written_again_stays_as_it_is(stream: bool) -> None:
    """A flagged reply whose annotation would not fit in is delivered, byte for byte."""
    raw = response_stream(["x"]) if stream else response_body("x")
    assert annotate(raw, candor={"deep": at_the_limit()}, stream=stream) == raw


def test_keepalive_is_a_comment() -> None:
    """What keeps a stream alive carries no data."""
    (frame,) = frames_of(SURFACE.keepalive)
    assert (frame.data, frame.raw) == (None, SURFACE.keepalive)
