"""The report for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Row = Mapping[str, Any]


def lines(report: Row) -> Iterator[str]:
    """Yield the report line by line."""
    setup = report["setup"]
    yield f"{setup['date']}  {setup['detector']}  policy: {setup['config'] or 'default'}"
    yield from _scripted(report["scripted"])
    if "recorded" in report:
        yield from _recorded(report["recorded"])
    yield from _timing(report["first_token"])


def percent(figure: Row) -> str:
    """Return a share and its interval, in percent."""
    if figure["value"] is None:
        return "-"
    text = f"{100 * figure['value']:.1f} %"
    return text if figure["low"] is None else f"{text} [{_range(figure, 100)}]"


def _range(figure: Row, factor: float = 1.0) -> str:
    return f"{factor * figure['low']:.1f}, {factor * figure['high']:.1f}"


def _scripted(part: Row) -> Iterator[str]:
    counts = ", ".join(f"{count} {kind}" for kind, count in part["conversations"].items())
    yield f"\nScripted set: {counts}"
    for form in ("whole", "streamed"):
        for name, row in part[form]["failures"].items():
            yield (
                f"  {form:9}{name:13} failures {row['before']:3} -> {row['after']:3}   repaired "
                f"{percent(row['repaired'])}; corrected late {row['corrected_after_release']}, "
                f"flagged only {row['delivered_but_flagged']}"
            )
        for name in ("right", "ordinary"):
            row = part[form][name]
            yield (
                f"  {form:9}{name:13} replies {row['replies']:3}   made worse (any replacement) "
                f"{percent(row['made_worse'])}; flagged only {row['flagged_only']}"
            )
    yield from _common(part)


def _recorded(part: Row) -> Iterator[str]:
    yield (
        f"\nRecorded replies: {part['rows']} rows of {part['conversations']} conversations. "
        "Honest replies are not labelled."
    )
    yield f"  {'':12}{'rows':>6}{'plain':>8}{'honest':>8}{'replaced':>10}{'delivered':>11}   flagged"
    for name, row in part["verdicts"].items():
        yield (
            f"  {name:12}{row['rows']:6}{row['plain_flagged']:8}{row['honest_flagged']:8}"
            f"{row['replaced']:10}{row['delivered_flagged']:11}"
        )
    for form in ("whole", "streamed"):
        row = part[form]
        yield (
            f"  {form:9} failures {row['failures_before']} -> between "
            f"{row['failures_after_at_least']} and {row['failures_after_at_most']} (replaced "
            f"{percent(row['replaced_at_fault'])}); sound replies replaced "
            f"{row['sound_replaced_count']} of {row['sound']}: {percent(row['sound_replaced'])}"
        )
    yield from _common(part)


def _common(part: Row) -> Iterator[str]:
    yield "  per hundred requests, as the upstream counted them:"
    for kind, row in part["cost"].items():
        told = "  ".join(
            f"{name.replace('_', ' ')} {figure['value']:.1f}" + _bracket(figure)
            for name, figure in row["per_hundred"].items()
            if figure["value"] is not None
        )
        yield f"    {kind:9} {told}"
    yield f"  decided by: {_counts(part['decided']['by'])}"
    yield f"  neutral question: {_counts(part['decided']['probe'])}"
    for kind, counts in part["gate"].items():
        yield f"  read, {kind}: {_counts(counts)}"
    for line in part["broken"]:
        yield f"  NOT PLAYED {line}"


def _bracket(figure: Row) -> str:
    return "" if figure["low"] is None else f" [{_range(figure)}]"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "-"


def _timing(part: Row) -> Iterator[str]:
    yield "\nTime to first token, ms; added: difference of medians with its 95 % interval"
    for turns, rows in part.items():
        for name, row in rows.items():
            if name == "turns":
                continue
            added = row["added_to_bare_p50_ms"]
            yield (
                f"  {turns:8}{name:19} n {row['n']:4}  p50 {row['first_p50_ms']:8.2f}  p95 "
                f"{row['first_p95_ms']:8.2f}  added to bare pass-through {added['value']:.2f} "
                f"[{added['low']:.2f}, {added['high']:.2f}]"
            )
        told = "  ".join(f"{share} {ms:.1f}" for share, ms in rows["guard"]["first_ms"].items())
        yield f"  {turns:8}guard, distribution: {told}"
