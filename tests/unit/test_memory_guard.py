"""The memory ceiling: one step after the other, each told, and taken back when there is room again."""

from __future__ import annotations

from lictor.api.listeners import QUEUE_BYTES, Listeners
from lictor.daemon.memory import MemoryGuard, Step, resident_bytes
from lictor.export.writer import WriterThread
from lictor.model.event import LossEvent
from lictor.pipeline.view import View

MB = 1 << 20


def test_steps_are_taken_in_order_and_taken_back() -> None:
    done: list[str] = []
    told: list[LossEvent] = []
    used = [50 * MB]

    def step(name: str) -> Step:
        return Step(name, lambda: done.append(name), lambda: done.append(f"not {name}"))

    guard = MemoryGuard(100 * MB, [step("one"), step("two")], told.append, lambda: used[0])
    guard.look()
    assert (guard.level, done) == (0, [])
    used[0] = 101 * MB
    guard.look()
    assert done == ["one"]
    guard.look()
    guard.look()
    # The last steps stay in force, and what they give up is given up again.
    assert done == ["one", "one", "two", "one", "two"]
    used[0] = 90 * MB
    guard.look()
    assert guard.level == 2
    used[0] = 79 * MB
    guard.look()
    guard.look()
    guard.look()
    assert done[5:] == ["not two", "not one"]
    assert [(event.dropped, event.where) for event in told] == [(0, "agent memory")] * 4
    assert told[0].reason == "101 MB of 100 MB are used: one"


def test_what_is_measured_is_real() -> None:
    before = resident_bytes()
    much = bytes(30 * MB).replace(b"\0", b"x")
    assert resident_bytes() - before > 25 * MB
    assert len(much) == 30 * MB


def test_queues_do_with_less() -> None:
    listeners = Listeners(lambda _event: b"", lambda dropped: LossEvent(0, dropped, "x", "y"))
    listeners.squeeze(True)
    listener = listeners.add(View())
    assert listener.room == QUEUE_BYTES // 8
    listeners.squeeze(False)
    assert listener.room == QUEUE_BYTES
    writer = WriterThread("w", lambda _block, _events: 0, 8000)
    writer.squeeze(True)
    assert writer._room == 1000
    writer.squeeze(False)
    assert writer._room == 8000
    assert writer.close()
