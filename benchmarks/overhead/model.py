"""What a detector's model takes for the replies of the overhead benchmark, without anything else."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.inference.runtime import feed, need, session
from benchmarks.inference.timing import timed
from benchmarks.machine import cores, pinned
from benchmarks.overhead.mock_upstream import Script
from benchmarks.overhead.traffic import Kinds
from candor_guard.conversation import Conversation, Exchange
from candor_guard.detectors.encoder.transformer.render import Budget, parts_of, render

_SECONDS = 2.0
_FACTOR, _SLACK_MS = 1.3, 0.5


def bare_pass(folder: Path, kinds: Kinds) -> dict[str, float] | None:
    """Time bare passes over rows as long as those of the held replies, on the servers' core.

    Returns:
        Tokens of the median row with the reply and without (the gate's), and ``p50_ms`` of one
        pass over each together; None if the folder holds no encoder.
    """
    if not (folder / "encoder.onnx").is_file():
        return None
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    budget = Budget(**manifest["encoder"]["budget"])
    tokenizer = need("tokenizers").Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    reply = json.loads(Script(0.0).whole.partition(b"\r\n\r\n")[2])
    text = reply["choices"][0]["message"]["content"]
    lengths = [
        int(statistics.median(_tokens(tokenizer, budget, m, said) for m in kinds.at_risk))
        for said in (text, "")
    ]
    with pinned(cores()[0]):
        made = session(str(folder / "encoder.onnx"))
        fed = [feed(made, length) for length in lengths]
        calls = {str(i): lambda given=given: made.run(None, given) for i, given in enumerate(fed)}
        found = timed(calls, _SECONDS)
    took = sum(row["p50_ms"] for row in found.values())
    return {"tokens": lengths[0], "gate_tokens": lengths[1], "p50_ms": took}


def target(bare: Mapping[str, float], added_ms: float) -> dict[str, Any]:
    """Hold the time added to replies that are all held against that of bare passes."""
    wanted = _FACTOR * bare["p50_ms"] + _SLACK_MS
    return {
        "what": f"100 % at risk, 1 connection: added p50, ms; {_FACTOR} x bare passes over "
        f"{bare['gate_tokens']:.0f} and {bare['tokens']:.0f} tokens + {_SLACK_MS} ms",
        "wanted": f"≤ {wanted:.3g}",
        "measured": added_ms,
        "met": added_ms <= wanted,
    }


def _tokens(
    tokenizer: Any, budget: Budget, messages: Sequence[Mapping[str, str]], reply: str
) -> int:
    exchange = Exchange(Conversation.parse(list(messages)), reply)
    return len(render(parts_of(exchange), tokenizer, budget, marked=True).ids)
