"""A blocking HTTP client that times one request at a time; no library in the way."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds from the request's last byte out to the body's first and last byte in."""

    first: float
    last: float


class Client:
    """One kept-alive connection.

    Args:
        port: On loopback.
        expected: Every response's head must contain it: a figure for the wrong path is worthless.
    """

    def __init__(self, port: int, expected: bytes = b"") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._expected = expected

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def request(self, payload: dict[str, Any]) -> Timing:
        """Send one request and read its whole response.

        Raises:
            RuntimeError: If the status is not 200, or the head lacks what is expected.
        """
        body = json.dumps(payload).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer none\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        began = time.perf_counter()
        self._socket.sendall(head.encode() + body)
        received = b""
        while b"\r\n\r\n" not in received or not received.partition(b"\r\n\r\n")[2]:
            received += self._more()
        first = time.perf_counter()
        self._check(received)
        while not _complete(received):
            received += self._more()
        return Timing(first - began, time.perf_counter() - began)

    def _more(self) -> bytes:
        data = self._socket.recv(1 << 16)
        if not data:
            raise RuntimeError("connection closed")
        return data

    def _check(self, received: bytes) -> None:
        head = received.partition(b"\r\n\r\n")[0]
        if not head.startswith(b"HTTP/1.1 200") or self._expected not in head:
            raise RuntimeError(head.decode(errors="replace"))


def answered(port: int, request: bytes, patience: float = 30.0) -> bytes:
    """Send one request over a connection of its own; returns the head of the answer.

    Raises:
        OSError: If nobody listens, or the connection breaks off.
    """
    return exchanged(port, request, patience)[0]


def exchanged(port: int, request: bytes, patience: float = 30.0) -> tuple[bytes, bytes]:
    """Send one request over a connection of its own; returns head and body of the answer.

    The body of an answer in chunks has the chunks' sizes in it.

    Raises:
        OSError: If nobody listens, or the connection breaks off.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection:
        connection.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received or not _complete(received):
            if not (data := connection.recv(1 << 16)):
                raise ConnectionResetError("closed before its answer was complete")
            received += data
    head, _, body = received.partition(b"\r\n\r\n")
    return head + b"\r\n", body


def _complete(received: bytes) -> bool:
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), None)
    return body.endswith(b"0\r\n\r\n") if length is None else len(body) >= length
