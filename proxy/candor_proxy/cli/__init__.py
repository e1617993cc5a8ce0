"""The command line: one module for each command, loaded only when its command runs.

Exit statuses: 0 done, 1 it ran and failed, 2 bad usage or bad input, 130 interrupted.
"""

from __future__ import annotations

import argparse
import difflib
import errno
import os
import sys
from collections.abc import Collection, Sequence
from typing import Any, NoReturn

from typing_extensions import override

from candor_proxy.cli import bench, check, demo, eval, explain, serve
from candor_proxy.cli.common import complain

_COMMANDS = (serve, check, explain, demo, eval, bench)
# Of a write to standard output: a full disk or quota, a broken device.
_UNWRITABLE = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status.

    Args:
        argv: Without the program's name; default: the process's own.
    """
    _need_streams()
    parser = build_parser()
    given = sys.argv[1:] if argv is None else argv
    if not given:
        sys.stderr.write(parser.format_help())
        return 2
    flag = given[0].partition("=")[0]
    if flag.startswith("-") and flag not in ("--", *parser.own_flags):
        names = ", ".join(command.__name__.rpartition(".")[2] for command in _COMMANDS)
        return complain(f"{flag!r} needs a command before it, one of {names}")
    try:
        return _run(parser.parse_args(given))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _abandon_output()
        return 0
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        _abandon_output()
        complain(f"cannot write the output: {error.strerror}")
        return 1


def _run(arguments: argparse.Namespace) -> int:
    # Only now, so that --help is not kept waiting for the library.
    from candor_guard.errors import CandorGuardError  # noqa: PLC0415 - not for --help

    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except CandorGuardError as error:
        return complain(str(error))
    return status


def build_parser() -> _Parser:
    """Return the parser of the whole command line."""
    parser = _Parser(
        prog="candor-guard",
        description="Catches capitulation and drift in a model's replies before they are delivered.",
        epilog="example: candor-guard serve --upstream https://api.openai.com/v1",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="command")
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser


class _Parser(argparse.ArgumentParser):
    """Complains in one line, without the usage."""

    @property
    def own_flags(self) -> Collection[str]:
        """The flags that this parser knows, those of its commands left out."""
        return self._option_string_actions.keys()

    @override
    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        known, unknown = super().parse_known_args(args, namespace)
        # Here, where a command's own flags are known; the caller would only name the unknown ones.
        flag = next((word for word in unknown if word.startswith("--")), None)
        if flag is not None:
            name = flag.partition("=")[0]
            near = difflib.get_close_matches(name, self._option_string_actions, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            self.error(f"unknown flag {name!r}{hint}")
        return known, unknown

    @override
    def error(self, message: str) -> NoReturn:
        hint = "" if self.prog == "candor-guard" else f" (see {self.prog} --help)"
        raise SystemExit(complain(f"{message}{hint}"))


class _Version(argparse.Action):
    @override
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from candor_guard import __version__  # noqa: PLC0415 - not for --help

        sys.stdout.write(f"candor-guard {__version__}\n")
        parser.exit()


def _need_streams() -> None:
    """What the shell closed is None, and whoever closed it wants to read nothing."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - stays open


def _abandon_output() -> None:
    """Whoever read our output has left; let the interpreter's last flush go nowhere."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # standard output is no file
        pass
