"""What `lictor events` writes: counters on a terminal, and what went to a terminal."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest
from serving import DEADLINE_S, Serving

from lictor.cli.counters import Counters
from lictor.model.event import ExecEvent, LossEvent
from lictor.model.forms import WholeForms
from lictor.model.process import Process

LICTOR = str(Path(sys.executable).parent / "lictor")
WRITE = {
    "process_kprobe": {
        "process": {"binary": "/bin/bash"},
        "function_name": "tty_write",
        "args": [{"file_arg": {"path": "/dev/pts/7"}}, {"bytes_arg": "aGkbWzFtDQo="}],
    }
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_counters_count(capsys: pytest.CaptureFixture[str]) -> None:
    counters = Counters(Terminal())
    counters.show({"process_exec": {}}, "one\n")
    counters.show({"rate_limit_info": {"number_of_dropped_process_events": "41"}}, "two\n")
    words = counters.line(counters._began + 2.0)
    assert words == "2 events · 1/s · 41 lost · 2 s"
    assert capsys.readouterr().out == "one\ntwo\n"


def test_counters_keep_up_on_a_terminal(tmp_path: Path) -> None:
    """Events stay whole between the counters, and those are gone at the end."""
    serving = Serving(str(tmp_path / "api.sock"))
    ours, theirs = pty.openpty()
    command = [LICTOR, "events", "--color", "never", "--server-address", f"unix://{serving.path}"]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL) as client:
        os.close(theirs)
        shown = _read_until(ours, b"0 events")
        while not len(serving.server.listeners):
            serving.in_loop(asyncio.sleep(0.01))
        serving.accept(ExecEvent(1, WholeForms(Process(pid=7, binary="/bin/seven")), None), LossEvent(2, 30, "a", "b"))
        shown += _read_until(ours, b"2 events \xc2\xb7")
        serving.stop()
        shown += _read_until(ours, b"30 lost\r\n")
        assert client.wait(DEADLINE_S) == 0
    os.close(ours)
    lines = [line.rpartition("\x1b[K")[2] for line in shown.decode().split("\r\n")]
    assert "/bin/seven" in lines[0]
    assert lines[0].startswith("🚀")
    assert lines[2:] == ["lictor: the agent ended the stream", lines[3], ""]
    assert lines[3].startswith("lictor: 2 events in")


def test_a_client_that_reconnects_says_what_is_missing(tmp_path: Path) -> None:
    """It waits for the agent from the beginning on, whether it has seen an event before or not."""
    path = tmp_path / "api.sock"
    command = [LICTOR, "events", "--reconnect", "--reconnect-wait", "0.1", "--server-address", f"unix://{path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        assert client.stderr is not None
        assert "no agent answers" in client.stderr.readline()
        assert "trying again every 0.1 s" in client.stderr.readline()
        for binary in ("/bin/first", "/bin/second"):
            serving = Serving(str(path))
            assert "connected; the events of about" in client.stderr.readline()
            serving.accept(ExecEvent(1, WholeForms(Process(pid=7, binary=binary)), None))
            assert binary in client.stdout.readline()
            serving.stop()
            assert "the agent ended the stream" in client.stderr.readline()
            assert "trying again" in client.stderr.readline()
        client.terminate()


def test_what_no_attempt_can_mend_ends_it(tmp_path: Path) -> None:
    serving = Serving(str(tmp_path / "api.sock"))
    address = ["--server-address", f"unix://{serving.path}", "--reconnect"]
    done = subprocess.run(
        [LICTOR, "events", "--cel-expression", "1 +", *address], capture_output=True, text=True, timeout=DEADLINE_S
    )
    serving.stop()
    assert done.returncode == 2
    assert "trying again" not in done.stderr


def _read_until(terminal: int, end: bytes) -> bytes:
    found = b""
    while end not in found:
        assert len(found) < 1 << 16, found[-500:]
        ready, _, _ = select.select([terminal], [], [], DEADLINE_S)
        assert ready, found
        found += os.read(terminal, 4096)
    return found


def test_what_was_written_to_a_terminal(tmp_path: Path) -> None:
    other = {"process_exec": {"process": {"binary": "/bin/x", "pid": 1}}}
    file = tmp_path / "events.json"
    file.write_text("".join(json.dumps(one) + "\n" for one in (WRITE, other)))
    done = subprocess.run(
        [LICTOR, "events", "-t", "/dev/pts/7", str(file)], capture_output=True, check=True, timeout=DEADLINE_S
    )
    assert done.stdout == b"hi\x1b[1m\r\n"
    done = subprocess.run(
        [LICTOR, "events", "-t", "/dev/pts/8", str(file)], capture_output=True, check=True, timeout=DEADLINE_S
    )
    assert done.stdout == b""
