"""Events as `tetragon.GetEventsResponse` bytes.

A process is serialized once and kept in its `ProcessForms`; the envelope around it is written here, field by field,
because it is the part that every event pays for.
"""

from __future__ import annotations

from lictor.api import wire
from lictor.api.pb.tetragon import events_pb2, tetragon_pb2
from lictor.api.wire import delimited, tag, varint
from lictor.clock import NANOSECONDS, WallClock
from lictor.model.event import Event, EventType, ExitEvent, LossEvent, ThrottleEvent
from lictor.model.forms import LONG, ProcessForms
from lictor.model.hook import HookBody, HookEvent

# Numbers of events.proto and tetragon.proto; tests/unit/test_api_protobuf.py reads the result back.
_EXEC, _EXIT, _RATE_LIMIT_INFO = tag(1), tag(5), tag(40001)
_ENVELOPE = events_pb2.GetEventsResponse.DESCRIPTOR.fields_by_name
_NODE_NAME, _TIME, _CLUSTER_NAME = tag(1000), tag(1001), tag(1003)
_PROCESS, _PARENT, _SIGNAL, _STATUS, _EXIT_TIME = tag(1), tag(2), tag(3), tag(4, 0), tag(5)
_DROPPED, _TID = tag(1, 0), tag(16)
_AGGREGATION, _COUNT = tag(1002), tag(1, 0)
_NEVER = 1 << 64
_HEADS, _BURSTS = 4096, 256


class EventEncoder:
    """Serializes events of this node."""

    def __init__(
        self,
        clock: WallClock,
        node_name: str,
        cluster_name: str = "",
        ancestors: frozenset[EventType] = frozenset(),
    ) -> None:
        self._clock = clock
        self._ancestors = {kind: _ancestors_tag(kind) for kind in ancestors}
        node = delimited(_NODE_NAME, node_name.encode())
        self._node = node + (delimited(_CLUSTER_NAME, cluster_name.encode()) if cluster_name else b"")
        self._hooks: dict[type, _Hooks] = {}
        self._offset = clock.offset
        self._second = _NEVER  # boot-clock ns at which it began
        self._before_four = self._before_five = b""  # the field of a time, up to nanoseconds of so many bytes

    def encode(self, event: Event) -> bytes:
        """One `GetEventsResponse`."""
        if isinstance(event, HookEvent):
            return self._hook_event(event)
        stamp = self._timestamp(event.time)
        end = delimited(_TIME, stamp) + self._node
        if event.process is None:
            return _agent_event(event) + end
        parts = [delimited(_PROCESS, process_bytes(event.process))]
        if event.parent is not None:
            parts.append(delimited(_PARENT, process_bytes(event.parent)))
        parts.append(self._above(event))
        if not isinstance(event, ExitEvent):
            return delimited(_EXEC, b"".join(parts)) + end
        if event.signal:
            parts.append(delimited(_SIGNAL, event.signal.encode()))
        if event.status:
            parts.append(_STATUS + varint(event.status))
        parts.append(delimited(_EXIT_TIME, stamp))
        return delimited(_EXIT, b"".join(parts)) + end

    def _hook_event(self, event: HookEvent) -> bytes:
        body = event.body
        hooks = self._hooks.get(body.__class__)
        if hooks is None:
            hooks = self._hooks[body.__class__] = _Hooks(body.__class__)
        inner = hooks.processes(event) + hooks.body(body)
        if self._ancestors:
            inner += self._above(event)
        time = self._time(event.time)
        size = len(inner)
        head = hooks.heads.get(size) or hooks.head(size)
        if event.count:
            time += delimited(_AGGREGATION, _COUNT + varint(event.count))
        return b"".join((head, inner, time, self._node))

    def _time(self, boot_ns: int) -> bytes:
        """The field of the time. All but the nanoseconds is the same for a second, and is kept."""
        nanos = boot_ns - self._second
        if not 0x20_0000 <= nanos < NANOSECONDS or self._clock.offset != self._offset:
            return self._turn_to(boot_ns)
        a, b, c = nanos & 127 | 128, nanos >> 7 & 127 | 128, nanos >> 14 & 127 | 128
        if nanos < 0x1000_0000:
            return self._before_four + bytes((a, b, c, nanos >> 21))
        return self._before_five + bytes((a, b, c, nanos >> 21 & 127 | 128, nanos >> 28))

    def _turn_to(self, boot_ns: int) -> bytes:
        """Make the second of a stamp the one that is kept."""
        self._offset = self._clock.offset
        second, nanos = divmod(boot_ns + self._offset, NANOSECONDS)
        self._second = boot_ns - nanos
        self._before_four = delimited(_TIME, wire.timestamp(second, 0x0FFF_FFFF))[:-4]
        self._before_five = delimited(_TIME, wire.timestamp(second, 0x1000_0000))[:-5]
        return delimited(_TIME, wire.timestamp(second, nanos))

    def _above(self, event: Event) -> bytes:
        """The ancestors, where events of this kind show them."""
        field = self._ancestors.get(event.kind)
        if field is None or event.process is None:
            return b""
        return b"".join(delimited(field, process_bytes(one)) for one in event.process.ancestors())

    def _timestamp(self, boot_ns: int) -> bytes:
        seconds, nanos = divmod(boot_ns + self._clock.offset, NANOSECONDS)
        return wire.timestamp(seconds, nanos)


def _ancestors_tag(kind: EventType) -> bytes:
    message = _ENVELOPE[kind.name.lower()].message_type
    assert message is not None
    return tag(message.fields_by_name["ancestors"].number)


class _Hooks:
    """What is ready for hook events of one class: `heads` by the length of what follows."""

    def __init__(self, kind: type[HookBody]) -> None:
        field = _ENVELOPE[kind.member]
        inner = field.message_type
        assert inner is not None
        self._process, self._parent = (tag(inner.fields_by_name[name].number) for name in ("process", "parent"))
        self._tag = tag(field.number)
        self.body = wire.of_class(kind, inner)
        self.heads: dict[int, bytes] = {}
        # Events come in bursts, of several threads: their processes, and the pieces that they made.
        self._bursts: dict[tuple[int, str], tuple[bytes, bytes | None, bytes]] = {}

    def head(self, size: int) -> bytes:
        found = self._tag + varint(size)
        if size < _HEADS:
            self.heads[size] = found
        return found

    def processes(self, event: HookEvent) -> bytes:
        process, parent, tid = event.process, event.parent, event.tid
        assert process is not None
        this = process.protobuf or process_bytes(process)
        above = None if parent is None else parent.protobuf or process_bytes(parent)
        key = tid, process.exec_id
        found = self._bursts.get(key)
        if found is not None and found[0] is this and found[1] is above:
            return found[2]
        made = delimited(self._process, of_thread(this, process.pid, tid))
        if above is not None:
            made += delimited(self._parent, above)
        if len(self._bursts) >= _BURSTS:
            self._bursts.clear()
        if len(made) <= 4 * LONG:
            self._bursts[key] = this, above, made
        return made


def _agent_event(event: Event) -> bytes:
    if isinstance(event, ThrottleEvent):
        number = events_pb2.ThrottleType.Value(event.type)
        throttle = events_pb2.ProcessThrottle(type=number, cgroup=event.cgroup)
        return delimited(tag(event.kind), throttle.SerializeToString())
    assert isinstance(event, LossEvent)
    return delimited(_RATE_LIMIT_INFO, _DROPPED + varint(event.dropped))


def process_bytes(forms: ProcessForms) -> bytes:
    """The `tetragon.Process` of an image; kept when it is of ordinary length."""
    if forms.protobuf:
        return forms.protobuf
    raw = wire.encode(forms.process, tetragon_pb2.Process.DESCRIPTOR)
    if len(raw) <= 2 * LONG:
        forms.protobuf = raw
    return raw


def of_thread(process: bytes, pid: int | None, tid: int) -> bytes:
    """The `tetragon.Process` of a thread: another `tid` behind that of the process, and the last one counts."""
    return process if tid == pid else process + delimited(_TID, tag(1, 0) + varint(tid))
