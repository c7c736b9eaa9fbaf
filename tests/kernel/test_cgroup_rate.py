"""A cgroup that forks too fast: throttled, counted, told; the others are not touched; and it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Event, RunningAgent

from lictor.host import cgroups

pytestmark = pytest.mark.kernel
STORM = """
import os, sys
for _ in range(int(sys.argv[1])):
    os.waitpid(os.posix_spawn("/bin/true", ["/bin/true", "storm"], {}), 0)
"""


@pytest.fixture
def groups() -> Iterator[tuple[Path, Path]]:
    if os.geteuid() != 0:
        pytest.skip("needs root to load BPF programs")
    root = cgroups.find_hierarchy().root
    made = Path(root, f"lictor-storm-{os.getpid()}"), Path(root, f"lictor-quiet-{os.getpid()}")
    for one in made:
        one.mkdir()
    yield made
    for one in made:
        one.rmdir()


def run_in(group: Path, *command: str) -> None:
    """The fork and the shell are of our own cgroup; from the exec of the command on it is in `group`."""
    inside = f'echo $$ > {group}/cgroup.procs; exec "$@"'
    subprocess.run(["/bin/sh", "-c", inside, "sh", *command], check=True)


@pytest.mark.accounts("lictor_cgroup_rate_held_back_total")
def test_a_storm_in_one_cgroup(tmp_path: Path, groups: tuple[Path, Path]) -> None:
    stormy, quiet = groups
    # Within this test there is one interval. The rest of the machine has the same rate, and may be throttled too.
    agent = RunningAgent(tmp_path, "--cgroup-rate", "100,1h")
    run_in(stormy, sys.executable, "-c", STORM, "200")
    for _ in range(30):
        run_in(quiet, "/bin/true", "quiet")

    def throttling() -> list[str]:
        found = [e["process_throttle"] for e in agent.events() if "process_throttle" in e]
        return [one["type"] for one in found if one["cgroup"].endswith(stormy.name)]

    agent.wait(lambda: "THROTTLE_STOP" in throttling(), "the end of the throttling, five quiet seconds later")
    assert agent.stop() == 0
    assert throttling() == ["THROTTLE_START", "THROTTLE_STOP"]
    events = agent.events()

    def of(word: str, kind: str) -> list[Event]:
        return [e[kind] for e in events if kind in e and e[kind]["process"].get("arguments") == word]

    # Another cgroup is told of whole.
    assert len(of("quiet", "process_exec")) == len(of("quiet", "process_exit")) == 30
    # Of the storm the exec of the interpreter was told, 50 forks and 49 execs; and the end of whom was told of.
    begun = Counter(e["process"]["exec_id"] for e in of("storm", "process_exec"))
    ended = Counter(e["process"]["exec_id"] for e in of("storm", "process_exit"))
    assert begun == ended
    assert len(begun) == 49
    # What was held back was counted: 150 forks, 151 execs, and the exits of those without either.
    losses = [e["lictor"]["loss"] for e in events if "rate_limit_info" in e]
    assert sum(one["dropped"] for one in losses if one["where"].endswith(stormy.name)) == 150 + 151 + 150
