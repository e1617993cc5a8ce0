"""candor-guard: catches capitulation and drift in a model's reply before it is delivered."""

from candor_guard.errors import (
    CandorGuardError,
    ClosedError,
    ConfigurationError,
    DetectorError,
    InvalidRequestError,
    ReplyRefusedError,
    UpstreamError,
)
from candor_guard.guard import Guard
from candor_guard.outcome import Outcome
from candor_guard.policy import Policy
from candor_guard.sync import SyncGuard
from candor_guard.verdict import Reading, Risk, Span, Verdict

__version__ = "0.2.0.dev0"

__all__ = [
    "CandorGuardError",
    "ClosedError",
    "ConfigurationError",
    "DetectorError",
    "Guard",
    "InvalidRequestError",
    "Outcome",
    "Policy",
    "Reading",
    "ReplyRefusedError",
    "Risk",
    "Span",
    "SyncGuard",
    "UpstreamError",
    "Verdict",
    "__version__",
]
