"""What surrounds the agent: one per machine, words to the service manager, the info file, settings read again."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lictor import log
from lictor.daemon import notify
from lictor.daemon.instance import announced, only_one
from lictor.daemon.reload import take_over
from lictor.daemon.settings import Settings
from lictor.errors import LictorError

HOLD = """
import sys
from lictor.daemon.instance import only_one
with only_one(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_only_one_agent(tmp_path: Path) -> None:
    path = tmp_path / "run" / "lictor.pid"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert path.read_text() == f"{holder.pid}\n"
    with pytest.raises(LictorError, match=f"an agent runs already, as process {holder.pid}"), only_one(str(path)):
        pass
    # However it ends, the next one may start.
    holder.kill()
    holder.communicate()
    assert path.exists()
    with only_one(str(path)):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()
    with only_one(""):
        pass


def test_a_pid_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pid").symlink_to(tmp_path / "other")
    with pytest.raises(LictorError, match="cannot be opened"), only_one(str(tmp_path / "pid")):
        pass


def test_the_info_file_has_the_names_that_clients_read(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "tetragon-info.json"
    settings = Settings(server_address=("", "unix:///x.sock"), export_filename="/e.json")
    with announced(str(path), settings):
        found = json.loads(path.read_text())
    assert found["server_address"] == "unix:///x.sock"
    assert (found["export_fname"], found["pid"]) == ("/e.json", os.getpid())
    assert list(path.parent.iterdir()) == []
    with announced("/proc/nowhere/x", settings):
        pass


def test_the_service_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify.ready("all is well")
        notify.reloading()
        notify.alive()
        notify.stopping()
        heard = [manager.recv(200).decode() for _ in range(4)]
    assert heard[0] == "READY=1\nSTATUS=all is well"
    assert heard[1].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert heard[2] == "WATCHDOG=1"
    assert heard[3].startswith("STOPPING=1")
    notify.alive()  # nobody listens any more


def test_the_watchdog_is_shown_life_twice_as_often_as_it_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert notify.watchdog_period() is None
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    assert notify.watchdog_period() == 15.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert notify.watchdog_period() is None


def test_a_json_log_line_has_its_values(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup("info", "json")
    log.get("here").warning("lost %d", 3, extra=log.fields(dropped=3, where="ring"))
    log.setup("info", "text")
    log.get("here").warning("lost %d", 4, extra=log.fields(dropped=4))
    first, second = capsys.readouterr().err.splitlines()
    found = json.loads(first)
    assert (found["area"], found["level"], found["msg"]) == ("here", "warning", "lost 3")
    assert (found["dropped"], found["where"]) == (3, "ring")
    assert second.endswith("lictor.here: lost 4")


def test_what_a_reload_takes_over() -> None:
    running = Settings()
    found = replace(running, log_level="debug", rb_size=1 << 20, export_file_max_backups=9)
    merged, changed, waiting = take_over(running, found)
    assert changed == ["export_file_max_backups", "log_level"]
    assert waiting == ["rb_size"]
    assert merged == replace(found, rb_size=running.rb_size)
