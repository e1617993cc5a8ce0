"""The guarded reply as a generator without I/O.

`guard_flow` yields steps and is sent their answers; a driver (`candor_guard.guard`) does what the
steps say. Failures of a step are thrown into the generator as exceptions from
`candor_guard.errors`. The way of one request::

    Send(0) ─ Gate ─ Head(0) ─┬─ not at risk ───────────────▶ Start ─ Relay(0)
                              └─ Hold ─ Receive(0)… ─ Detect ─┬─ clean ──▶ Start ─ Emit ─ [Relay]
                                                              └─ flagged
                   Send(k) ─ Head(k) ─ Receive(k)… ─ Detect ◀──┘  (at most max_attempts times)
                        └─▶ the better reply by verdict: Start ─ Emit

In enforce mode nothing of a reply at risk leaves before its verdict. What decides is text, never
how the upstream cut it into pieces: every bound on text is applied at an exact position.
"""

from candor_guard.flow.reply import guard_flow
from candor_guard.flow.steps import (
    Annotate,
    Answer,
    Close,
    Detect,
    Emit,
    Flow,
    FlowContext,
    Gate,
    Head,
    Hold,
    Receive,
    Relay,
    ReplyHead,
    Send,
    Start,
    Step,
)

__all__ = [
    "Annotate",
    "Answer",
    "Close",
    "Detect",
    "Emit",
    "Flow",
    "FlowContext",
    "Gate",
    "Head",
    "Hold",
    "Receive",
    "Relay",
    "ReplyHead",
    "Send",
    "Start",
    "Step",
    "guard_flow",
]
