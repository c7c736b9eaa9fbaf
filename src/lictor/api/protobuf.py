"""Events as `tetragon.GetEventsResponse` bytes.

A process is serialized once and kept in its `ProcessForms`; the envelope around it is written here, field by field,
because it is the part that every event pays for.
"""

from __future__ import annotations

from functools import cache

from lictor.api import wire
from lictor.api.pb.tetragon import events_pb2, tetragon_pb2
from lictor.api.wire import delimited, tag, varint
from lictor.clock import NANOSECONDS, WallClock
from lictor.model.event import Event, EventType, ExitEvent, LossEvent, ThrottleEvent
from lictor.model.forms import LONG, ProcessForms
from lictor.model.hook import HookEvent

# Numbers of events.proto and tetragon.proto; tests/unit/test_api_protobuf.py reads the result back.
_EXEC, _EXIT, _RATE_LIMIT_INFO = tag(1), tag(5), tag(40001)
_ENVELOPE = events_pb2.GetEventsResponse.DESCRIPTOR.fields_by_name
_NODE_NAME, _TIME, _CLUSTER_NAME = tag(1000), tag(1001), tag(1003)
_PROCESS, _PARENT, _SIGNAL, _STATUS, _EXIT_TIME = tag(1), tag(2), tag(3), tag(4, 0), tag(5)
_DROPPED, _TID = tag(1, 0), tag(16)
_AGGREGATION, _COUNT = tag(1002), tag(1, 0)


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
        # Events come in bursts: the processes of the last one, and the piece that they made.
        self._burst: tuple[EventType | None, bytes, int, bytes | None, bytes] = (None, b"", 0, b"", b"")

    def encode(self, event: Event) -> bytes:
        """One `GetEventsResponse`."""
        stamp = self._timestamp(event.time)
        end = delimited(_TIME, stamp) + self._node
        if isinstance(event, HookEvent):
            count = delimited(_AGGREGATION, _COUNT + varint(event.count)) if event.count else b""
            field, _, _, body = _hook_message(event.kind)
            above = self._above(event) if self._ancestors else b""
            return delimited(field, self._processes(event) + body(event.body) + above) + end + count
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

    def _processes(self, event: HookEvent) -> bytes:
        process, parent, tid = event.process, event.parent, event.tid
        assert process is not None
        this = process.protobuf or process_bytes(process)
        above = None if parent is None else parent.protobuf or process_bytes(parent)
        kind, last_this, last_tid, last_above, made = self._burst
        if last_this is not this or last_above is not above or last_tid != tid or kind is not event.kind:
            _, process_tag, parent_tag, _ = _hook_message(event.kind)
            made = delimited(process_tag, of_thread(this, process.pid, tid))
            if above is not None:
                made += delimited(parent_tag, above)
            self._burst = (event.kind, this, tid, above, made)
        return made

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


@cache
def _hook_message(kind: EventType) -> tuple[bytes, bytes, bytes, wire.Write]:
    """Tag in the envelope, tags of process and parent, and the writer of the rest, for a kind of hook event."""
    field = _ENVELOPE[kind.name.lower()]
    inner = field.message_type
    assert inner is not None
    process, parent = (tag(inner.fields_by_name[name].number) for name in ("process", "parent"))
    return tag(field.number), process, parent, wire.encoder(inner)


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
