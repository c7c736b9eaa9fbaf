"""What an unfriendly workload can do to the agent: make others' records disappear, or its memory grow."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from conftest import RunningAgent

from lictor.host.facts import Preemption
from lictor.host.preemption import find

pytestmark = pytest.mark.kernel

FLOOD = """
import os, sys
big = [chr(97 + n % 26) * 120_000 for n in range(12)]
for _ in range(int(sys.argv[1])):
    os.waitpid(os.posix_spawn("/bin/true", ["/bin/true", sys.argv[2], *big], {}), 0)
"""
CROWD = """
import os, sys
read, write = os.pipe()
for _ in range(int(sys.argv[1])):
    if not os.fork():
        os.close(write)
        os.read(read, 1)
        os._exit(0)
print("forked", flush=True)
sys.stdin.read()
"""


def resident_kb(pid: int) -> int:
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_huge_command_lines_push_nobody_out(agent: RunningAgent) -> None:
    flood, quiet = secrets.token_hex(8), secrets.token_hex(8)
    before = resident_kb(agent.process.pid)
    floods = [subprocess.Popen([sys.executable, "-c", FLOOD, "100", flood]) for _ in range(4)]
    others = 0
    while any(one.poll() is None for one in floods):
        subprocess.run(["/bin/true", quiet], check=True)
        others += 1
    agent.until_exit(max(one.pid for one in floods))

    def execs(marker: str) -> list[dict[str, object]]:
        found = [event["process_exec"]["process"] for event in agent.events() if "process_exec" in event]
        return [one for one in found if one["binary"] == "/bin/true" and one.get("arguments", "").startswith(marker)]

    def losses() -> Counter[str]:
        found = Counter[str]()
        for event in agent.events():
            if "rate_limit_info" in event:
                found[event["lictor"]["loss"]["where"]] += event["lictor"]["loss"]["dropped"]
        return found

    agent.run("/bin/true")  # what comes before it is all there is
    # From Linux 7.0 on the kernel may skip an exec for a task that was preempted in the same program; it counts them.
    wanted = others + 400  # the first arguments always fit
    agent.wait(
        lambda: len(execs(quiet)) + len(execs(flood)) + losses()["process sensor"] >= wanted,
        "all, or what went missing",
    )
    assert len(execs(quiet)) <= others
    assert len(execs(flood)) <= 400
    assert all("truncArgs" in str(process["flags"]) for process in execs(flood))
    assert "priority ring" not in losses()
    assert not losses()["process sensor"] or find() not in (Preemption.NONE, Preemption.VOLUNTARY)
    # The queue of the export file is 8 MB; the rest is what the allocator keeps of the batches.
    assert resident_kb(agent.process.pid) - before < 60_000


def test_a_full_process_table_is_admitted_and_survived(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to load BPF programs")
    agent = RunningAgent(tmp_path, "--process-table-entries", "1024")
    crowd = subprocess.Popen([sys.executable, "-c", CROWD, "1100"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert crowd.stdin is not None
    assert crowd.stdout is not None
    crowd.stdout.readline()
    agent.wait(lambda: "process table is full" in agent.log(), "the warning")
    events = agent.run("/bin/sh", "-c", "/bin/true; exit 4")
    begun, ended = events[0]["process_exec"], events[-1]["process_exit"]
    assert begun["process"]["exec_id"] == ended["process"]["exec_id"]
    assert begun["process"]["binary"] == ended["process"]["binary"] == "/bin/sh"
    assert begun["parent"]["pid"] == os.getpid()
    assert ended["status"] == 4
    crowd.stdin.close()
    crowd.wait()
    # There is room again: a new process is known from its birth on.
    agent.until_exit(crowd.pid)
    assert "miss" not in agent.run("/bin/true")[0]["process_exec"]["process"]["flags"].split()
    assert agent.stop() == 0
