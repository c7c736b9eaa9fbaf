"""A running agent: told to stop in the middle of things, and its settings read again."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import RunningAgent

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


def test_sighup_changes_where_events_go(tmp_path: Path) -> None:
    config, path = tmp_path / "conf.d", tmp_path / "pipe"
    config.mkdir()
    os.mkfifo(path)
    agent = RunningAgent(tmp_path, "--config-dir", str(config), "--export-spool-dir", str(tmp_path / "spool"))

    def reload(to: str) -> None:
        (config / "export-to").write_text(to)
        agent.process.send_signal(signal.SIGHUP)

    reload("nonsense://x")
    refused = "nothing is changed: export-to: nonsense://x leads nowhere"
    agent.wait(lambda: refused in agent.log(), "the refusal")
    reload(f"fifo://{path}")
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    marker, taken = secrets.token_hex(8).encode(), bytearray()

    def arrived() -> bool:
        with contextlib.suppress(BlockingIOError):
            taken.extend(os.read(reading, 1 << 20))
        return marker in taken

    agent.wait(lambda: "again; changed: export-to" in agent.log(), "the reload")
    agent.run("/bin/true", marker)
    agent.wait(arrived, "the event in the pipe")
    os.close(reading)
    assert agent.stop() == 0


@contextlib.contextmanager
def listening(where: Path) -> Iterator[list[str]]:
    """A service manager that takes every word in."""
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(where))

        def listen() -> None:
            while (word := manager.recv(500)) != b"end":
                heard.append(word.decode())

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield heard
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
                last.sendto(b"end", str(where))
            thread.join()


def test_one_agent_ready_when_it_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid_file, info_file = tmp_path / "lictor.pid", tmp_path / "info.json"
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    with listening(tmp_path / "notify") as heard:
        agent = RunningAgent(tmp_path, "--pid-file", str(pid_file), "--info-file", str(info_file))
        agent.wait(lambda: "READY=1" in "\n".join(heard), "the word that it is ready")
        agent.wait(lambda: "WATCHDOG=1" in heard, "a sign of life")
        assert agent.run("/bin/true")
        (tmp_path / "second").mkdir()
        with pytest.raises(AssertionError, match="an agent runs already"):
            RunningAgent(tmp_path / "second", "--pid-file", str(pid_file))
        assert agent.stop() == 0
    assert "STOPPING=1" in "\n".join(heard)
    assert not pid_file.exists()
    assert not info_file.exists()


def no_room(where: Path) -> bool:
    """Whether a word to the manager would have to wait."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as another:
        another.setblocking(False)
        try:
            another.sendto(b"x", str(where))
        except BlockingIOError:
            return True
    return False


def test_a_deaf_manager_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(where))
    monkeypatch.setenv("WATCHDOG_USEC", "2000")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(where))
        agent = RunningAgent(tmp_path)
        agent.wait(lambda: no_room(where), "signs of life that nobody reads")
        for _ in range(20):
            assert agent.run("/bin/true")
        assert agent.stop() == 0
