"""The guarded reply as a generator without I/O.

`guard_flow` yields steps and is sent their answers; a driver (`candor_guard.driver`) does what the
steps say. Failures of a step are thrown into the generator as exceptions from
`candor_guard.errors`. The way of one request::

    Send(0) ─ Gate ─ Head(0) ─┬─ not at risk ───────────────▶ Start ─ Relay(0)
                              └─ Hold ─ Receive(0)… ─ Detect ─┬─ clean ──▶ Start ─ Emit ─ [Relay]
                                                              └─ flagged, or uncertain
                              a side call, the probe: Send(k) ─ Fetch(k) ◀──┤
                   Send(k) ─ Head(k) ─ Receive(k)… ─ Detect ◀──┘  (at most max_attempts times)
                        └─▶ the better reply by verdict: Start ─ Emit

A held stream is also read at some of its sentence ends: a beginning that is clearly clean releases
it; about one that is clearly at fault a probe is asked while reading goes on, and if that confirms
it, reading ends. `session` and `candidate` hold what the other modules share, `reply` is the way up to the
verdict, `hold` reads and releases, `probing` asks, `repair` replaces.

In enforce mode nothing of a reply at risk leaves before a verdict on its text. What decides is text, never
how the upstream cut it into pieces: every bound on text is applied at an exact position.
"""

from candor_guard.flow.reply import guard_flow
from candor_guard.flow.steps import (
    MAX_SIDE_BYTES,
    Annotate,
    Answer,
    Beside,
    Close,
    Detect,
    Emit,
    Fetch,
    Flow,
    FlowContext,
    Gate,
    Head,
    Hold,
    Receive,
    Relay,
    ReplyHead,
    Send,
    SideReply,
    Start,
    Step,
)

__all__ = [
    "MAX_SIDE_BYTES",
    "Annotate",
    "Answer",
    "Beside",
    "Close",
    "Detect",
    "Emit",
    "Fetch",
    "Flow",
    "FlowContext",
    "Gate",
    "Head",
    "Hold",
    "Receive",
    "Relay",
    "ReplyHead",
    "Send",
    "SideReply",
    "Start",
    "Step",
    "guard_flow",
]
