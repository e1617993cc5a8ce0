"""What `candor-guard serve` refuses, prints or builds without serving."""

from __future__ import annotations

import functools
import gc
import pickle
import socket
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.proxy.serving import PATIENCE, finished

from candor_guard.detectors.shipped import build_detector
from candor_guard.errors import ConfigurationError
from candor_guard.policy import Policy
from candor_guard.upstreams.direct import DirectUpstream
from candor_proxy.serve import build_app, build_guard, build_worker, run
from candor_proxy.settings import Settings

# -- not served -----------------------------------------------------------------------------------


def test_print_config_prints_and_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings in force, as TOML on standard output, without the key."""
    monkeypatch.setenv("CANDOR_UPSTREAM_API_KEY", "sk-very-secret")
    done = finished("--upstream", "http://m/v1", "--print-config", "--port", "1", cwd=tmp_path)
    printed = tomllib.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert (printed["port"], printed["upstream_api_key"]) == (1, "**********")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_port_in_use_is_one_line(tmp_path: Path, workers: str) -> None:
    """Whoever has the port keeps it; the message names it."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        flags = ("--upstream", "http://m/v1", "--port", port, "--workers", workers)
        done = finished(*flags, cwd=tmp_path)
    expected = (
        f"candor-guard: error: cannot listen on 127.0.0.1 port {port}: Address already in use"
    )
    assert (done.returncode, done.stderr) == (1, f"{expected}\n")


def test_unknown_host_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A host that is no address of anything is told like a port in use."""
    assert run(Settings(upstream="http://m/v1", host="a..b")) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--upstream", "http://me:pw@m/v1"), "--upstream on the command line: "),
        (("--upstream", "http://m/v1", "--operating-point", "lax"), "unknown operating point"),
        (("--upstream", "http://m/v1", "--detector", "oracle"), "unknown detector 'oracle'"),
        (("--upstream", "http://m/v1", "--detector", "oracle", "--workers", "2"), "'oracle'"),
        (("--upstream", "http://m/v1", "--config", "no.toml"), "cannot read no.toml"),
        (("--upstream", "http://m/v1", "--upstream-api-key-env", "NO_KEY"), "'NO_KEY' is not set"),
    ],
)
def test_wrong_settings_exit_2_before_listening(
    tmp_path: Path, flags: tuple[str, ...], message: str
) -> None:
    """Settings that make no sense end in one line and exit status 2."""
    done = finished(*flags, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("candor-guard: error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_folder_for_metrics_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    """A folder for shared counts that is not there is told before anything listens."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "none"))
    done = finished("--upstream", "http://m/v1", "--port", "0", "--workers", workers, cwd=tmp_path)
    expected = (
        "candor-guard: error: cannot write metrics to the folder in PROMETHEUS_MULTIPROC_DIR:"
        " No such file or directory\n"
    )
    assert (done.returncode, done.stderr) == (2, expected)


def test_no_temporary_folder_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Several workers, which need a place for their counts, say so where there is none."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    assert run(Settings(upstream="http://m/v1", port=0, workers=2, detector="lexical")) == 1
    *_, line = capsys.readouterr().err.splitlines()
    told = "error: several workers need a folder for temporary files: No such file or directory"
    assert line == f"candor-guard: {told}"


# -- building -------------------------------------------------------------------------------------


def test_build_guard_takes_policy_and_upstream() -> None:
    """The guard has the settings' policy, detector and upstream."""
    policy = Policy(mode="observe", operating_point="strict")
    settings = Settings(upstream="http://m/v1", upstream_api_key=SecretStr("k"), policy=policy)
    guard = build_guard(settings)
    assert guard.policy == policy
    assert guard.detector is build_detector(settings.detector)
    assert isinstance(guard.upstream, DirectUpstream)


def test_build_guard_refuses_what_does_not_exist() -> None:
    """An unknown instruction is found when the guard is built, not at the first request."""
    settings = Settings(upstream="http://m/v1", policy=Policy(instruction="shout"))
    with pytest.raises(ConfigurationError, match="shout"):
        build_guard(settings)


def test_litellm_without_its_extra() -> None:
    """Without the optional dependency the message says what to install."""
    code = (
        "import sys; sys.modules['litellm'] = None; from candor_proxy.cli import main; "
        "sys.exit(main(['serve', '--upstream', 'litellm', '--port', '0']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 2
    assert done.stderr.endswith("pip install 'candor-guard[litellm]'\n")
    assert done.stderr.count("\n") == 1


def test_litellm_takes_no_key_for_everybody() -> None:
    """One key for whichever provider a client names would reach the wrong one."""
    with pytest.raises(ConfigurationError, match="such as OPENAI_API_KEY"):
        build_guard(Settings(upstream="litellm", upstream_api_key=SecretStr("sk-1")))


def test_app_factory_travels_to_workers() -> None:
    """What a worker process is handed can be pickled, and still builds the app there."""
    factory = functools.partial(build_worker, Settings(upstream="http://m/v1"))
    code = (
        "import gc, pickle, sys\n"
        "app = pickle.load(sys.stdin.buffer)()\n"
        "print(callable(app), gc.get_freeze_count() > 10_000, gc.get_threshold()[0] > 700)"
    )
    command = (sys.executable, "-c", code)
    done = subprocess.run(command, input=pickle.dumps(factory), capture_output=True, check=True)
    assert done.stdout.split() == [b"True", b"True", b"True"]


def test_building_an_app_leaves_its_process_alone() -> None:
    """Only a process that does nothing but serve has its garbage collector tuned."""
    before = gc.get_freeze_count(), gc.get_threshold()
    assert callable(build_app(Settings(upstream="http://m/v1")))
    assert (gc.get_freeze_count(), gc.get_threshold()) == before
