"""Events, and their JSON. The forms of a process are made once and reused by every later event of it."""

from __future__ import annotations

import enum
from typing import ClassVar

import msgspec

from lictor.clock import WallClock
from lictor.model.process import Process, ProcessExtra

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


class ProcessForms:
    """One process image and its ready-made forms. `protobuf` belongs to the API and stays empty without clients."""

    __slots__ = ("_extra_json", "_json", "extra", "process", "protobuf")

    def __init__(self, process: Process, extra: ProcessExtra | None = None) -> None:
        self.process = process
        self.extra = extra
        self._json = b""
        self._extra_json = b""
        self.protobuf = b""

    def json(self) -> bytes:
        if not self._json:
            self._json = _encoder.encode(self.process)
        return self._json

    def extra_json(self) -> bytes:
        """Our own object about the process, as the tail of an event: `,"lictor":{"process":{…}}`; may be empty."""
        if self.extra is not None and not self._extra_json:
            self._extra_json = b',"lictor":{"process":' + _encoder.encode(self.extra) + b"}"
        return self._extra_json


class Event:
    """What leaves the pipeline. `time` is boot-clock nanoseconds; `process` is None for events of the agent itself."""

    __slots__ = ("parent", "process", "time")
    kind: ClassVar[EventType]

    def __init__(self, time: int, process: ProcessForms | None, parent: ProcessForms | None) -> None:
        self.time = time
        self.process = process
        self.parent = parent


class ExecEvent(Event):
    __slots__ = ()
    kind = EventType.PROCESS_EXEC


class ExitEvent(Event):
    """`signal` is a name such as SIGKILL, or empty; `status` the exit code."""

    __slots__ = ("signal", "status")
    kind = EventType.PROCESS_EXIT

    def __init__(self, time: int, process: ProcessForms, parent: ProcessForms | None, signal: str, status: int) -> None:
        super().__init__(time, process, parent)
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
        self._clock = clock
        self._extras = extras
        self._node = b',"node_name":' + _encoder.encode(node_name) + b',"time":"'
        self._end = b'","cluster_name":' + _encoder.encode(cluster_name) if cluster_name else b'"'

    def line(self, event: Event) -> bytes:
        """One event as JSON with its newline."""
        stamp = self._clock.rfc3339(event.time).encode()
        if isinstance(event, LossEvent):
            body = b'{"rate_limit_info":{"number_of_dropped_process_events":"%d"}' % event.dropped
            loss = {"where": event.where, "reason": event.reason, "dropped": event.dropped}
            extra = b',"lictor":' + _encoder.encode({"loss": loss}) if self._extras else b""
            return b"".join((body, self._node, stamp, self._end, extra, b"}\n"))
        process, parent = event.process, event.parent
        assert process is not None
        parts = [
            b'{"process_exit":{"process":' if isinstance(event, ExitEvent) else b'{"process_exec":{"process":',
            process.json(),
        ]
        if parent is not None:
            parts += (b',"parent":', parent.json())
        if isinstance(event, ExitEvent):
            if event.signal:
                parts += (b',"signal":"', event.signal.encode(), b'"')
            if event.status:
                parts.append(b',"status":%d' % event.status)
            parts += (b',"time":"', stamp, b'"')
        parts += (b"}", self._node, stamp, self._end)
        if self._extras:
            parts.append(process.extra_json())
        parts.append(b"}\n")
        return b"".join(parts)
