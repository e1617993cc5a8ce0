"""The player tells every ending, above all the bad ones."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from starlette.types import ASGIApp
from tests.demo.proxies import PerfectProxy, few

from candor_guard.errors import MissingExtraError
from candor_proxy.demo.conversations import ScriptedConversation, load_conversations
from candor_proxy.demo.play import Delivery, Ending, Guarded, Played, judge, play, read_annotation
from candor_proxy.demo.scripted import make_scripted_app
from candor_proxy.demo.servers import serving

pytestmark = pytest.mark.anyio

PRESSED, BELIEVED, AGREED = few()


async def _play(proxy_app: ASGIApp, conversations: Sequence[ScriptedConversation]) -> list[Played]:
    async with (
        serving(make_scripted_app(conversations)) as upstream,
        serving(proxy_app) as proxy,
    ):
        return await play(conversations, upstream_url=f"{upstream}/v1", proxy_url=f"{proxy}/v1")


async def test_without_a_guard_every_risky_conversation_is_a_miss() -> None:
    """With the upstream itself as the proxy the demo fails, in exactly the conversations at risk."""
    script = load_conversations()
    played = await _play(make_scripted_app(), script)
    assert [entry.conversation for entry in played] == list(script)
    for entry in played:
        risky = entry.conversation.expect == "regenerate"
        assert entry.ending is (Ending.MISS if risky else Ending.PASSED), entry.conversation.id
        assert entry.ok is not risky
        assert entry.complete.text == entry.stream.text == entry.direct.text
        assert entry.complete.guarded == Guarded()


async def test_a_perfect_proxy_passes() -> None:
    """Each conversation ends well and the figures come from the headers."""
    played = await _play(PerfectProxy(), load_conversations())
    assert all(entry.ok for entry in played)
    assert Counter(entry.ending for entry in played) == Counter(
        Ending.REGENERATED if entry.expect == "regenerate" else Ending.PASSED
        for entry in load_conversations()
    )
    first = played[0].stream
    assert first.guarded == Guarded(action="regenerate", upstream_calls=2, guard_ms=1.5)
    assert 0 < first.first_ms <= first.total_ms
    assert first.text == played[0].conversation.honest


async def test_a_needless_regeneration_is_told() -> None:
    """Replacing a reply that was right is a fault, even when the second one says the same."""
    played = await _play(PerfectProxy(few(), needless=True), few())
    assert [entry.ending for entry in played] == [
        Ending.REGENERATED,
        Ending.REGENERATED,
        Ending.NEEDLESS,
    ]


async def test_one_word_of_the_first_reply_is_one_too_many() -> None:
    """A replaced reply that starts with a word of the first one is broken."""
    played = await _play(PerfectProxy(few(), leak=True), few())
    assert [entry.ending for entry in played][:2] == [Ending.BROKEN, Ending.BROKEN]


async def test_a_dead_proxy_is_broken() -> None:
    """No reply at all is an ending too, with the reason."""
    conversations = few()
    async with serving(make_scripted_app(conversations)) as upstream:
        async with serving(make_scripted_app(conversations)) as gone:
            pass
        played = await play(conversations, upstream_url=f"{upstream}/v1", proxy_url=f"{gone}/v1")
    assert {entry.ending for entry in played} == {Ending.BROKEN}
    assert "APIConnectionError" in played[0].complete.error
    assert "APIConnectionError" in played[0].stream.error


async def test_the_client_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the openai package the error names the extra."""
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtraError, match=r"candor-guard demo .*candor-guard\[openai\]"):
        await play(few(), upstream_url="http://127.0.0.1:1/v1", proxy_url="http://127.0.0.1:1/v1")


def _risky(text: str, action: str | None) -> Ending:
    before = Delivery(text=PRESSED.pleasing, wire=("a",))
    return judge(PRESSED, before, Delivery(text=text, wire=("b",), guarded=Guarded(action)))


def test_a_risky_reply_is_judged_by_text_and_record() -> None:
    """Right text with a wrong record is broken, and so is a text that nobody wrote."""
    assert _risky(PRESSED.honest, "regenerate") is Ending.REGENERATED
    assert _risky(PRESSED.honest, "pass") is Ending.BROKEN
    assert _risky(PRESSED.pleasing, "flag") is Ending.MISS
    assert _risky(PRESSED.pleasing, "regenerate") is Ending.BROKEN
    assert _risky("something else", "regenerate") is Ending.BROKEN
    assert _risky("", "block") is Ending.BROKEN


def _calm(action: str | None, wire: str = "a", text: str = AGREED.pleasing) -> Ending:
    before = Delivery(text=text, wire=("a",))
    return judge(AGREED, before, Delivery(text=text, wire=(wire,), guarded=Guarded(action)))


def test_a_passed_reply_must_be_the_upstreams_own() -> None:
    """Any change to what upstream sent, and any suspicion, is held against the proxy."""
    assert _calm("pass") is Ending.PASSED
    assert _calm(None) is Ending.PASSED
    assert _calm("pass", wire="b") is Ending.BROKEN
    assert _calm("flag") is Ending.NEEDLESS
    assert _calm("regenerate") is Ending.NEEDLESS
    assert _calm("error") is Ending.BROKEN
    assert _calm("pass", text="the upstream went off script") is Ending.BROKEN


def test_a_question_shows_in_the_usage_alone() -> None:
    """Usage may differ from the upstream's where more was asked, and only there."""
    before = Delivery(text=AGREED.pleasing, wire=("a",), usage="10")
    asked = Guarded("pass", upstream_calls=2, decided_by="probe")
    after = Delivery(text=AGREED.pleasing, wire=("a",), usage="90", guarded=asked)
    assert judge(AGREED, before, after) is Ending.PASSED
    assert judge(AGREED, before, replace(after, guarded=Guarded("pass"))) is Ending.BROKEN
    assert judge(AGREED, before, replace(after, wire=("b",))) is Ending.BROKEN


@pytest.mark.parametrize(
    ("action", "decided_by", "suspected", "did"),
    [
        ("regenerate", "probe", True, "confirmed"),
        ("regenerate", "probe", False, "found"),
        ("regenerate", "probe", None, None),
        ("regenerate", "classifier", True, None),
        ("pass", "probe", True, "cleared"),
        ("pass", "probe", None, "cleared"),
        ("pass", "probe", False, None),
        ("pass", None, None, None),
    ],
)
def test_what_a_question_did_is_told(
    action: str, decided_by: str | None, suspected: bool | None, did: str | None
) -> None:
    """A question confirms, finds or clears only where it decided, and only what it can know."""
    guarded = Guarded(action, decided_by=decided_by, suspected=suspected)
    assert guarded.probe_did == did


async def test_the_worse_of_both_ways_counts() -> None:
    """A stream that misses is a miss, although the complete reply was fine."""
    (played, *_) = await _play(PerfectProxy(few()), few())
    missed = replace(played, stream=replace(played.direct_stream))
    assert played.ending is Ending.REGENERATED
    assert missed.complete_ending is Ending.REGENERATED
    assert missed.ending is Ending.MISS


def test_the_annotation_wins_over_the_headers() -> None:
    """Headers fill in only what the candor object does not say."""
    candor = {
        "action": "regenerate",
        "labels": ["capitulation"],
        "scores": {"capitulation": 0.9, "drift": 0.2},
        "detector": "lexical@1",
        "instruction": "reconsider-1",
        "upstream_calls": 2,
        "guard_ms": 0.4,
        "decided_by": "probe",
        "attempts": [{"flagged": False}, {"flagged": None}],
    }
    headers = {"x-candor-action": "deferred", "x-candor-guard-ms": "9"}
    assert read_annotation(candor, headers) == Guarded(
        "regenerate",
        ("capitulation",),
        0.9,
        "lexical@1",
        "reconsider-1",
        2,
        0.4,
        "probe",
        suspected=False,
    )


def test_headers_alone_are_enough() -> None:
    """A reply that may not be annotated is told by its headers; nonsense in them is ignored."""
    headers = {
        "x-candor-action": "flag",
        "x-candor-labels": "capitulation,drift",
        "x-candor-score": "0.75",
        "x-candor-upstream-calls": "2",
        "x-candor-guard-ms": "soon",
        "x-candor-decided-by": "classifier",
    }
    assert read_annotation(None, headers) == Guarded(
        "flag", ("capitulation", "drift"), 0.75, upstream_calls=2, decided_by="classifier"
    )
    assert read_annotation(None, {}) == Guarded()
