"""What every upstream is asked with."""

from __future__ import annotations

from candor_guard.upstreams import UpstreamRequest, end_to_end


def test_a_request_shows_neither_key_nor_content() -> None:
    """What ends up in a log or a debugger says where to, and nothing else."""
    key = ("authorization", "Bearer sk-secret")
    shown = repr(UpstreamRequest("POST", "/chat/completions", (key,), b"my secret"))
    assert "/chat/completions" in shown
    assert "secret" not in shown


def test_headers_for_one_connection_end_there() -> None:
    """Hop-by-hop headers and those that a connection header names are dropped, others kept."""
    sent = [
        ("connection", "close, X-Mine"), ("te", "trailers"), ("x-mine", "1"), ("x-yours", "2"),
        ("connection", "x-third"), ("x-third", "3"), ("x-yours", "4"),
    ]  # fmt: skip
    assert end_to_end(sent) == (("x-yours", "2"), ("x-yours", "4"))
