"""The sink of all exports: one rendering, a queue per outlet, and an account that adds up."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence

import pytest

from lictor.export.exports import Exports
from lictor.export.limit import RateLimit
from lictor.export.outlet import Outlet
from lictor.export.stdout import StdoutOutlet
from lictor.model.event import Event, ExecEvent, LossEvent
from lictor.model.forms import WholeForms
from lictor.model.process import Process

FORMS = WholeForms(Process(exec_id="x"))


def execs(count: int) -> Sequence[Event]:
    return [ExecEvent(number, FORMS, None) for number in range(count)]


def line(event: Event) -> str:
    if isinstance(event, LossEvent):
        return f"lost {event.dropped} {event.where}: {event.reason}\n"
    return f"event {event.time}\n"


class Kept:
    """An outlet whose lines are kept, and that can stand still and refuse."""

    def __init__(self, room: int = 1 << 20) -> None:
        self.text = ""
        self.go = threading.Event()
        self.begun = threading.Event()
        self.refuse = False
        self.outlet = Outlet("kept", "too slow", line, self._write, room)

    def _write(self, block: bytes, events: int) -> int:
        self.begun.set()
        self.go.wait(10)
        if self.refuse:
            return events
        self.text += block.decode()
        return 0

    def told(self) -> int:
        return sum(int(one.split()[1]) for one in self.text.splitlines() if one.startswith("lost"))

    def events(self) -> int:
        return self.text.count("event ")


@pytest.mark.accounts("lictor_export_events_lost_total")
def test_a_standing_outlet_costs_the_others_nothing_and_its_account_adds_up() -> None:
    slow, quick = Kept(room=2000), Kept()
    quick.go.set()
    sink = Exports(line, [slow.outlet, quick.outlet])
    sink.accept(execs(1))
    assert slow.begun.wait(10)
    for _ in range(100):
        sink.accept(execs(10))
    assert quick.outlet.lost == 0
    slow.go.set()
    asyncio.run(sink.close())
    assert quick.events() == quick.outlet.written == sink.events == 1001
    assert sink.bytes == len(quick.text)
    assert slow.outlet.lost > 0
    assert slow.events() == slow.outlet.written
    assert slow.events() + slow.told() == 1001
    assert slow.told() == slow.outlet.lost


def test_what_an_outlet_refuses_is_told_when_it_works_again() -> None:
    one = Kept()
    one.go.set()
    one.refuse = True
    sink = Exports(line, [one.outlet])
    sink.accept(execs(3))
    while one.outlet.lost < 3:
        assert one.begun.wait(10)
    one.refuse = False
    sink.accept(execs(1))
    asyncio.run(sink.close())
    assert one.text == "lost 3 kept: too slow\nevent 0\n"


def test_the_rate_limit_counts_by_the_minute() -> None:
    limit = RateLimit(10)
    kept = [len(limit.admit(execs(4), now)) for now in (0.0, 1.0, 2.0, 59.0)]
    assert kept == [4, 4, 2, 0]
    assert (limit.dropped, limit.due(59.9), limit.due(60.0)) == (6, False, True)
    assert limit.record(1).dropped == 6
    assert len(limit.admit(execs(4), 60.0)) == 4
    assert not limit.due(200.0)
    loss = LossEvent(0, 1, "ring", "full")
    kept_now = limit.admit([*execs(9), loss], 61.0)
    assert (len(kept_now), kept_now[-1], limit.dropped) == (7, loss, 9)
    every = execs(5)
    assert RateLimit(-1).admit(every, 0.0) is every


@pytest.mark.accounts("tetragon_export_ratelimit_events_dropped_total")
def test_a_record_tells_what_the_limit_held_back() -> None:
    one = Kept()
    one.go.set()

    async def main() -> None:
        sink = Exports(line, [one.outlet], limit=RateLimit(5))
        sink.accept(execs(20))
        sink._minute_over()
        sink.accept(execs(1))
        await sink.close()
        assert sink.limit.dropped == 16

    asyncio.run(main())
    assert one.text.splitlines()[5:] == [
        "lost 15 export: the limit of 5 events a minute",
        "lost 1 export: the limit of 5 events a minute",
    ]


def test_no_export_at_all() -> None:
    one = Kept()
    one.go.set()

    async def main() -> None:
        sink = Exports(line, [one.outlet], limit=RateLimit(0))
        sink.accept(execs(7))
        await sink.close()

    asyncio.run(main())
    assert (one.events(), one.told()) == (0, 7)


def test_standard_output_that_goes_away_is_noticed_once() -> None:
    reading, writing = os.pipe()
    gone: list[bool] = []
    outlet = StdoutOutlet(line, lambda: gone.append(True), writing)
    sink = Exports(line, [outlet])
    sink.accept(execs(2))
    assert os.read(reading, 14) == b"event 0\nevent "
    os.close(reading)
    sink.accept(execs(3))
    sink.accept(execs(4))
    asyncio.run(sink.close())
    os.close(writing)
    assert gone == [True]
    assert outlet.lost == 7
