"""The limit of open files: raised as far as it goes, and told where that is too little."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.proxy.serving import PATIENCE, serving

from candor_proxy.files import needed
from candor_proxy.settings import Settings

if sys.platform == "win32":
    pytest.skip("open files have no such limit there", allow_module_level=True)

UPSTREAM = "http://127.0.0.1:9/v1"
BARE = Settings(upstream=UPSTREAM)


def allowed(soft: int, hard: int) -> list[str]:
    """Return the limit that a process with these limits ends up with, and what it says of it."""
    code = (
        "import resource, sys\n"
        "from candor_proxy.files import allow\n"
        "from candor_proxy.settings import Settings\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))\n"
        f"told = allow(Settings(upstream={UPSTREAM!r}))\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
        "print(told or '')\n"
    )
    command = (sys.executable, "-c", code, str(soft), str(hard))
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    return done.stdout.splitlines()


def test_the_usual_limit_is_raised() -> None:
    """The defaults want more than the usual 1,024, and get it where the system lets them."""
    assert needed(BARE) > 1024
    assert allowed(1024, 5000) == ["5000", ""]


def test_a_limit_that_stays_too_low_is_one_line() -> None:
    """The line names what is allowed, the settings that want more, and how much that is."""
    limit, told = allowed(500, 1024)
    assert limit == "1024"
    assert told == (
        "warning: only 1024 open files are allowed, but max_concurrent 1000 + max_waiting 1000"
        f" + max_connections 1000 may need {needed(BARE)} a worker: raise the limit"
        " (ulimit -n, LimitNOFILE), or lower these"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_server_raises_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is started with the usual limit runs with a higher one."""
    lower = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (1024, 5000))\n"
    (tmp_path / "sitecustomize.py").write_text(lower)
    monkeypatch.setenv("PYTHONPATH", ":".join((str(tmp_path), *sys.path)))
    with serving("--upstream", UPSTREAM, cwd=tmp_path) as proxy:
        assert proxy.ask("GET", "/healthz")[0].status == 200
        limits = Path(f"/proc/{proxy.process.pid}/limits").read_text().splitlines()
    (line,) = [line for line in limits if line.startswith("Max open files")]
    assert line.split()[3:5] == ["5000", "5000"]
