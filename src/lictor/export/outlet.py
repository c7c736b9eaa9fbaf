"""One place where lines go: a queue, a thread that writes, and the account of what did not get there.

`Exports` renders each event once and hands the lines to all outlets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from lictor.export.counters import Row
from lictor.export.writer import QUEUE_BYTES, WriterThread
from lictor.model.event import Event, LossEvent

Line = Callable[[Event], str]


class Outlet:
    """Writes lines with `write(block, events)`, which gives back how many events it lost.

    What is lost is told in the outlet's own stream: as `why` at the place `name`, before what comes next.
    """

    def __init__(
        self, name: str, why: str, line: Line, write: Callable[[bytes, int], int], room: int = QUEUE_BYTES
    ) -> None:
        self.name = name
        self._why = why
        self._line = line
        self._writer = WriterThread(name, write, room)
        self._told = 0

    @property
    def written(self) -> int:
        """Events that were handed over."""
        return self._writer.written

    @property
    def lost(self) -> int:
        """Events that were not: no room, or refused."""
        return self._writer.lost

    @property
    def queued_bytes(self) -> int:
        return self._writer.held

    def rows(self) -> list[tuple[str, Row]]:
        """The names and counters of targets behind this outlet."""
        return []

    def squeeze(self, narrow: bool) -> None:
        """Have an eighth of the queue's room, or all of it."""
        self._writer.squeeze(narrow)

    def put(self, lines: Sequence[str], events: Sequence[Event]) -> None:
        """Queue the lines of these events."""
        fitting = self._writer.fit(lines, events, self._line)
        lost = self._writer.lost
        if lost > self._told:
            fitting.insert(0, self._gap(lost - self._told))
        if fitting and self._writer.put(fitting, len(events)):
            self._told = lost

    async def close(self) -> None:
        """Write what is queued, for a bounded time."""
        lost = self._writer.lost
        if lost > self._told and self._writer.put([self._gap(lost - self._told)], 0):
            self._told = lost
        self._writer.close()

    def _gap(self, dropped: int) -> str:
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return self._line(LossEvent(now, dropped, self.name, self._why))
