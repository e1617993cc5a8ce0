"""One explanation as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from candor_guard.verdict import LABELS
from candor_proxy.cli.terminal import console as wide_enough
from candor_proxy.cli.terminal import plain

_Found = Mapping[str, Any]
# More of a long turn than this hides what one came to see; --json shows all of it.
_MOST_CHARACTERS = 600
_LEAST_WIDTH = 60


def print_explanation(found: _Found, console: Console | None = None) -> None:
    """Print what leads to the decision, then what could be sent upstream."""
    out = console or wide_enough(_LEAST_WIDTH)
    if "id" in found:
        out.print(plain(f"id {found['id']}"))
    for table in (_decision(found), _input(found), _heads(found), _calls(found)):
        out.print(table)


def _decision(found: _Found) -> Table:
    gate, decision = found["gate"], found["decision"]
    table = _sheet("Decision")
    table.add_row("action", Text(decision["action"], style="bold"))
    table.add_row("reason", plain(decision["reason"]))
    if decision["then"] is not None:
        table.add_row(
            "", "; ".join(f"{ruling}: {what}" for ruling, what in decision["then"].items())
        )
    held = "reply is read" if gate["at_risk"] else "reply is not read"
    declined = f", declined: {gate['not_evaluated']}" if gate["not_evaluated"] else ""
    table.add_row("gate", f"{held} (risk {gate['score']:.2f}, reason: {gate['reason']}{declined})")
    table.add_row("detector", plain(found["verdict"]["detector"]))
    table.add_row("policy", f"mode {found['mode']}, operating point {found['operating_point']}")
    return table


def _input(found: _Found) -> Table:
    table = _sheet("What is read")
    for part, text in found["input"].items():
        table.add_row(plain(part), _short(text))
    return table


def _heads(found: _Found) -> Table:
    verdict = found["verdict"]
    table = Table("head", "score", "threshold", "", title="Heads", title_justify="left")
    for label in LABELS:
        score, flagged = verdict["scores"].get(label), label in verdict["labels"]
        shown = "-" if score is None else f"{score:.3f}"
        mark = Text("flagged", style="bold red") if flagged else Text("")
        table.add_row(label, shown, f"{verdict['thresholds'][label]:.3f}", mark)
    for signal, score in verdict["signals"].items():
        table.add_row(signal, f"{score:.3f}", "", "")
    for span in found["evidence"]:
        table.add_row("sentence", "", "", plain(f"{span['start']}-{span['end']}: {span['text']}"))
    return table


def _calls(found: _Found) -> Table:
    table = _sheet("What could be sent upstream")
    for probe in found["probes"]:
        mark = ", asked now" if probe["asked"] else ""
        model = f" of {probe['model']}" if probe["model"] else ""
        title = plain(f"probe{model}: {probe['purpose']}{mark}")
        table.add_row(title, _messages(probe["messages"]))
    for call in found["regenerations"]:
        table.add_row(_title(call), _last(call))
    return table


def _messages(messages: Any) -> Text:
    if not messages:
        return Text("nothing to ask about")
    parts = [Text.assemble((f"{m['role']}: ", "bold"), _short(m["content"])) for m in messages]
    return Text("\n").join(parts)


def _title(call: _Found) -> str:
    places = [f"{label} attempt {place}" for label, place in call["places"].items()]
    return "\n".join([call["strategy"], *(places or ["not in this policy"])])


def _last(call: _Found) -> Text:
    if call["last_message"] is None:
        return Text("does not apply to this turn")
    assumed = f", assuming {call['assumes']}" if call["assumes"] else ""
    head = f"{call['instruction']}{assumed}; {call['unchanged']} messages unchanged, then:\n"
    content = call["last_message"]["content"]
    text = content if isinstance(content, str) else _text_of(content)
    return Text.assemble((head, "italic"), _short(text, most=3 * _MOST_CHARACTERS))


def _text_of(parts: Any) -> str:
    return "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, Mapping))


def _short(text: str, most: int = _MOST_CHARACTERS) -> Text:
    if len(text) > most:
        text = f"{text[: most // 2]} [...] {text[-most // 2 :]}"
    return Text("\n").join(map(plain, text.splitlines() or [""]))


def _sheet(title: str) -> Table:
    return Table(title=title, title_justify="left", show_header=False, show_lines=True)
