"""Events as `tetragon.GetEventsResponse` bytes.

The values of the model have the field names of the messages, so the way from one to the other is read off the
message descriptors once. A process is serialized once and kept in its `ProcessForms`; the envelope around it is
written here, field by field, because it is the part that every event pays for.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache, lru_cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from lictor.api.pb.tetragon import tetragon_pb2
from lictor.clock import NANOSECONDS, WallClock
from lictor.model.event import Event, ExitEvent, LossEvent
from lictor.model.forms import LONG, ProcessForms

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
_NODE_NAME, _TIME, _CLUSTER_NAME = _tag(1000), _tag(1001), _tag(1003)
_PROCESS, _PARENT, _SIGNAL, _STATUS, _EXIT_TIME = _tag(1), _tag(2), _tag(3), _tag(4, 0), _tag(5)
_DROPPED = _tag(1, 0)
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
        if isinstance(event, LossEvent):
            return _field(_RATE_LIMIT_INFO, _DROPPED + varint(event.dropped)) + end
        assert event.process is not None
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


def process_bytes(forms: ProcessForms) -> bytes:
    """The `tetragon.Process` of an image; kept when it is of ordinary length."""
    if forms.protobuf:
        return forms.protobuf
    message = tetragon_pb2.Process(**to_dict(forms.process, tetragon_pb2.Process.DESCRIPTOR))
    raw: bytes = message.SerializeToString()
    if len(raw) <= 2 * LONG:
        forms.protobuf = raw
    return raw


def to_dict(value: object, descriptor: Descriptor) -> dict[str, Any]:
    """A value of the model as keyword arguments of the message it is named after. Unknown and default is left out."""
    found = {}
    for attribute, name, convert, wrapped in _plan(descriptor):
        got = getattr(value, attribute)
        if got or (wrapped and got is not None):
            found[name] = convert(got)
    return found


@cache
def _plan(descriptor: Descriptor) -> list[tuple[str, str, _Convert, bool]]:
    return [(field.name.lower(), field.name, *_converter(field)) for field in descriptor.fields]


def _converter(field: FieldDescriptor) -> tuple[_Convert, bool]:
    """How a field's value is converted, and whether it is a wrapper, of which 0 is a value like any other."""
    inner = field.message_type
    if inner is None:
        return (int if field.type in _INT_AS_TEXT else _same), False
    if inner.full_name == "google.protobuf.Timestamp":
        return timestamp, False
    if inner.full_name.startswith("google.protobuf."):
        return _wrapped, True
    if inner.GetOptions().map_entry:
        return _same, False
    if field.is_repeated:
        return (lambda values: [to_dict(one, inner) for one in values]), False
    return (lambda value: to_dict(value, inner)), True


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
