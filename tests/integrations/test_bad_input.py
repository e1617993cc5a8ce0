"""Bad input: every integration says the same about the same mistake, with one clear exception.

Requests that a host itself refuses (a list of messages that is none) stay that host's to refuse.
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx2
import pytest
from tests.integrations.model_server import PUSH, ModelServer, model_server

from candor_guard import Guard, Policy
from candor_guard.errors import ConfigurationError, InvalidRequestError
from candor_guard.integrations.asgi import CandorMiddleware
from candor_guard.integrations.wishes import policy_of
from candor_guard.sync import SyncGuard
from candor_guard.testing import FakeDetector, FakeReply, FakeUpstream
from candor_guard.upstreams.litellm import LiteLLMUpstream

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore")]

Setup = Callable[..., Any]
CONVERSATION: list[Any] = [{"role": "user", "content": PUSH}]
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with model_server() as running:
        yield running


def installed(name: str, *packages: str) -> Any:
    """Import an integration, or skip the test."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "litellm":
            LiteLLMUpstream()  # loads it without a look at the network
        return importlib.import_module(f"candor_guard.integrations.{name}")


# -- what is guarded, and by what ------------------------------------------------------------------


def openai_client() -> Any:
    return importlib.import_module("openai").OpenAI(api_key="k", base_url="http://127.0.0.1:9/v1")


def by_openai(target: Any = None, **options: Any) -> Any:
    found = installed("openai", "openai")
    return found.guard(openai_client() if target is None else target, **options)


def by_litellm(target: Any = None, **options: Any) -> Any:
    found = installed("litellm", "litellm")
    function = importlib.import_module("litellm").completion
    return found.guard(function if target is None else target, **options)


def by_guardrail(_target: Any = None, **options: Any) -> Any:
    return installed("litellm", "litellm").CandorGuardrail(**options)


async def no_app(_scope: Any, _receive: Any, _send: Any) -> None:
    """An app that answers nothing."""


def by_asgi(target: Any = None, **options: Any) -> Any:
    return CandorMiddleware(no_app if target is None else target, **options)


def by_langchain(target: Any = None, **options: Any) -> Any:
    found = installed("langchain", "langchain", "langchain_openai")
    made = importlib.import_module("langchain_openai").ChatOpenAI
    return found.guard(made(model="m", api_key="k") if target is None else target, **options)


def by_agent_middleware(_target: Any = None, **options: Any) -> Any:
    return installed("langchain", "langchain").CandorMiddleware(**options)


def by_pydantic_ai(target: Any = None, **options: Any) -> Any:
    found = installed("pydantic_ai", "pydantic_ai")
    test = importlib.import_module("pydantic_ai.models.test")
    return found.CandorModel(test.TestModel() if target is None else target, **options)


def by_validator(_target: Any = None, **options: Any) -> Any:
    return installed("pydantic_ai", "pydantic_ai").honest_output(**options)


SETUPS: dict[str, Setup] = {
    "openai": by_openai, "litellm": by_litellm, "guardrail": by_guardrail, "asgi": by_asgi,
    "langchain": by_langchain, "agent": by_agent_middleware, "pydantic_ai": by_pydantic_ai,
    "validator": by_validator,
}  # fmt: skip
EVERY = pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)
OF_TARGETS = {"openai", "litellm", "asgi", "langchain", "pydantic_ai"}
MISTAKES: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "a word": (lambda: {"guard": "strict"}, r"guard must be a candor_guard\.Guard, not str"),
    "a class": (lambda: {"guard": Guard}, "not the class Guard: pass an instance"),
    "a policy as the guard": (lambda: {"guard": Policy()}, "Guard, not Policy"),
    "a detector as the guard": (lambda: {"guard": FakeDetector()}, "Guard, not FakeDetector"),
    "both": (lambda: {"guard": Guard(), "policy": Policy()}, "a guard or a policy, not both"),
    "a number as the policy": (lambda: {"policy": 5}, "policy must be a .*, not int"),
}


@EVERY
@pytest.mark.parametrize(("options", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_guard_that_is_none(
    setup: Setup, options: Callable[[], dict[str, Any]], message: str
) -> None:
    """What is no guard, or no policy, is refused by every integration in the same words."""
    with pytest.raises(ConfigurationError, match=message):
        setup(**options())


@EVERY
def test_the_same_options(setup: Setup) -> None:
    """Every integration takes `guard` or `policy` by these names."""
    assert setup(guard=Guard()) is not None
    assert setup(policy=Policy(mode="observe")) is not None


@pytest.mark.parametrize(
    "target", [3, "gpt-5 ", object(), dict], ids=["3", "str", "object", "class"]
)
@pytest.mark.parametrize("name", sorted(OF_TARGETS))
def test_an_object_of_the_wrong_class(name: str, target: Any) -> None:
    """Something that cannot be guarded is refused at once, by an error that names what can."""
    if name == "pydantic_ai" and isinstance(target, str):
        pytest.skip("a model's name: Pydantic AI knows which there are")
    with pytest.raises(ConfigurationError, match=r"takes an? |already"):
        SETUPS[name](target)


@pytest.mark.parametrize("name", ["openai", "asgi", "guardrail"])
def test_annotate(name: str) -> None:
    """A choice that there is not is an error that lists the choices."""
    with pytest.raises(ConfigurationError, match="flagged, all, none, not 'sometimes'"):
        SETUPS[name](annotate="sometimes")


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"mode": "loud"}, "mode: Input should be"), ({"modes": "off"}, "modes"), (3, "not int")],
)
def test_a_policy_from_a_file(fields: Any, message: str) -> None:
    """A policy that makes no sense names the field."""
    with pytest.raises(ConfigurationError, match=message):
        policy_of(fields)


# -- conversations and replies without text -------------------------------------------------------


def watching() -> tuple[Guard, list[str | None]]:
    """A guard that finds every reply at fault, and why replies passed unread."""
    seen: list[str | None] = []
    return Guard(
        FakeDetector(scores=lambda _exchange: {"capitulation": 0.9, "drift": 0.1}),
        Policy(probe="never"),
        observers=[lambda outcome: seen.append(outcome.skipped)],
    ), seen


def openai_client_of(url: str) -> Any:
    openai = importlib.import_module("openai")
    return openai.AsyncOpenAI(api_key="k", base_url=url, max_retries=0)


async def ask_openai(guard: Guard, url: str, messages: list[Any], **options: Any) -> None:
    found = installed("openai", "openai")
    async with found.guard(openai_client_of(url), guard) as client:
        await client.chat.completions.create(model="m", messages=messages, **options)


async def ask_litellm(guard: Guard, url: str, messages: list[Any], **options: Any) -> None:
    found = installed("litellm", "litellm")
    ask = found.guard(importlib.import_module("litellm").acompletion, guard)
    async with openai_client_of(url) as client:
        await ask(model="openai/m", messages=messages, client=client, **options)


async def ask_asgi(guard: Guard, url: str, messages: list[Any], **options: Any) -> None:
    async def forward(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        async with httpx2.AsyncClient() as client:
            reply = await client.post(f"{url}/chat/completions", content=body)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply.content})

    transport = httpx2.ASGITransport(CandorMiddleware(forward, guard=guard))
    async with httpx2.AsyncClient(transport=transport, base_url="http://app") as client:
        asked = {"model": "m", "messages": messages, **options}
        (await client.post("/v1/chat/completions", json=asked)).raise_for_status()


async def ask_langchain(guard: Guard, url: str, messages: list[Any], **options: Any) -> None:
    found = installed("langchain", "langchain", "langchain_openai")
    kinds = importlib.import_module("langchain_core.messages")
    made = importlib.import_module("langchain_openai").ChatOpenAI
    model = found.guard(made(model="m", api_key="k", base_url=url, max_retries=0), guard)
    turns = [kinds.ChatMessage(m["content"], role=m["role"]) for m in messages]
    await model.ainvoke(turns, **options)


async def ask_pydantic_ai(guard: Guard, url: str, messages: list[Any], **options: Any) -> None:
    found = installed("pydantic_ai", "pydantic_ai", "openai")
    kinds, models = (importlib.import_module(f"pydantic_ai.{n}") for n in ("messages", "models"))
    provider = importlib.import_module("pydantic_ai.providers.openai")
    chat = importlib.import_module("pydantic_ai.models.openai")
    if any(message["role"] != "user" for message in messages):
        pytest.skip("has no roles of one's own")
    tools = importlib.import_module("pydantic_ai.tools")
    client = openai_client_of(url)
    model = found.CandorModel(
        chat.OpenAIChatModel("m", provider=provider.OpenAIProvider(openai_client=client)), guard
    )
    asked = [kinds.ModelRequest.user_text_prompt(m["content"]) for m in messages]
    offered = [tools.ToolDefinition(name="look_up")] if options else []
    parameters = models.ModelRequestParameters(function_tools=offered)
    async with client:
        await model.request(asked, None, parameters)


async def ask_guard(guard: Guard, url: str, messages: list[Any], **options: Any) -> None:
    direct = importlib.import_module("candor_guard.upstreams.direct")
    guard.upstream = direct.DirectUpstream(url)
    await guard.complete({"model": "m", "messages": messages, **options})
    await guard.aclose()


Ask = Callable[..., Awaitable[None]]
ASKS: dict[str, Ask] = {
    "guard": ask_guard, "openai": ask_openai, "litellm": ask_litellm, "asgi": ask_asgi,
    "langchain": ask_langchain, "pydantic_ai": ask_pydantic_ai,
}  # fmt: skip
EVERY_WAY = pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)


@EVERY_WAY
async def test_a_reply_of_none(server: ModelServer, ask: Ask) -> None:
    """A reply without text is delivered as it is, and the record says why it was not read."""
    server.bad = None
    guard, seen = watching()
    await ask(guard, server.url, CONVERSATION)
    assert (seen, len(server.asked)) == (["no_text"], 1)


@EVERY_WAY
async def test_a_reply_of_tool_calls(server: ModelServer, ask: Ask) -> None:
    """A reply that only calls tools is delivered as it is, and the record says so."""
    server.calls_tool = True
    guard, seen = watching()
    await ask(guard, server.url, CONVERSATION, tools=TOOLS)
    assert (seen, len(server.asked)) == (["tool_calls"], 1)


@EVERY_WAY
async def test_an_unknown_role(server: ModelServer, ask: Ask) -> None:
    """A role that the guard does not know is the model's to judge: it passes, and is recorded."""
    guard, seen = watching()
    await ask(guard, server.url, [{"role": "critic", "content": "x"}, *CONVERSATION])
    assert (seen, len(server.asked)) == (["unreadable"], 1)


# -- the guard itself ------------------------------------------------------------------------------

WRONG_MESSAGES: dict[str, tuple[Any, str]] = {
    "None": (None, "messages is missing"),
    "text": ("hello", "messages must be a list, not str"),
    "one message": (CONVERSATION[0], "messages must be a list, not dict"),
    "empty": ([], "messages must not be empty"),
    "pairs": ([("user", "hello")], "messages.0 must be an object with role and content"),
    "unknown role": ([*CONVERSATION, {"role": "robot"}], "messages.1.role is 'robot'; known roles"),
    "no role": ([{"content": "x"}], "messages.0.role is None"),
    "a number": ([{"role": "user", "content": 3}], "content must be text or a list of parts"),
}
WRONG_REPLIES = {"None": None, "a number": 3, "a message": {"role": "assistant", "content": "x"}}


@pytest.mark.parametrize(("messages", "message"), WRONG_MESSAGES.values(), ids=WRONG_MESSAGES)
@pytest.mark.parametrize("kind", [Guard, lambda: SyncGuard(Guard())], ids=["guard", "sync"])
def test_wrong_messages(kind: Callable[[], Any], messages: Any, message: str) -> None:
    """A conversation that cannot be read is an `InvalidRequestError` that says where."""
    calls: list[Callable[[Any], object]] = [
        lambda guard: guard.check(messages, "x"),
        lambda guard: guard.gate(messages),
        lambda guard: guard.check_many([{"messages": messages, "reply": "x"}]),
    ]
    for call in calls:
        with pytest.raises(InvalidRequestError, match=message) as caught:
            call(kind())
        assert str(caught.value.param).startswith("messages")


@pytest.mark.parametrize("reply", WRONG_REPLIES.values(), ids=WRONG_REPLIES)
def test_wrong_replies(reply: Any) -> None:
    """A reply that is no text is an `InvalidRequestError` that says so."""
    with pytest.raises(InvalidRequestError, match="reply must be text"):
        Guard().check(CONVERSATION, reply)


@pytest.mark.parametrize("exchanges", [None, 3, "x", {"messages": CONVERSATION, "reply": "x"}])
def test_no_list_of_exchanges(exchanges: Any) -> None:
    """What is no list of exchanges is refused, one exchange alone included."""
    with pytest.raises(InvalidRequestError, match="exchanges must be a list or a generator"):
        Guard().check_many(exchanges)


@pytest.mark.parametrize(
    "guard", [None, "strict", Guard, Policy()], ids=["None", "str", "class", "policy"]
)
def test_a_sync_guard_of_none(guard: Any) -> None:
    """`SyncGuard` takes a guard, and says so."""
    with pytest.raises(ConfigurationError, match=r"SyncGuard\(Guard\(\)\)"):
        SyncGuard(guard)


@pytest.mark.parametrize(
    "request_",
    [
        None,
        "x",
        [],
        {},
        {"messages": []},
        {"messages": "x"},
        {"messages": CONVERSATION, "x": object()},
    ],
    ids=["None", "text", "list", "no messages", "empty", "messages of text", "no JSON"],
)
async def test_wrong_requests(request_: Any) -> None:
    """A request that cannot be read is refused before any call, whole and streamed."""
    upstream = FakeUpstream([FakeReply.chat("x")])
    guard = Guard(FakeDetector(), upstream=upstream)
    with pytest.raises(InvalidRequestError):
        await guard.complete(request_)
    with pytest.raises(InvalidRequestError):
        await anext(guard.stream(request_))
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"detector": "lexical"}, "detector must be a detector"),
        ({"detector": FakeDetector}, "detector must be a detector"),
        ({"policy": "strict"}, "policy must be a candor_guard.Policy, not str"),
        ({"policy": {"mode": "off"}}, "policy must be a candor_guard.Policy, not dict"),
        ({"upstream": "http://127.0.0.1"}, r"such as DirectUpstream\(base_url\), not str"),
        ({"observers": print}, "observers must be a list"),
    ],
)
def test_parts_of_a_guard(parts: dict[str, Any], message: str) -> None:
    """A part of the wrong kind is refused where the guard is made."""
    with pytest.raises(ConfigurationError, match=message):
        Guard(**parts)


async def test_no_upstream() -> None:
    """A guard without an upstream says how to give it one."""
    with pytest.raises(ConfigurationError, match=r"pass Guard\(upstream="):
        await Guard().complete({"model": "m", "messages": CONVERSATION})
