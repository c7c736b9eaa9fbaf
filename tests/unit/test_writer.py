"""The queue before a slow disk or a blocked terminal."""

from __future__ import annotations

import json
import threading

import pytest

from lictor.clock import WallClock
from lictor.export.writer import LONG_LINE, WriterThread
from lictor.model.event import ExecEvent, LossEvent
from lictor.model.forms import WholeForms
from lictor.model.json import JsonWriter
from lictor.model.process import Process

ROOM = 40 * LONG_LINE


class Slow:
    """A writer that stands still until `go`."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Event()
        self.written = b""
        self.thread = WriterThread("slow", self._write, ROOM)
        self.thread.put(["first\n"], 1)
        assert self.begun.wait(10)

    def _write(self, block: bytes, _events: int) -> int:
        self.begun.set()
        self.go.wait(10)
        self.written += block
        return 0

    def finish(self) -> list[str]:
        self.go.set()
        assert self.thread.close()
        return self.written.decode().splitlines()


@pytest.mark.accounts("lictor_export_events_lost_total")
def test_what_does_not_fit_is_counted() -> None:
    slow = Slow()
    line = "x" * 1023 + "\n"
    results = [slow.thread.put([line], 1) for _ in range(2 * ROOM // 1024)]
    kept = slow.finish()
    assert results.count(True) == len(kept) - 1
    assert slow.thread.lost == results.count(False) > 0
    assert slow.thread.written == len(kept)


def test_long_events_are_shortened_when_there_is_little_room() -> None:
    slow = Slow()
    writer = JsonWriter(WallClock(0), "node")
    forms = WholeForms(Process(exec_id="x", binary="/bin/x", arguments="y" * 100_000, flags="execve clone"))
    rounds = 60
    for _ in range(rounds):
        events = [ExecEvent(1, forms, None), LossEvent(1, 1, "a", "b")]
        lines = slow.thread.fit(list(map(writer.line, events)), events, writer.line)
        assert slow.thread.put(lines, 2)
    kept = [json.loads(line)["process_exec"]["process"] for line in slow.finish()[1:] if "process_exec" in line]
    assert len(kept) == rounds
    whole = [one for one in kept if len(one["arguments"]) == 100_000]
    brief = [one for one in kept if len(one["arguments"]) < 100_000]
    assert 2 <= len(whole) < len(brief)
    assert all(one["flags"] == "execve truncArgs clone" for one in brief)
    assert forms.process.arguments == "y" * 100_000
    assert slow.thread.lost == 0


@pytest.mark.accounts("lictor_export_events_lost_total")
def test_what_a_blocked_writer_never_wrote_is_counted_at_the_end() -> None:
    slow = Slow()
    slow.thread.put(["x\n"] * 5, 5)
    assert not slow.thread.close(0)
    assert slow.thread.lost == 6
    slow.go.set()
