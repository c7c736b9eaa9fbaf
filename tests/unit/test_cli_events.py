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
