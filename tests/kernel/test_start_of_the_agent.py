"""Between the scan of /proc and the sensors nobody falls through, and nobody is told of twice."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import RunningAgent

pytestmark = pytest.mark.kernel
# Forks, execs at once, execs later, and forks that never exec.
BUSY = """
import os
while True:
    first = os.fork()
    if not first:
        if os.fork():
            os.wait()
            os.execv("/bin/true", ["true", "late"])
        os.execv("/bin/true", ["true", "child"])
    os.waitpid(first, 0)
"""


@contextlib.contextmanager
def busy() -> Iterator[list[int]]:
    workers = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(2)]
    try:
        yield [one.pid for one in workers]
    finally:
        for one in workers:
            one.kill()
            one.wait()


@pytest.mark.parametrize("_attempt", range(int(os.environ.get("TEST_STARTS", "3"))))
def test_an_agent_that_starts_on_a_busy_machine(tmp_path: Path, _attempt: int) -> None:
    with busy() as workers:
        agent = RunningAgent(tmp_path)
        seen = len(agent.events())
        agent.wait(lambda: len(agent.events()) > seen + 200, "events of the busy processes")
    for worker in workers:
        agent.until_exit(worker)
    assert agent.stop() == 0
    events = agent.events()
    bodies = [(kind, body) for event in events for kind, body in [next(iter(event.items()))]]
    assert not [body for kind, body in bodies if kind == "rate_limit_info"]

    execs = Counter(body["process"]["exec_id"] for kind, body in bodies if kind == "process_exec")
    exits = Counter(body["process"]["exec_id"] for kind, body in bodies if kind == "process_exit")
    assert max(execs.values()) == 1
    assert max(exits.values()) == 1

    # The workers lived before the agent: one identity each, whoever names them.
    for worker in workers:
        identities = {
            process["exec_id"]
            for _, body in bodies
            for process in (body["process"], body.get("parent", {}))
            if process.get("pid") == worker
        }
        assert len(identities) == 1
    known: dict[str, Any] = {body["process"]["exec_id"]: body for _, body in bodies}
    orphans = [body for _, body in bodies if "parent" not in body and body["process"]["pid"] not in (1, 2)]
    assert not [body for body in orphans if body["process"].get("arguments") in ("late", "child")]
    # A child of a worker that was forked and gone, or another image, before the scan reached it can only be named.
    for _, body in bodies:
        if body.get("parent", {}).get("flags") == "unknown":
            assert body["parent"]["exec_id"] == body["process"]["parent_exec_id"]
            assert body["parent"]["exec_id"] not in known
        if body["process"].get("arguments") == "child":
            assert body["parent"]["exec_id"] in known or body["parent"]["pid"] not in workers


def test_a_zombie_is_not_shown_as_alive(tmp_path: Path) -> None:
    zombie = subprocess.Popen(["/bin/true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    agent = RunningAgent(tmp_path)
    assert agent.of(zombie.pid) == []
    zombie.wait()
    # Reaping is no event; what comes next is the proof that nothing of it came before.
    agent.run("/bin/true")
    assert agent.of(zombie.pid) == []
    assert agent.stop() == 0


def test_two_thousand_threads(tmp_path: Path) -> None:
    code = (
        "import threading\n"
        "threading.stack_size(65536)\n"
        "e=threading.Event()\n"
        "ts=[threading.Thread(target=e.wait) for _ in range(2000)]\n"
        "[t.start() for t in ts]\ne.set()\n[t.join() for t in ts]\n"
    )
    agent = RunningAgent(tmp_path)
    events = agent.run(sys.executable, "-c", code)
    assert [next(iter(event)) for event in events] == ["process_exec", "process_exit"]
    assert agent.stop() == 0
