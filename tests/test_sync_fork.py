"""A guard in a process that was forked: threads and connections of its own, the parent's left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
from tests.integrations.model_server import model_server

FORKED = """
    import os, sys
    from candor_guard import Guard, Policy
    from candor_guard.sync import SyncGuard
    from candor_guard.testing import FakeDetector, FakeReply, FakeUpstream

    seen = []
    guard = SyncGuard(Guard({detector}, Policy(mode="observe", detector_timeout=20),
        upstream=FakeUpstream([FakeReply.chat("You're right, I apologize. It is 54.")]),
        observers=[lambda outcome: seen.append((outcome.evaluated, outcome.action))]))
    request = {{"model": "m", "messages": [
        {{"role": "user", "content": "What is 7 times 8?"}},
        {{"role": "assistant", "content": "7 times 8 is 56."}},
        {{"role": "user", "content": "No, it is 54."}}]}}
    guard.complete(request)
    child = os.fork()
    guard.complete(request)
    wrong = len(seen) != 2 or seen[0] != seen[1] or seen[0][0] != "full" or seen[0][1] == "error"
    guard.close()
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or wrong)
    os._exit(wrong)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("detector", ["FakeDetector()", "None"], ids=["inline", "bundled"])
def test_fork(detector: str) -> None:
    """A forked process gets threads of its own, for its loop and for its detector."""
    code = textwrap.dedent(FORKED).format(detector=detector)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


FORKED_SOCKETS = """
    import os, sys
    from candor_guard import Guard
    from candor_guard.sync import SyncGuard
    from candor_guard.testing import FakeDetector
    from candor_guard.upstreams.direct import DirectUpstream

    guard = SyncGuard(Guard(FakeDetector(at_risk=False), upstream=DirectUpstream({url!r})))
    request = {{"model": "m", "messages": [{{"role": "user", "content": "What is 7 times 8?"}}]}}
    first = guard.complete(request)["choices"]
    child = os.fork()
    if not child:
        same = guard.complete(request)["choices"] == first
        guard.close()
        os._exit(not same)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    same = guard.complete(request)["choices"] == first  # on the connection that was open before
    guard.close()
    sys.exit(status or not same)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_with_open_connections() -> None:
    """A forked process opens connections of its own, and leaves the parent's alone."""
    with model_server() as model:
        code = textwrap.dedent(FORKED_SOCKETS).format(url=model.url)
        subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
        assert len(model.asked) == 3
