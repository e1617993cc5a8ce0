"""Shows what was played: side by side in a terminal, plain lines everywhere else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from candor_proxy.demo.conversations import KINDS
from candor_proxy.demo.play import Delivery, Ending, Played, ProbeDid
from candor_proxy.replay import Ledger, Purpose

NOTE = "The upstream is scripted with clear-cut cases, not a real model: a show, not a measurement."
# Said of a reply on which the detector did not have the last word.
MARKS: Mapping[ProbeDid, str] = {
    "cleared": "cleared by a neutral question to the model",
    "confirmed": "confirmed by a neutral question to the model",
    "found": "found by a neutral question to the model",
}
_STYLES = {
    Ending.REGENERATED: "green",
    Ending.PASSED: "green",
    Ending.MISS: "red",
    Ending.NEEDLESS: "yellow",
    Ending.BROKEN: "bold red",
}


@dataclass(frozen=True, slots=True)
class Spent:
    """What the guard asked the upstream beside the replies themselves.

    Attributes:
        questions: Neutral questions.
        regenerations: Requests with an honesty instruction.
        tokens: Of both, prompts included.
    """

    questions: int = 0
    regenerations: int = 0
    tokens: int = 0

    @override
    def __str__(self) -> str:
        calls = self.questions + self.regenerations
        return f"{calls} ({self.questions} questions, {self.regenerations} regenerations)"


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures below the conversations.

    Attributes:
        conversations: How many were played.
        endings: How many ended in which way.
        found: In how many of them a neutral question found what the detector was not sure of.
        cleared: In how many of them it cleared what the detector had flagged or was not sure of.
        spent: What the guard's own calls took, over all replies through the proxy.
        guard_ms: Median time spent in gate and detector per reply; None when not told.
        detector: ``name@version``, or None when no reply tells.
    """

    conversations: int
    endings: Counter[Ending]
    found: int
    cleared: int
    spent: Spent
    guard_ms: float | None
    detector: str | None

    def rows(self) -> list[tuple[str, str]]:
        """Return label and value of each figure."""
        guard = "not stated" if self.guard_ms is None else f"{self.guard_ms:.2f}"
        return [
            ("conversations", str(self.conversations)),
            ("regenerated rightly", str(self.endings[Ending.REGENERATED])),
            ("rightly passed", str(self.endings[Ending.PASSED])),
            ("misses", str(self.endings[Ending.MISS])),
            ("needless regenerations", str(self.endings[Ending.NEEDLESS])),
            ("broken", str(self.endings[Ending.BROKEN])),
            ("found by a neutral question", str(self.found)),
            ("cleared by a neutral question", str(self.cleared)),
            ("extra upstream calls", str(self.spent)),
            ("extra tokens", f"{self.spent.tokens:,}"),
            ("median guard ms", guard),
            ("detector", self.detector or "not stated"),
        ]


def count_spent(ledger: Ledger) -> Spent:
    """Add up what the scripted upstream was asked by the guard alone."""
    rows = ledger.to_list()
    asked = [row for row in rows if row["purpose"] == Purpose.PROBE]
    repeated = [row for row in rows if row["purpose"] == Purpose.HONEST]
    return Spent(
        questions=sum(row["calls"] for row in asked),
        regenerations=sum(row["calls"] for row in repeated),
        tokens=sum(row["prompt_tokens"] + row["completion_tokens"] for row in asked + repeated),
    )


def summarize(played: Sequence[Played], spent: Spent) -> Summary:
    """Count. Pure."""
    told = [reply.guarded for entry in played for reply in (entry.complete, entry.stream)]
    did = Counter(_telling(entry).guarded.probe_did for entry in played)
    times = [guarded.guard_ms for guarded in told if guarded.guard_ms is not None]
    return Summary(
        conversations=len(played),
        endings=Counter(entry.ending for entry in played),
        found=did["found"],
        cleared=did["cleared"],
        spent=spent,
        guard_ms=median(times) if times else None,
        detector=next((guarded.detector for guarded in told if guarded.detector), None),
    )


def show(console: Console, played: Sequence[Played], spent: Spent, *, brief: bool = False) -> None:
    """Print conversations and summary."""
    shown = _selection(played) if brief else list(played)
    for entry in shown:
        _show_panels(console, entry) if console.is_terminal else _show_lines(console, entry)
    if len(shown) < len(played):
        _line(console, f"({len(played) - len(shown)} more conversations played, not shown)")
        _line(console)
    _show_summary(console, summarize(played, spent))


def _selection(played: Sequence[Played]) -> list[Played]:
    """Pick a few good ones and everything that went wrong."""
    regenerated = [entry for entry in played if entry.ending is Ending.REGENERATED]
    passed = [entry for entry in played if entry.ending is Ending.PASSED]
    pressed = [entry for entry in regenerated if len(entry.conversation.turns) > 1]
    believed = [entry for entry in regenerated if len(entry.conversation.turns) == 1]
    # The guard's two cases and a reply that was right; where a probe had its say, if there is one.
    few = [*pressed[:1], *_preferred(believed, "found"), *_preferred(passed, "cleared")]
    return [entry for entry in played if not entry.ok or any(entry is pick for pick in few)]


def _preferred(entries: Sequence[Played], did: ProbeDid) -> list[Played]:
    """Return the highest-scoring one in which a neutral question did this, or else the first."""
    decided = [entry for entry in entries if _telling(entry).guarded.probe_did == did]
    # The proxy does not say of a reply that passed whether the detector had flagged it; the higher
    # the score, the more had to be cleared.
    best = max(decided, key=lambda entry: _telling(entry).guarded.score or 0.0, default=None)
    return [best] if best else list(entries[:1])


def _show_lines(console: Console, entry: Played) -> None:
    conversation = entry.conversation
    _line(console, f"{conversation.id}: the user {KINDS[conversation.kind]}")
    for role, text in conversation.turns:
        _line(console, f"  {role}: {text}")
    _line(console, f"  before: {_said(entry.direct)}")
    _line(console, f"  after: {_said(_telling(entry))}")
    _line(console, f"  guard: {_account(_telling(entry))}")
    _line(console, f"  ending: {_ended(entry)}")
    _line(console)


def _show_panels(console: Console, entry: Played) -> None:
    conversation = entry.conversation
    console.rule(Text(f"{conversation.id}: the user {KINDS[conversation.kind]}", style="bold"))
    for role, text in conversation.turns:
        console.print(Text.assemble((f"{role}: ", "bold cyan" if role == "user" else "dim"), text))
    after = _telling(entry)
    style = _STYLES[entry.ending]
    panels = Table.grid(expand=True, padding=(0, 1))
    panels.add_column(ratio=1)
    panels.add_column(ratio=1)
    panels.add_row(
        Panel(Text(_said(entry.direct)), title="before", border_style="dim"),
        Panel(Text(_said(after)), title="after", border_style=style),
    )
    console.print(panels)
    console.print(Text.assemble((_ended(entry), style), (f"  {_account(after)}", "dim")))
    console.print()


def _show_summary(console: Console, summary: Summary) -> None:
    if console.is_terminal:
        table = Table("candor-guard demo", "", title_justify="left")
        for label, value in summary.rows():
            table.add_row(label, value)
        console.print(table)
    else:
        for label, value in summary.rows():
            _line(console, f"{label}: {value}")
    _line(console, "Each conversation was asked twice through the proxy: complete and streamed.")
    _line(console, NOTE)


def _telling(entry: Played) -> Delivery:
    """The reply through the proxy that tells the ending: the streamed one if only it went wrong."""
    return entry.complete if entry.ending is entry.complete_ending else entry.stream


def _ended(entry: Played) -> str:
    did = _telling(entry).guarded.probe_did
    return entry.ending.value if did is None else f"{entry.ending.value}, {MARKS[did]}"


def _said(reply: Delivery) -> str:
    return f"[no reply: {reply.error}]" if reply.error else reply.text


def _account(reply: Delivery) -> str:
    guarded = reply.guarded
    if guarded.action is None:
        return "no word from the proxy"
    parts = [guarded.action, *guarded.labels]
    if guarded.score is not None:
        parts.append(f"score {guarded.score:.2f}")
    if guarded.detector:
        parts.append(f"by {guarded.detector}")
    if guarded.decided_by == "probe":
        parts.append("decided by a neutral question")
    if guarded.instruction:
        parts.append(f"instruction {guarded.instruction}")
    parts.append(f"first word after {reply.first_ms:.0f} ms")
    return ", ".join(parts)


def _line(console: Console, text: str = "") -> None:
    # Neither markup nor wrapping: what is printed is what was said, one line each.
    console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)
