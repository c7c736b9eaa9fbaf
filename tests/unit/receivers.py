"""What the tests of exports share: a target's deliveries under load, and a receiver that is killed meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from lictor.clock import WallClock
from lictor.export import targets
from lictor.export.counters import SharedCounters
from lictor.export.delivery import Delivery
from lictor.export.formats import Convert
from lictor.export.spool import Spool
from lictor.export.worker import sender_of
from lictor.model.event import Event, ExecEvent, LossEvent
from lictor.model.forms import WholeForms
from lictor.model.json import JsonWriter
from lictor.model.process import Process

DEADLINE_S = 30.0
WRITER = JsonWriter(WallClock(), "node-1")


def event(number: int, arguments: str = "") -> Event:
    stamp = "2026-11-25T08:00:00.123456789Z"
    process = Process(exec_id=f"id-{number}", pid=number, binary="/bin/true", arguments=arguments, start_time=stamp)
    return ExecEvent(1, WholeForms(process), None)


def lines(first: int, count: int, arguments: str = "") -> bytes:
    return "".join(WRITER.line(event(number, arguments)) for number in range(first, first + count)).encode()


def number_of(line: str | bytes) -> int:
    pid = json.loads(line)["process_exec"]["process"]["pid"]
    assert isinstance(pid, int)
    return pid


def gap(dropped: int, why: str) -> bytes:
    return WRITER.line(LossEvent(1, dropped, "target", why)).encode()


class Running:
    """A delivery with its spool and its counters."""

    def __init__(self, url: str, directory: Path, limit: int = 64 << 20, convert: Convert | None = None) -> None:
        target = targets.parse(url)
        self.counters = SharedCounters(1)
        row = self.counters.rows[0]
        spool = Spool(directory, limit)
        self.delivery = Delivery(target.name, spool, sender_of(target)(target), convert, row, gap)

    def count(self, field: str) -> int:
        return self.counters.rows[0].get(field)


@contextlib.asynccontextmanager
async def running(
    url: str, directory: Path, limit: int = 64 << 20, convert: Convert | None = None
) -> AsyncIterator[Running]:
    one = Running(url, directory, limit, convert)
    task = asyncio.create_task(one.delivery.run())
    try:
        yield one
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        one.delivery.close()
        one.counters.close()


async def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what}")
        await asyncio.sleep(0.01)
