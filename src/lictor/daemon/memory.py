"""The memory ceiling: what the agent gives up, in which order, when it grows beyond it.

First what can be made again, then long arguments, then room in the queues before slow readers; the events that this
costs are counted and told as ever. The last thing never goes: records are read, and every process is told of. Each
step is logged and told in the stream.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lictor import log
from lictor.model.event import LossEvent

_log = log.get("memory")
PERIOD_S = 5.0
_RELAXED = 0.8  # of the ceiling: below it, the last step is taken back
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Step(NamedTuple):
    """`give_up` may be called again while the step is in force; `take_back` ends it."""

    what: str
    give_up: Callable[[], None]
    take_back: Callable[[], None]


class MemoryGuard:
    """Looks every `PERIOD_S`. `limit` is in bytes and may change; `level` is the number of steps in force."""

    def __init__(
        self,
        limit: int,
        steps: Sequence[Step],
        tell: Callable[[LossEvent], None],
        resident: Callable[[], int] | None = None,
    ) -> None:
        self.limit = limit
        self.level = 0
        self._steps = steps
        self._tell = tell
        self._resident = resident or resident_bytes

    async def run(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_S)
            if self.limit:
                self.look()

    def look(self) -> None:
        """Take one step, or take one back, if it is time."""
        used = self._resident()
        if used > self.limit:
            if self.level < len(self._steps):
                self.level += 1
                self._say(self._steps[self.level - 1].what, used)
            for step in self._steps[: self.level]:
                step.give_up()
            _trim()
        elif used < self.limit * _RELAXED and self.level:
            self.level -= 1
            step = self._steps[self.level]
            step.take_back()
            self._say(f"no longer: {step.what}", used)

    def _say(self, what: str, used: int) -> None:
        reason = f"{used >> 20} MB of {self.limit >> 20} MB are used: {what}"
        _log.warning("%s", reason, extra=log.fields(used=used, limit=self.limit, level=self.level))
        self._tell(LossEvent(time.clock_gettime_ns(time.CLOCK_BOOTTIME), 0, "agent memory", reason))


def resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * _PAGE


def _trim() -> None:
    """Give freed memory back to the kernel; the C library keeps it otherwise."""
    import ctypes  # only an agent that is too large has it

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
