"""Events, and their JSON lines."""

from __future__ import annotations

import copy
import enum
from typing import ClassVar

import msgspec

from lictor.clock import WallClock
from lictor.model.forms import ProcessForms

_encoder = msgspec.json.Encoder()


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


class Event:
    """What leaves the pipeline. `time` is boot-clock nanoseconds; `process` is None for events of the agent itself."""

    __slots__ = ("parent", "process", "time")
    kind: ClassVar[EventType]

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


class JsonWriter:
    """Renders events as JSON lines. `extras` adds our own object, `lictor`, to them."""

    def __init__(self, clock: WallClock, node_name: str, cluster_name: str = "", extras: bool = True) -> None:
        self._rfc3339 = clock.rfc3339
        self._extras = extras
        self._node = f',"node_name":{_encoder.encode(node_name).decode()},"time":"'
        self._end = f'","cluster_name":{_encoder.encode(cluster_name).decode()}' if cluster_name else '"'

    def line(self, event: Event) -> str:
        """One event as JSON with its newline."""
        process, parent = event.process, event.parent
        if process is None:
            return self._agent_event(event)
        this = process.json_text or process.json()
        above = f',"parent":{parent.json_text or parent.json()}' if parent is not None else ""
        extra = process.extra_json() if self._extras else ""
        if not isinstance(event, ExitEvent):
            return f'{{"process_exec":{{"process":{this}{above}}}{self._node}{process.start_time}{self._end}{extra}}}\n'
        stamp = self._rfc3339(event.time)
        signal = f',"signal":"{event.signal}"' if event.signal else ""
        status = f',"status":{event.status}' if event.status else ""
        return (
            f'{{"process_exit":{{"process":{this}{above}{signal}{status},"time":"{stamp}"}}'
            f"{self._node}{stamp}{self._end}{extra}}}\n"
        )

    def _agent_event(self, event: Event) -> str:
        assert isinstance(event, LossEvent)
        stamp = self._rfc3339(event.time)
        loss = {"where": event.where, "reason": event.reason, "dropped": event.dropped}
        extra = f',"lictor":{_encoder.encode({"loss": loss}).decode()}' if self._extras else ""
        body = f'"rate_limit_info":{{"number_of_dropped_process_events":"{event.dropped}"}}'
        return f"{{{body}{self._node}{stamp}{self._end}{extra}}}\n"
