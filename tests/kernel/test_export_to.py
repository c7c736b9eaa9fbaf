"""A running agent that exports to several receivers at once, and one of them is dead."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest
from conftest import DEADLINE_S, RunningAgent

pytestmark = pytest.mark.kernel


def test_a_file_a_socket_and_a_dead_receiver(tmp_path: Path) -> None:
    path = tmp_path / "reader.sock"
    received: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        listening.settimeout(DEADLINE_S)

        def read() -> None:
            connection, _ = listening.accept()
            received.extend(connection.makefile("rb"))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        agent = RunningAgent(
            tmp_path,
            "--export-to",
            f"unix://{path}?format=ecs",
            "--export-to",
            f"unix://{tmp_path}/nobody",
            "--export-spool-dir",
            str(tmp_path / "spool"),
        )
        pids = [agent.run("/bin/true")[0]["process_exec"]["process"]["pid"] for _ in range(5)]
        agent.wait(lambda: "events wait on disk" in agent.log(), "the dead receiver to be noticed")
        assert agent.stop() == 0
        reader.join(DEADLINE_S)
    events = [json.loads(line) for line in received]
    for pid in pids:
        seen = [one["event"]["action"] for one in events if one.get("process", {}).get("pid") == pid]
        assert set(seen) == {"exec", "exit"}
    # What nobody took waits for the next agent.
    waiting = b"".join(one.read_bytes() for one in (tmp_path / "spool").glob("*nobody*/*.events"))
    assert all(f'"pid":{pid},'.encode() in waiting for pid in pids)
