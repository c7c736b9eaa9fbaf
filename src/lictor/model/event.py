"""Events: what leaves the pipeline."""

from __future__ import annotations

import copy
import enum
from collections.abc import Iterable

from lictor.model.forms import ProcessForms


class EventType(enum.IntEnum):
    """`tetragon.EventType`: names are what filters say, values are the numbers on the wire."""

    UNDEF = 0
    PROCESS_EXEC = 1
    PROCESS_EXIT = 5
    PROCESS_KPROBE = 9
    PROCESS_TRACEPOINT = 10
    PROCESS_LOADER = 11
    PROCESS_UPROBE = 12
    PROCESS_THROTTLE = 27
    PROCESS_LSM = 28
    PROCESS_USDT = 29
    TEST = 40000
    RATE_LIMIT_INFO = 40001


# What `enable-ancestors` names: base stands for exec and exit.
ANCESTORS = {
    "base": (EventType.PROCESS_EXEC, EventType.PROCESS_EXIT),
    "kprobe": (EventType.PROCESS_KPROBE,),
    "tracepoint": (EventType.PROCESS_TRACEPOINT,),
    "loader": (EventType.PROCESS_LOADER,),
    "uprobe": (EventType.PROCESS_UPROBE,),
    "lsm": (EventType.PROCESS_LSM,),
    "usdt": (EventType.PROCESS_USDT,),
}


def with_ancestors(names: Iterable[str]) -> frozenset[EventType]:
    """The kinds of events that show all ancestors of their process. Raises KeyError for a name that is none."""
    return frozenset(kind for name in names for kind in ANCESTORS[name])


class Event:
    """What leaves the pipeline. `time` is boot-clock nanoseconds; `process` is None for events of the agent itself."""

    __slots__ = ("parent", "process", "time")
    kind: EventType

    def __init__(self, time: int, process: ProcessForms | None, parent: ProcessForms | None) -> None:
        self.time = time
        self.process = process
        self.parent = parent

    def brief(self) -> Event:
        """The same event with `ProcessForms.brief` of those in it: for a reader who has no room for it all."""
        found = copy.copy(self)
        found.process = self.process.brief() if self.process is not None else None
        found.parent = self.parent.brief() if self.parent is not None else None
        return found


class ExecEvent(Event):
    """A new image, or one that was there before the agent. `time` is when the image began."""

    __slots__ = ()
    kind = EventType.PROCESS_EXEC


class ExitEvent(Event):
    """`signal` is a name such as SIGKILL, or empty; `status` the exit code."""

    __slots__ = ("signal", "status")
    kind = EventType.PROCESS_EXIT

    def __init__(self, time: int, process: ProcessForms, parent: ProcessForms | None, signal: str, status: int) -> None:
        self.time = time
        self.process = process
        self.parent = parent
        self.signal = signal
        self.status = status


class LossEvent(Event):
    """Records or events that existed and are not in this stream: how many, where they went missing, and why."""

    __slots__ = ("dropped", "reason", "where")
    kind = EventType.RATE_LIMIT_INFO

    def __init__(self, time: int, dropped: int, where: str, reason: str) -> None:
        super().__init__(time, None, None)
        self.dropped = dropped
        self.where = where
        self.reason = reason


class ThrottleEvent(Event):
    """A cgroup whose process events are held back from now on (THROTTLE_START), or told of again (THROTTLE_STOP)."""

    __slots__ = ("cgroup", "type")
    kind = EventType.PROCESS_THROTTLE

    def __init__(self, time: int, type_: str, cgroup: str) -> None:
        super().__init__(time, None, None)
        self.type = type_
        self.cgroup = cgroup
