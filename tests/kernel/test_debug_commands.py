"""`lictor debug maps|progs`: what an agent on this machine holds in the kernel."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest
from conftest import LICTOR, RunningAgent

from lictor.host.preflight import kernel_version

pytestmark = pytest.mark.kernel


def debug(agent: RunningAgent, *words: str) -> Any:
    command = [LICTOR, "debug", *words, "--pid", str(agent.process.pid), "-o", "json"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_maps(agent: RunningAgent) -> None:
    found = debug(agent, "maps")
    maps = {one["name"]: one for one in found["maps"]}
    assert maps["process_table"]["type"] == "hash"
    if kernel_version(os.uname().release) >= (6, 4):  # before, the kernel does not tell what a ring holds
        assert maps["priority_ring"]["bytes"] > maps["bulk_ring"]["bytes"] > 1 << 20
    assert found["total_bytes"] == sum(one["bytes"] for one in found["maps"])
    assert len(debug(agent, "maps", "-n", "2")["maps"]) == 2


def test_programs_and_what_they_cost(agent: RunningAgent) -> None:
    command = [LICTOR, "debug", "enable-stats"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as counting:
        assert counting.stderr is not None
        assert counting.stderr.readline().startswith("counting")
        before = {one["name"]: one for one in debug(agent, "progs")["programs"]}
        for _ in range(20):
            agent.run("/bin/true")
        after = {one["name"]: one for one in debug(agent, "progs")["programs"]}
        counting.terminate()
    assert after["process_exec"]["runs"] - before["process_exec"]["runs"] >= 20
    assert after["process_exec"]["time_ns"] > before["process_exec"]["time_ns"]
    assert after["process_exec"]["instructions"] > 0


def test_a_process_that_holds_nothing() -> None:
    done = subprocess.run(
        [LICTOR, "debug", "maps", "--pid", str(os.getpid())], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--pid" in done.stderr
