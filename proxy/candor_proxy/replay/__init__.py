"""A recorded model behind the OpenAI API, for tests and benchmarks that must not need a model.

    python -m candor_proxy.replay FILE... --port 8401

Every line of a file is a recording: a conversation, the reply that the model gave to it, the reply
that it gave under an honesty instruction, and what it said when it was asked a neutral question.
The server answers each request with the reply that belongs to it, with the timing of a real stream.
See `candor_proxy.replay.recordings` for the format and `candor_proxy.replay.matching` for how an
edited request still finds its recording.
"""

from candor_proxy.replay.app import make_replay_app
from candor_proxy.replay.chat import Pace
from candor_proxy.replay.ledger import Ledger
from candor_proxy.replay.matching import MARKER, PROBE_MARKER, Library, Purpose
from candor_proxy.replay.recordings import Recording, load_recordings

__all__ = [
    "MARKER",
    "PROBE_MARKER",
    "Ledger",
    "Library",
    "Pace",
    "Purpose",
    "Recording",
    "load_recordings",
    "make_replay_app",
]
