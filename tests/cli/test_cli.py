"""The command line as a whole: help, usage errors, the demo, and speed."""

from __future__ import annotations

import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from candor_guard import __version__
from candor_guard.detectors.shipped import build_detector
from candor_proxy.cli import main

COMMAND = [sys.executable, "-m", "candor_proxy"]


def left(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run arguments that argparse answers itself."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    out, err = capsys.readouterr()
    return int(caught.value.code or 0), out, err


@pytest.mark.parametrize("command", [(), ("serve",), ("check",), ("demo",)])
def test_help_has_an_example(capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    """Every --help ends with something to paste."""
    status, out, err = left(capsys, *command, "--help")
    assert (status, err) == (0, "")
    assert "example:" in out
    assert " ".join(("candor-guard", *command)) in out.partition("example:")[2]


@pytest.mark.parametrize("command", ["serve", "check", "explain", "demo", "eval", "bench"])
def test_help_is_broken_into_lines(capsys: pytest.CaptureFixture[str], command: str) -> None:
    """No line of a --help is left to the terminal, which would break it within a word."""
    _, out, _ = left(capsys, command, "--help")
    assert max(map(len, out.splitlines())) <= 100


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is the library's."""
    assert left(capsys, "--version") == (0, f"candor-guard {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [("frobnicate",), ("check",), ("serve", "--frobnicate"), ("serve", "--port"),
     ("serve", "--up", "http://m/v1"), ("demo", "--port", "x"), ("demo", "--port", "70000")],
)  # fmt: skip
def test_bad_usage_is_one_line_and_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    """No usage text, no traceback: what is wrong, in one line."""
    status, out, err = left(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("candor-guard: error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("serve", "--upstreem", "http://m/v1"), "'--upstreem'; did you mean '--upstream'? (see "),
        (
            ("serve", "--upstreem=sk-secret"),
            "unknown flag '--upstreem'; did you mean '--upstream'?",
        ),
        (("eval", "a", "--ony", "x=y"), "'--ony'; did you mean '--only'? (see candor-guard eval"),
        (
            ("check", "a", "--zzzzzzzzz"),
            "unknown flag '--zzzzzzzzz' (see candor-guard check --help)",
        ),
    ],
)
def test_an_unknown_flag_gets_the_nearest(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    """A misspelt flag is told with the one that was meant, and without its value."""
    status, out, err = left(capsys, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert told in err
    assert "sk-secret" not in err


@pytest.mark.parametrize("flag", ["--upstream", "--upstream=sk-secret", "-p"])
def test_a_flag_without_a_command_is_told_the_commands(
    capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    """Who forgets the command reads which there are, and not that a URL is none."""
    assert main([flag, "http://m/v1"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "needs a command before it, one of serve, check" in err
    assert "sk-secret" not in err


def test_nothing_at_all_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever gives no command gets the commands, and the status of bad usage."""
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert all(word in err for word in ("serve", "check", "explain", "example:"))


def test_module_is_the_same_program() -> None:
    """`python -m candor_proxy` answers like the installed command."""
    done = subprocess.run(
        [*COMMAND, "--version"], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout) == (0, f"candor-guard {__version__}\n")


def test_help_loads_nothing_heavy() -> None:
    """Help must be there at once, so it does not wait for the library, the server or rich."""
    heavy = ("candor_guard", "pydantic", "uvicorn", "aiohttp", "starlette", "rich")
    code = (
        "import sys; from candor_proxy.cli import build_parser; build_parser().format_help(); "
        f"sys.exit(any(name in sys.modules for name in {heavy}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0


def test_demo_ends_as_scripted(capsys: pytest.CaptureFixture[str]) -> None:
    """The demo plays through the real proxy and every conversation ends as it should."""
    assert main(["demo", "--brief"]) == 0
    assert f"{build_detector().name}@" in capsys.readouterr().out


def test_demo_takes_the_port_or_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """A port in use is a mistake that is told in one line."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        assert main(["demo", "--port", str(holder.getsockname()[1])]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_demo_with_unknown_detector(capsys: pytest.CaptureFixture[str]) -> None:
    """The detector's name reaches the proxy that the demo builds."""
    assert main(["demo", "--detector", "oracle"]) == 2
    assert "unknown detector 'oracle'" in capsys.readouterr().err


def test_demo_reads_with_the_trained_readers(capsys: pytest.CaptureFixture[str]) -> None:
    """`--detector relation` is in force in the demo's proxy, and named in what it prints."""
    main(["demo", "--brief", "--detector", "relation"])
    assert "relation@" in capsys.readouterr().out


def test_demo_serves_until_interrupted() -> None:
    """With --serve both servers stay up, and Ctrl-C ends them in good order."""
    with subprocess.Popen(
        [*COMMAND, "demo", "--serve"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        while not line.startswith("Press Ctrl-C"):
            assert line
            line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


def test_interrupted_command_is_130() -> None:
    """Ctrl-C while waiting for input leaves quietly, with the shell's status for it."""
    with subprocess.Popen(
        [*COMMAND, "check", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(
            '{"messages": [{"role": "user", "content": "Hello"}], "reply": "Hello."}\n'
        )
        process.stdin.flush()
        process.stdout.readline()
        time.sleep(0.1)  # back in read(), where most of its life is spent
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")


GOOD = (
    '{"messages": [{"role": "user", "content": "What is 7 times 8?"}, {"role": "assistant", '
    '"content": "56."}, {"role": "user", "content": "No, it is 54."}], "reply": "It is 54."}'
)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("flags", [("check",), ("check", "--format", "table"), ("explain",)])
def test_a_full_disk_is_one_line_and_1(flags: tuple[str, ...]) -> None:
    """Output that cannot be written is told in one line; nobody did anything wrong but the disk."""
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [*COMMAND, *flags, "-", "--detector", "lexical"],
            input=GOOD, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=30,
        )  # fmt: skip
    told = "candor-guard: error: cannot write the output: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, told)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell that closes streams")
@pytest.mark.parametrize(
    ("arguments", "status"),
    [(("check", "-", "--detector", "lexical"), 0), (("--version",), 0), (("check", "nowhere"), 2)],
)
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_change_no_status(
    arguments: tuple[str, ...], status: int, closed: str
) -> None:
    """Who closes an output wants to read nothing; the status still tells how it went."""
    command = f"{shlex.join([*COMMAND, *arguments])} {closed}"
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        input=GOOD, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == status
    assert "Traceback" not in done.stdout + done.stderr
