"""The sink that feeds every export: filter, rate limit, one rendering per event, and then each outlet's own queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from lictor.export.limit import MINUTE_S, RateLimit
from lictor.export.outlet import Line, Outlet
from lictor.model.event import Event
from lictor.pipeline.filters import Predicate


class Exports:
    """Hands the lines of events to all outlets. Counters: `events`, `bytes` of lines, Unix time of the `last` one."""

    def __init__(
        self, line: Line, outlets: Sequence[Outlet], wanted: Predicate | None = None, limit: RateLimit | None = None
    ) -> None:
        self._line = line
        self.outlets = tuple(outlets)
        self._wanted = wanted
        self.limit = limit or RateLimit(-1)
        self._timer: asyncio.TimerHandle | None = None
        self.events = 0
        self.bytes = 0
        self.last = 0.0

    def wants(self, event: Event) -> bool:
        """Whether the filter lets an event through."""
        return self._wanted is None or self._wanted(event)

    def accept(self, events: Sequence[Event]) -> None:
        if not self.outlets:
            return
        if self._wanted is not None:
            events = list(filter(self._wanted, events))
        if self.limit.per_minute >= 0:
            events = self._limited(events)
        if events:
            self._hand_on(events)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.limit.untold:
            self._hand_on([self.limit.record(_boot_ns())])
        await asyncio.gather(*(one.close() for one in self.outlets))

    def _hand_on(self, events: Sequence[Event]) -> None:
        lines = list(map(self._line, events))
        for outlet in self.outlets:
            outlet.put(lines, events)
        self.events += len(lines)
        self.bytes += sum(map(len, lines))
        self.last = time.time()

    def _limited(self, events: Sequence[Event]) -> Sequence[Event]:
        now = time.monotonic()
        told = [self.limit.record(_boot_ns())] if self.limit.due(now) else []
        kept = self.limit.admit(events, now)
        if self.limit.untold and self._timer is None:
            # The record must come even when nothing else does.
            self._timer = asyncio.get_running_loop().call_later(MINUTE_S, self._minute_over)
        return [*told, *kept]

    def _minute_over(self) -> None:
        self._timer = None
        if self.limit.untold:
            self._hand_on([self.limit.record(_boot_ns())])


def _boot_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
