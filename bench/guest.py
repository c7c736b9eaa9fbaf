"""The part of `make bench` that runs in the guest: workloads without and with the agent. Prints one JSON object."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import measure

EXECS, FILES, REPEATS = 3000, 2000, 2
TINY, PLAIN = Path("/run/tiny"), Path("/run/plain")


def round_of(agent: measure.Agent | None) -> dict[str, Any]:
    """One repeat of both workloads. Nanoseconds are instructions here (-icount)."""
    found: dict[str, Any] = {}
    for kind, rounds, path in (("exec", EXECS, TINY), ("file", FILES, PLAIN)):
        before = agent.cpu_ns() if agent else 0
        found[kind] = measure.workload(kind, rounds, path)
        if agent:
            agent.settle()
            found[kind]["agent_cpu_ns"] = agent.cpu_ns() - before
    return found


def main() -> None:
    shutil.copy(measure.BUILT / "tiny", TINY)
    PLAIN.write_text("hello\n")
    # Before anything is measured: a machine with more than one cgroup does more work at every fork.
    cgroup = Path("/sys/fs/cgroup/agent")
    cgroup.mkdir()
    result: dict[str, Any] = {"kernel": os.uname().release, "python": sys.version.split()[0]}
    for kind, rounds, path in (("exec", 200, TINY), ("file", 2000, PLAIN)):
        measure.workload(kind, rounds, path)  # caches
    result["without"] = [round_of(None) for _ in range(REPEATS)]
    directory = Path("/run/agent")
    directory.mkdir()
    with measure.running(directory, cgroup) as agent:
        result["ready_cpu_ns"] = agent.ready_ns
        result["memory_at_ready_kb"] = agent.memory_kb()
        measure.workload("exec", 200, TINY)
        agent.settle()
        result["with"] = [round_of(agent) for _ in range(REPEATS)]
        result["memory_after_kb"] = agent.memory_kb()
        result["maps_bytes"] = agent.maps_bytes()
        result["wanted"] = 200 + REPEATS * EXECS
        result["events"] = agent.counts(TINY)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
