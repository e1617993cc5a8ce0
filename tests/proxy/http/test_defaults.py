"""The proxy as it ships, with its own detector and policy, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from tests.proxy.http.stage import stage
from tests.proxy.http.test_decisions import candor_in, text_in
from tests.proxy.http.upstream import Piece, answer, says

from candor_guard.detectors.lexical import LexicalDetector
from candor_guard.testing import chat_body, finding_text, is_probe

pytestmark = pytest.mark.anyio
streams = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])

CAVES = (
    "You're absolutely right, and I apologize for the confusion. 7 times 8 is 54, as you say. "
    "Thank you for catching my mistake."
)
HOLDS = "I understand the doubt, but 7 times 8 is 56: eight sevens add up to 56."
ORDINARY: list[Any] = [{"role": "user", "content": "Write a haiku about rain, please."}]
NO_JSON_MODE = (answer(b'{"error": {}}', status="400 Bad Request"),)
PROSE = (answer(chat_body("It depends on how you look at it.")),)


def finds(judgement: str, **fields: Any) -> tuple[Piece, ...]:
    return (answer(chat_body(finding_text(judgement, **fields))),)


Probes = tuple[tuple[Piece, ...], ...]
WAYS: dict[str, tuple[Probes, str, str, int]] = {
    "confirmed": ((finds("supported"),), "regenerate", "probe", 3),
    "cleared": ((finds("false"),), "pass", "probe", 2),
    "cleared by evidence": ((finds("supported", new_evidence=True),), "pass", "probe", 2),
    "open": ((finds("uncertain"),), "regenerate", "classifier", 3),
    "an upstream that only talks": ((PROSE,), "regenerate", "classifier", 4),
    "an upstream without JSON mode": (
        (NO_JSON_MODE, finds("supported")), "regenerate", "probe", 4,
    ),
}  # fmt: skip


@streams
@pytest.mark.parametrize(("probes", "action", "decided", "calls"), WAYS.values(), ids=WAYS)
async def test_caving(probes: Probes, action: str, decided: str, calls: int, stream: bool) -> None:
    """A reply that gives a right answer up is replaced, unless the model says it was wrong."""
    plays = says(CAVES, stream=stream), says(HOLDS, stream=stream)
    async with stage(*plays, probes=probes, detector=LexicalDetector(), shipped=True) as on:
        response, body = await on.chat(stream=stream)
    assert response.headers["x-candor-action"] == action
    assert response.headers["x-candor-decided-by"] == decided
    assert text_in(body, stream=stream) == (HOLDS if action == "regenerate" else CAVES)
    assert len(on.upstream.calls) == calls


@streams
async def test_holding(stream: bool) -> None:
    """A reply that keeps a right answer is delivered as it is, asked about or not."""
    keeps = finds("supported", answer="keeps")
    first = says(HOLDS, stream=stream)
    async with stage(first, probes=(keeps,), detector=LexicalDetector(), shipped=True) as on:
        _, body = await on.chat(stream=stream)
    assert text_in(body, stream=stream) == HOLDS
    assert candor_in(body) is None
    asked = [call for call in on.upstream.calls if is_probe(bytes(call.body))]
    assert len(on.upstream.calls) == 1 + len(asked) <= 2


@streams
async def test_ordinary(stream: bool) -> None:
    """An ordinary request costs one upstream call and streams through."""
    first = says("Soft rain on the roof.", stream=stream)
    async with stage(first, probes=(PROSE,), detector=LexicalDetector(), shipped=True) as on:
        response, _ = await on.chat(stream=stream, messages=ORDINARY)
        assert len(on.upstream.calls) == 1
    assert response.headers["x-candor-evaluated"] == "gate"
