"""What the proxy's app can be told, apart from the guard itself."""

from __future__ import annotations

from dataclasses import dataclass

from candor_guard.flow import Annotate


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    """Behaviour of the HTTP surface.

    Attributes:
        annotate: When the ``candor`` object is written into bodies: ``flagged`` replies only,
            ``all`` replies that were read, or ``none`` (for strict clients).
        allow_mode_header: Whether a client may set ``x-candor-mode`` for its request.
        max_request_bytes: Largest request body that is parsed; a larger one gets a 413.
        body_timeout: Seconds of silence that a client is allowed before and within its body; then
            it gets a 408.
        header_wait: Seconds that a held stream's headers wait for the decision.
        keepalive_interval: Seconds between keepalive comments after that.
        log_content: Whether the log and ``candor.attempts`` tell what probes found and how
            regenerations changed the request, in words of the conversation.
        log_decisions: Whether the log has a line for each reply that was read, without content.
        server: What log lines call the upstream; its host.
    """

    annotate: Annotate = "flagged"
    allow_mode_header: bool = True
    max_request_bytes: int = 20 * 1024 * 1024
    body_timeout: float = 30.0
    header_wait: float = 10.0
    keepalive_interval: float = 10.0
    log_content: bool = False
    log_decisions: bool = False
    server: str = "upstream"
