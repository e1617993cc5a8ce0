"""What a user can do wrong, and what can go wrong around a benchmark."""


class BenchmarkError(Exception):
    """Ends the benchmark; the message is one line for people."""
