"""Enforcement by a running agent: switched for a while by the command, suspended by a trial period, told in status and
stream. The rule kills children of this test alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import LICTOR, RunningAgent

pytestmark = pytest.mark.kernel
_POLICY = """
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {{name: {name}}}
spec:
  options:
  - {{name: policy-mode, value: {mode}}}
  - {{name: denials-per-minute, value: "{limit}"}}
  kprobes:
  - call: sys_getpriority
    syscall: true
    args: [{{index: 0, type: int}}]
    selectors:
    - label: ours
      matchPIDs: [{{operator: In, followForks: true, values: [{pid}]}}]
      matchActions: [{{action: Sigkill}}]
"""
_ASKS = "import os; os.getpriority(os.PRIO_PROCESS, 0)"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    if os.geteuid() != 0:
        pytest.skip("needs root to load BPF programs")
    running = RunningAgent(tmp_path_factory.mktemp("agent"))
    yield running
    assert running.stop() == 0


def lictor(agent: RunningAgent, *arguments: str, text: str | None = None) -> str:
    command = [LICTOR, *arguments, "--server-address", f"unix://{agent.socket}"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def status(agent: RunningAgent, name: str) -> dict[str, Any]:
    listed = json.loads(lictor(agent, "policy", "list", "-o", "json"))["policies"]
    found: dict[str, Any] = next(one for one in listed if one["name"] == name)
    return found


def survives() -> bool:
    code = subprocess.run([sys.executable, "-c", _ASKS], check=False).returncode
    assert code in (0, -signal.SIGKILL)
    return code == 0


@pytest.fixture
def policy(agent: RunningAgent, request: pytest.FixtureRequest) -> Iterator[str]:
    """A policy of the mode and the limit that the test asks for."""
    mode, limit = request.param
    name = f"no-priorities-{mode}"
    text = _POLICY.format(name=name, mode=mode, limit=limit, pid=os.getpid())
    lictor(agent, "policy", "add", "-", text=text)
    yield name
    lictor(agent, "policy", "delete", name)


@pytest.mark.parametrize("policy", [("monitor", 1000)], indirect=True)
def test_it_enforces_for_a_while(agent: RunningAgent, policy: str) -> None:
    assert survives()
    began = time.monotonic()
    assert status(agent, policy)["mode"] == "TP_MODE_MONITOR"
    # Long enough for three commands, which take long in a VM.
    span = f"{min(50, 5 + 4 * round(time.monotonic() - began))}s"
    said = lictor(agent, "policy", "set-mode", policy, "enforce", "--for", span)
    assert f"enforce for {span}" in said
    shown = status(agent, policy)
    assert shown["mode"] == "TP_MODE_ENFORCE"
    assert "mode enforce for" in json.dumps(shown)
    assert "killed, may have happened (around it: " in json.dumps(shown)
    assert not survives()
    agent.wait(survives, "the enforcement to end by itself")
    assert status(agent, policy)["mode"] == "TP_MODE_MONITOR"


@pytest.mark.parametrize("policy", [("enforce", 2)], indirect=True)
def test_trial_period_is_told_in_status_and_stream(agent: RunningAgent, policy: str) -> None:
    assert [survives() for _ in range(2)] == [False, False]
    agent.wait(survives, "the policy to be suspended")
    shown = json.dumps(status(agent, policy))
    assert "suspended: it denied more than its trial period allows" in shown
    assert "killed, may have happened, suspended" in shown
    where = f"policy {policy}"
    agent.wait(
        lambda: any(where in json.dumps(one) for one in agent.events() if "rate_limit_info" in one),
        "the stream to tell of it",
    )
    lictor(agent, "policy", "set-mode", policy, "enforce")
    assert not survives()
    assert "suspended" not in json.dumps(status(agent, policy))
