"""Events as `tetragon.GetEventsResponse` bytes.

The values of the model have the field names of the messages, so the way from one to the other is read off the
message descriptors once. A process is serialized once and kept in its `ProcessForms`; the envelope around it is
written here, field by field, because it is the part that every event pays for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from datetime import datetime
from functools import cache, lru_cache
from keyword import iskeyword
from typing import Any

import msgspec
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from lictor.api.pb.tetragon import events_pb2, tetragon_pb2
from lictor.clock import NANOSECONDS, WallClock
from lictor.model.event import Event, EventType, ExitEvent, LossEvent, ThrottleEvent
from lictor.model.forms import LONG, ProcessForms
from lictor.model.hook import HookEvent

_CAPITAL = re.compile(r"(?<!^)([A-Z])")
_INT_AS_TEXT = (FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_INT64)
_Convert = Callable[[Any], Any]


def varint(number: int) -> bytes:
    """A non-negative number in protobuf's base-128 form."""
    if number < 0x80:
        return _SMALL[number]
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_SMALL = [bytes((number,)) for number in range(0x80)]
_LENGTH_DELIMITED = 2


def _tag(field: int, wire_type: int = _LENGTH_DELIMITED) -> bytes:
    return varint(field << 3 | wire_type)


# Numbers of events.proto and tetragon.proto; tests/unit/test_api_protobuf.py reads the result back.
_EXEC, _EXIT, _RATE_LIMIT_INFO = _tag(1), _tag(5), _tag(40001)
_ENVELOPE = events_pb2.GetEventsResponse.DESCRIPTOR.fields_by_name
_NODE_NAME, _TIME, _CLUSTER_NAME = _tag(1000), _tag(1001), _tag(1003)
_PROCESS, _PARENT, _SIGNAL, _STATUS, _EXIT_TIME = _tag(1), _tag(2), _tag(3), _tag(4, 0), _tag(5)
_DROPPED, _TID = _tag(1, 0), _tag(16)
_SECONDS, _NANOS = _tag(1, 0), _tag(2, 0)


class EventEncoder:
    """Serializes events of this node."""

    def __init__(self, clock: WallClock, node_name: str, cluster_name: str = "") -> None:
        self._clock = clock
        self._node = _field(_NODE_NAME, node_name.encode())
        self._cluster = _field(_CLUSTER_NAME, cluster_name.encode()) if cluster_name else b""

    def encode(self, event: Event) -> bytes:
        """One `GetEventsResponse`."""
        stamp = self._timestamp(event.time)
        end = b"".join((self._node, _field(_TIME, stamp), self._cluster))
        if isinstance(event, HookEvent):
            return _hook_event(event) + end
        if event.process is None:
            return _agent_event(event) + end
        parts = [_field(_PROCESS, process_bytes(event.process))]
        if event.parent is not None:
            parts.append(_field(_PARENT, process_bytes(event.parent)))
        if not isinstance(event, ExitEvent):
            return _field(_EXEC, b"".join(parts)) + end
        if event.signal:
            parts.append(_field(_SIGNAL, event.signal.encode()))
        if event.status:
            parts.append(_STATUS + varint(event.status))
        parts.append(_field(_EXIT_TIME, stamp))
        return _field(_EXIT, b"".join(parts)) + end

    def _timestamp(self, boot_ns: int) -> bytes:
        seconds, nanos = divmod(boot_ns + self._clock.offset, NANOSECONDS)
        return _second(seconds) + (_NANOS + varint(nanos) if nanos else b"")


def _hook_event(event: HookEvent) -> bytes:
    assert event.process is not None
    tag, process_tag, parent_tag, message, descriptor = _hook_message(event.kind)
    parts = [_field(process_tag, thread_bytes(event.process, event.tid))]
    if event.parent is not None:
        parts.append(_field(parent_tag, process_bytes(event.parent)))
    parts.append(message(**to_dict(event.body, descriptor)).SerializeToString())
    return _field(tag, b"".join(parts))


@cache
def _hook_message(kind: EventType) -> tuple[bytes, bytes, bytes, Callable[..., Any], Descriptor]:
    """Tag in the envelope, tags of process and parent, class and descriptor of a kind of hook event's message."""
    field = _ENVELOPE[kind.name.lower()]
    inner = field.message_type
    assert inner is not None
    process, parent = (_tag(inner.fields_by_name[name].number) for name in ("process", "parent"))
    return _tag(field.number), process, parent, GetMessageClass(inner), inner


def _agent_event(event: Event) -> bytes:
    if isinstance(event, ThrottleEvent):
        number = events_pb2.ThrottleType.Value(event.type)
        throttle = events_pb2.ProcessThrottle(type=number, cgroup=event.cgroup)
        return _field(_tag(event.kind), throttle.SerializeToString())
    assert isinstance(event, LossEvent)
    return _field(_RATE_LIMIT_INFO, _DROPPED + varint(event.dropped))


def process_bytes(forms: ProcessForms) -> bytes:
    """The `tetragon.Process` of an image; kept when it is of ordinary length."""
    if forms.protobuf:
        return forms.protobuf
    message = tetragon_pb2.Process(**to_dict(forms.process, tetragon_pb2.Process.DESCRIPTOR))
    raw: bytes = message.SerializeToString()
    if len(raw) <= 2 * LONG:
        forms.protobuf = raw
    return raw


def thread_bytes(forms: ProcessForms, tid: int) -> bytes:
    """The `tetragon.Process` of a thread: another `tid` behind that of the process, and the last one counts."""
    raw = process_bytes(forms)
    return raw if tid == forms.pid else raw + _field(_TID, _tag(1, 0) + varint(tid))


def to_dict(value: msgspec.Struct, descriptor: Descriptor) -> dict[str, Any]:
    """A value of the model as keyword arguments of the message it is named after. Unknown and default is left out."""
    found = {}
    for attribute, name, convert, presence in _plan(type(value), descriptor):
        got = getattr(value, attribute)
        if got or (presence and got is not None):
            found[name] = convert(got)
    return found


@cache
def _plan(kind: Hashable, descriptor: Descriptor) -> list[tuple[str, str, _Convert, bool]]:
    """Attribute, field, conversion and presence of each field of the message that values of this class have.

    Presence: a field that can be told from one not set, of which 0 is a value like any other.
    """
    found = []
    for field in descriptor.fields:
        attribute = _attribute(field.name)
        if hasattr(kind, attribute):
            presence = field.has_presence and not _is(field, "Timestamp")
            found.append((attribute, field.name, _converter(field), presence))
    return found


def _attribute(name: str) -> str:
    """`return` is `return_` in the model, `ProgType` is `prog_type`."""
    return _CAPITAL.sub(r"_\1", name).lower() + ("_" if iskeyword(name) else "")


def _is(field: FieldDescriptor, name: str) -> bool:
    return field.message_type is not None and field.message_type.full_name == f"google.protobuf.{name}"


def _converter(field: FieldDescriptor) -> _Convert:
    inner = field.message_type
    if inner is None:
        return int if field.type in _INT_AS_TEXT else _same
    if _is(field, "Timestamp"):
        return timestamp
    if inner.full_name.startswith("google.protobuf."):
        return _wrapped
    if inner.GetOptions().map_entry:
        return _same
    if field.is_repeated:
        return lambda values: [to_dict(one, inner) for one in values]
    return lambda value: to_dict(value, inner)


def _same(value: Any) -> Any:
    return value


def _wrapped(value: Any) -> dict[str, Any]:
    return {"value": value}


def timestamp(text: str) -> dict[str, int]:
    """An RFC 3339 time in UTC as the fields of `google.protobuf.Timestamp`."""
    fraction = text[20:-1]
    return {"seconds": _unix(text[:19]), "nanos": int(fraction.ljust(9, "0")) if fraction else 0}


@lru_cache(maxsize=256)
def _unix(text: str) -> int:
    return int(datetime.fromisoformat(text + "+00:00").timestamp())


@lru_cache(maxsize=256)
def _second(seconds: int) -> bytes:
    return _SECONDS + varint(seconds)


def _field(tag: bytes, payload: bytes) -> bytes:
    return b"".join((tag, varint(len(payload)), payload))
