"""`lictor events` beside a running agent: the stream and the export file tell the same."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from conftest import LICTOR, RunningAgent

pytestmark = pytest.mark.kernel


class Follower:
    """A `lictor events -o json` that is known to be connected: it has shown an event."""

    def __init__(self, agent: RunningAgent, *options: str) -> None:
        address = f"unix://{agent.socket}"
        command = [LICTOR, "events", "-o", "json", "--server-address", address, *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.lines = self.process.stdout
        nudge = subprocess.Popen(["/bin/sh", "-c", "while :; do /bin/true nudge; done"])
        self.lines.readline()
        nudge.kill()
        self.killed = nudge.pid
        nudge.wait()

    def until_exit(self, pid: int) -> list[dict[str, Any]]:
        """The events of one process, up to its exit."""
        found = []
        for line in self.lines:
            event = json.loads(line)
            process = next(iter(event.values())).get("process", {})
            if process.get("pid") == pid:
                found.append(event)
                if "process_exit" in event:
                    return found
        raise AssertionError(f"the stream ended before {pid} did")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
        self.lines.close()


def without_extras(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "lictor"}


def test_the_stream_and_the_file_agree(agent: RunningAgent) -> None:
    follower = Follower(agent)
    child = subprocess.Popen(["/bin/sh", "-c", "exec /bin/echo 'a b' \"$0\"", "é\n"], stdout=subprocess.DEVNULL)
    child.wait()
    streamed = follower.until_exit(child.pid)
    follower.stop()
    assert streamed == [without_extras(event) for event in agent.until_exit(child.pid)]
    assert len(streamed) == 3


def test_filters_are_applied_by_the_agent(agent: RunningAgent) -> None:
    follower = Follower(agent, "--event-types", "exit")
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    streamed = follower.until_exit(child.pid)
    follower.stop()
    assert [next(iter(event)) for event in streamed] == ["process_exit"]


def test_no_agent_is_one_sentence(tmp_path: Any) -> None:
    done = subprocess.run(
        [LICTOR, "events", "--server-address", f"unix://{tmp_path}/none.sock"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("lictor: no agent answers at")
    assert "Traceback" not in done.stderr
