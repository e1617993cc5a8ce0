"""Read the beginnings of held streams: python -m benchmarks.prefixes [--growth 1.5 2] [--quick].

The demo's conversations that the gate holds; each reply repeats the earlier answer (where there is
none, it gives the demo's honest one) and goes on with plain sentences. The places and what a verdict there is good for are the
proxy's own (`candor_guard.flow.milestones`, `candor_guard.policy`), at its default policy. Counted
are the beginnings that are read; the whole reply is read once more at its end, whatever the growth.
No timing: the figures do not depend on the machine. Where a beginning is clearly at fault, no
further one is read.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

from tokenizers import Tokenizer

from benchmarks.commandline import add_common, parser_of, write
from benchmarks.machine import describe
from benchmarks.prefixes.sentences import FILLERS
from benchmarks.prefixes.walk import Walk, reply, summary, walk
from candor_guard.conversation import Conversation, Exchange
from candor_guard.detectors import Detector
from candor_guard.detectors.encoder.detector import SHIPPED
from candor_guard.detectors.shipped import build_detector
from candor_guard.flow.milestones import GROWTH
from candor_guard.policy import Policy
from candor_guard.verdict import Verdict, judge
from candor_proxy.demo.conversations import ScriptedConversation, load_conversations

_PACKAGES = ("candor-guard", "numpy", "onnxruntime", "tokenizers")
_TOKENS, _QUICK_TOKENS = (200, 800, 3000), (200,)
_GROWTHS = (1.5, GROWTH, 3.0)
_QUICK_REPLIES = 3
_HEAD = (
    f"{'growth':>8}{'places':>8}{'readings, mean':>16}{'most':>6}{'released':>12}"
    f"{'after, median':>15}{'mean':>7}{'held, mean':>12}"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, print and write down."""
    args = _arguments(arguments)
    report = measured(
        build_detector(args.detector),
        tokens=_QUICK_TOKENS if args.quick else args.tokens,
        growths=args.growth,
        most=_QUICK_REPLIES if args.quick else None,
    )
    report = {"setup": {**describe(_PACKAGES), "detector": args.detector}, **report}
    print(render(report))
    write(args, "prefixes.json", report)
    return 0


def measured(
    detector: Detector, *, tokens: Sequence[int], growths: Sequence[float], most: int | None = None
) -> dict[str, Any]:
    """Return what was read, by what the reply goes on with, its length and the growth.

    Args:
        detector: What reads.
        tokens: Lengths of the replies.
        growths: Of `candor_guard.flow.milestones.Milestones`.
        most: Conversations at most; None: all that the gate holds.
    """
    held = held_conversations(detector)[:most]
    cells = list(product(FILLERS, tokens, growths))
    walks: dict[tuple[str, int, float], list[Walk]] = {cell: [] for cell in cells}
    policy, count = Policy(), _counter()
    bars = policy.resolve_probe_bars(detector.operating_points)
    for number, scripted in enumerate(held):
        read = _reader(detector, scripted, policy)
        opening = _earlier(scripted) or scripted.honest
        for filler, length, growth in cells:
            text = reply(opening, FILLERS[filler], number, length, count)
            walks[filler, length, growth].append(walk(text, read, policy, bars, growth))
    return {
        "conversations": {"held": len(held), "first messages": sum(not _earlier(c) for c in held)},
        "rows": [
            {"goes on with": filler, "tokens": length, "growth": growth, **summary(found)}
            for (filler, length, growth), found in walks.items()
        ],
    }


def held_conversations(detector: Detector) -> list[ScriptedConversation]:
    """Return the demo's conversations whose replies the gate holds."""
    return [
        scripted
        for scripted in load_conversations()
        if detector.gate(Conversation.parse(scripted.messages)).at_risk
    ]


def render(report: Mapping[str, Any]) -> str:
    """Return the report as text."""
    setup, seen = report["setup"], report["conversations"]
    lines = [
        f"{setup['machine']}, Python {setup['python']}, detector {setup['detector']}",
        f"{seen['held']} conversations held, {seen['first messages']} of them first messages; "
        f"the proxy's growth is {GROWTH:g}; lengths in characters",
    ]
    title = ""
    for row in report["rows"]:
        before, title = (
            title,
            f"replies of {row['tokens']} tokens, going on with: {row['goes on with']}",
        )
        lines += [] if title == before else ["", title, _HEAD]
        lines.append(_line(row))
    return "\n".join(lines)


def _line(row: Mapping[str, Any]) -> str:
    median, mean = (
        "-" if row[name] is None else f"{row[name]:.0f}"
        for name in ("released_at_median", "released_at_mean")
    )
    return (
        f"{row['growth']:8g}{row['places_median']:8g}{row['readings_mean']:16.2f}"
        f"{row['readings_most']:6g}{row['released']:5g} of {row['replies']:<3g}{median:>15}{mean:>7}"
        f"{row['held_mean']:12.0f}"
    )


def _earlier(scripted: ScriptedConversation) -> str:
    return next((text for role, text in reversed(scripted.turns) if role == "assistant"), "")


def _reader(
    detector: Detector, scripted: ScriptedConversation, policy: Policy
) -> Callable[[str], Verdict]:
    """Judge beginnings of replies to one conversation; equal ones are read once."""
    conversation = Conversation.parse(scripted.messages)
    thresholds = policy.resolve_thresholds(detector.operating_points)
    known: dict[str, Verdict] = {}

    def read(text: str) -> Verdict:
        if text not in known:
            (reading,) = detector.read([Exchange(conversation, text)])
            known[text] = judge(reading, thresholds, detector.name)
        return known[text]

    return read


def _counter() -> Callable[[str], int]:
    """Count tokens as the shipped encoder does, whatever the detector."""
    tokenizer = Tokenizer.from_file(str(SHIPPED / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_of("benchmarks.prefixes", __doc__)
    parser.add_argument(
        "--growth", type=_growth, nargs="+", default=_GROWTHS, metavar="TIMES",
        help=f"how many times as far each place is; default: {' '.join(f'{g:g}' for g in _GROWTHS)}",
    )  # fmt: skip
    parser.add_argument(
        "--tokens", type=int, nargs="+", default=_TOKENS, metavar="N",
        help=f"lengths of the replies; default: {' '.join(map(str, _TOKENS))}",
    )  # fmt: skip
    add_common(parser)
    return parser.parse_args(arguments)


def _growth(value: str) -> float:
    growth = float(value)
    if not growth > 1:
        raise argparse.ArgumentTypeError("must be above 1")
    return growth


if __name__ == "__main__":
    raise SystemExit(main())
