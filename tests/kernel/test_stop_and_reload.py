"""A running agent: told to stop in the middle of things, and its settings read again."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path

import pytest
from conftest import DEADLINE_S, RunningAgent

pytestmark = pytest.mark.kernel


def test_nothing_in_the_rings_is_lost_at_the_end(tmp_path: Path) -> None:
    agent = RunningAgent(tmp_path)
    # Not waited for: their records are still in the rings, or in flight, when the agent is told to stop.
    pids = [subprocess.Popen(["/bin/true"]) for _ in range(50)]
    for one in pids:
        one.wait()
    assert agent.stop() == 0
    kinds = [sorted(next(iter(event)) for event in agent.of(one.pid)) for one in pids]
    assert kinds == [["process_exec", "process_exit"]] * 50


def test_sighup_changes_what_can_change(tmp_path: Path) -> None:
    config = tmp_path / "conf.d"
    config.mkdir()
    (config / "log-level").write_text("info")
    agent = RunningAgent(tmp_path, "--config-dir", str(config))

    def hup() -> None:
        agent.process.send_signal(signal.SIGHUP)

    (config / "log-level").write_text("debug")
    (config / "bulk-rb-size").write_text("1M")
    hup()
    agent.wait(lambda: "changed: log-level" in agent.log(), "the reload")
    agent.wait(lambda: "these wait for a restart: bulk-rb-size" in agent.log(), "what waits")
    (config / "log-level").write_text("loud")
    hup()
    agent.wait(lambda: "nothing is changed" in agent.log(), "the refusal")
    assert agent.run("/bin/true")
    assert agent.stop() == 0


def test_one_agent_ready_when_it_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid_file, info_file = tmp_path / "lictor.pid", tmp_path / "info.json"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(DEADLINE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "100000")
        agent = RunningAgent(tmp_path, "--pid-file", str(pid_file), "--info-file", str(info_file))
        heard = ""
        while not ("READY=1" in heard and "WATCHDOG=1" in heard):
            heard += manager.recv(500).decode() + "\n"
        assert agent.run("/bin/true")
        (tmp_path / "second").mkdir()
        with pytest.raises(AssertionError, match="an agent runs already"):
            RunningAgent(tmp_path / "second", "--pid-file", str(pid_file))
        assert agent.stop() == 0
        while "STOPPING=1" not in heard:
            heard += manager.recv(500).decode() + "\n"
    assert not pid_file.exists()
    assert not info_file.exists()
