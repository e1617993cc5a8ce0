"""Files and pipes of JSON lines, as every command that reads exchanges takes them."""

from __future__ import annotations

import codecs
import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

from candor_proxy.cli.common import complain


class Entry(NamedTuple):
    """One exchange of the input; its bytes are not parsed yet."""

    line: int
    body: bytes


@contextmanager
def opened(name: str) -> Iterator[IO[bytes]]:
    """Open a file, or standard input for ``-``.

    Raises:
        InvalidRequestError: If it cannot be read.
    """
    from candor_guard.errors import InvalidRequestError  # noqa: PLC0415 - not for --help

    if name == "-":
        # Python has no sys.stdin at all when the shell closed it.
        yield getattr(sys.stdin, "buffer", None) or io.BytesIO()
        return
    try:
        stream = open(name, "rb")  # noqa: PTH123, SIM115 - a name may also be /dev/fd/63
    except OSError as error:
        raise InvalidRequestError(f"cannot read {name}: {error.strerror}") from None
    with stream:
        yield stream


def empty(name: str) -> Exception:
    """Return the error for an input without any entry."""
    from candor_guard.errors import InvalidRequestError  # noqa: PLC0415 - not for --help

    shown = "standard input" if name == "-" else name
    return InvalidRequestError(f"{shown} is empty")


def entries(stream: IO[bytes]) -> Iterator[Entry]:
    """Split the input lazily into JSON lines, or take it whole when it is one long object.

    Raises:
        InvalidRequestError: If it is in UTF-16, as older PowerShells write.
    """
    first = True
    for number, line in enumerate(stream, 1):
        body = line.strip()
        if number == 1:
            _need_utf8(body)
            body = body.removeprefix(b"\xef\xbb\xbf")
        if not body:
            continue
        if first and _unfinished(body):
            yield from _whole_or_lines(number, body, stream)
            return
        first = False
        yield Entry(number, body)


def each_exchange(name: str, use: Callable[[int, dict[str, Any]], None]) -> int:
    """Use every exchange of an input as soon as it is read; returns the exit status.

    Args:
        name: Of the file.
        use: Gets the line's number and its object. An exchange that it cannot use is named on
            standard error, and the next one is read.

    Raises:
        InvalidRequestError: If the file cannot be read or is empty.
    """
    from candor_guard.errors import DetectorError, InvalidRequestError  # noqa: PLC0415 - not for --help
    from candor_guard.wire.json import load_object  # noqa: PLC0415 - not for --help

    status, entry = 0, None
    with opened(name) as stream:
        for entry in entries(stream):
            try:
                source = load_object(entry.body)
                use(entry.line, source)
            except (DetectorError, InvalidRequestError) as error:
                status = complain(f"line {entry.line}: {placed(error)}")
    if entry is None:
        raise empty(name)
    return status


def placed(error: Exception) -> str:
    """Return what is wrong with a line: the parser counts lines from that one on."""
    told = str(error).replace(" at line 1 column", " at column")
    told = told.replace("body must be a JSON object", "a line must be one JSON object")
    told = told.replace("object, not list", "object, not a list (jq -c '.[]' makes lines of one)")
    return told.replace("body is not valid JSON", "not valid JSON")


def _need_utf8(start: bytes) -> None:
    """Refuse what is split into lines in vain: half of each line's end would begin the next one."""
    from candor_guard.errors import InvalidRequestError  # noqa: PLC0415 - not for --help

    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InvalidRequestError("the input is UTF-16; save it as UTF-8")


def _unfinished(body: bytes) -> bool:
    """Whether the line is the beginning of an object that goes on below."""
    try:
        json.loads(body)
    except json.JSONDecodeError as error:
        return error.pos >= len(error.doc)
    except (ValueError, RecursionError):
        pass
    return False


def _whole_or_lines(number: int, first: bytes, stream: IO[bytes]) -> Iterator[Entry]:
    rest = stream.read()
    whole = first + b"\n" + rest
    try:
        json.loads(whole)
    except (ValueError, RecursionError):
        lines = enumerate(whole.split(b"\n"), number)
        yield from (Entry(n, line.strip()) for n, line in lines if line.strip())
    else:
        yield Entry(number, whole)
