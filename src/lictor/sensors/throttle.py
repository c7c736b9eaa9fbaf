"""Cgroups whose process records are held back (bpf/process/throttle.h): who, how many, and until when."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from lictor.kernel.maps import Map
from lictor.model.event import Event, LossEvent, ThrottleEvent
from lictor.wire.btf import Btf
from lictor.wire.layout import compile_layout

CGROUPS = 32768
"""Cgroups whose rate is known at a time, the least used go first."""
THROTTLED = 4096
"""Cgroups that can be throttled at a time; beyond it, their records are told."""
_QUIET_NS = 5_000_000_000


class Rate(NamedTuple):
    """So many forks and execs of one cgroup in an interval of so many nanoseconds; 0 events: no throttling."""

    events: int = 0
    interval_ns: int = 1_000_000_000


EVERYTHING = Rate()


class Throttle:
    """Reads the kernel's account. Counters: `started`, `stopped`, `held_back` records."""

    def __init__(self, throttled: Map, btf: Btf, rate: Rate, path_of: Callable[[int], str]) -> None:
        self._map = throttled
        self._layout = compile_layout(btf, "throttled_cgroup", ("held_back", "last"))
        self._reason = f"more than {rate.events} forks and execs in {rate.interval_ns / 1e9:g} s"
        self._path_of = path_of
        self._told: dict[int, int] = {}  # cgroup -> records told as held back
        self.started = 0
        self.stopped = 0
        self.held_back = 0

    def look(self, now: int) -> list[Event]:
        """Beginnings and ends of throttling since the last look, and how many records it cost."""
        events: list[Event] = []
        for key in list(self._map.keys()):
            raw = self._map.lookup(key)
            if raw is None:
                continue
            (cgroup,) = struct.unpack("<Q", key)
            held_back, last = self._layout.unpack(raw)
            if cgroup not in self._told:
                self._told[cgroup] = 0
                self.started += 1
                events.append(ThrottleEvent(now, "THROTTLE_START", self._path_of(cgroup)))
            quiet = last + _QUIET_NS < now
            if quiet and (raw := self._map.take(key)) is not None:
                held_back, _ = self._layout.unpack(raw)
            self._tell(events, now, cgroup, held_back)
            if quiet:
                del self._told[cgroup]
                self.stopped += 1
                events.append(ThrottleEvent(now, "THROTTLE_STOP", self._path_of(cgroup)))
        return events

    def _tell(self, events: list[Event], now: int, cgroup: int, held_back: int) -> None:
        fresh = held_back - self._told[cgroup]
        if fresh:
            self._told[cgroup] = held_back
            self.held_back += fresh
            events.append(LossEvent(now, fresh, f"cgroup {self._path_of(cgroup)}", self._reason))
