"""`lictor detach` leaves nothing of Lictor in the kernel. Not on this machine: others may run an agent here."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import LICTOR, RunningAgent

from attacks.row import LIBRARY
from lictor.kernel import leftovers

pytestmark = pytest.mark.skipif("ATTACKED_KERNEL" not in os.environ, reason="it would end agents of others")


def detach(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LICTOR, "detach", *options], capture_output=True, text=True, check=False)


def test_running_agent_is_named_and_ended_only_when_asked(tmp_path: Path) -> None:
    agent = RunningAgent(tmp_path, "--policy", str(LIBRARY / "files/deny-open.yaml"))
    assert any(one.program == "hook_lsm" for one in leftovers.find())
    refused = detach()
    assert refused.returncode == 2
    assert str(agent.process.pid) in refused.stderr
    assert detach("--stop-agent").returncode == 0
    assert agent.process.wait(20) == 0
    assert leftovers.find() == []


def test_nothing_is_left_after_a_crash(tmp_path: Path) -> None:
    agent = RunningAgent(tmp_path, "--policy", str(LIBRARY / "files/deny-open.yaml"))
    agent.process.send_signal(signal.SIGKILL)
    agent.process.wait()
    done = detach()
    assert done.returncode == 0, done.stderr
    assert leftovers.find() == []
