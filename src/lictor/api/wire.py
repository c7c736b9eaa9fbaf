"""Values of the model as protobuf bytes.

They have the field names of the messages, so the way from one to the other is read off the descriptors, once per
class. Written here and not by the library: an event has a dozen small values, and building message objects for them
costs three times as much.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache, lru_cache
from keyword import iskeyword
from typing import Any

import msgspec
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from lictor.model.arguments import BytesArg, TruncatedBytesArg

_CAPITAL = re.compile(r"(?<!^)([A-Z])")
_MASK64 = (1 << 64) - 1
LENGTH_DELIMITED = 2
Write = Callable[[Any], bytes]
_KEPT, _KEPT_LENGTH = 4096, 512
_SHARED = 1024
_LONG = frozenset({BytesArg, TruncatedBytesArg})  # too long to be looked up


def varint(number: int) -> bytes:
    """A non-negative number in protobuf's base-128 form."""
    if number < 0x80:
        return _SMALL[number]
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    if 0x1000_0000 <= number < 0x8_0000_0000:  # five bytes: nanoseconds, unset user ids
        return bytes(
            (
                number & 0x7F | 0x80,
                number >> 7 & 0x7F | 0x80,
                number >> 14 & 0x7F | 0x80,
                number >> 21 & 0x7F | 0x80,
                number >> 28,
            )
        )
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_SMALL = [bytes((number,)) for number in range(0x80)]


def tag(field: int, wire_type: int = LENGTH_DELIMITED) -> bytes:
    return varint(field << 3 | wire_type)


def delimited(tag: bytes, payload: bytes) -> bytes:
    """A field of text, bytes or a message."""
    size = len(payload)
    return tag + (_SMALL[size] if size < 0x80 else varint(size)) + payload


def encode(value: msgspec.Struct, descriptor: Descriptor) -> bytes:
    """A value as the message of this descriptor, without what is default or unknown."""
    return encoder(descriptor)(value)


@cache
def encoder(descriptor: Descriptor) -> Write:
    """Encodes values of any class that stands for the message."""
    known: dict[type, Write] = {}

    def run(value: Any) -> bytes:
        kind = value.__class__
        write = known.get(kind)
        if write is None:
            write = known[kind] = of_class(kind, descriptor)
        return write(value)

    return run


def of_class(kind: Any, descriptor: Descriptor) -> Write:
    """Encodes values of one class."""
    fields = [field for field in descriptor.fields if hasattr(kind, _attribute(field.name))]
    varies = getattr(kind, "varies", None)
    if varies is None:
        return _compiled(fields)
    # The order of fields on the wire is free: those that most events share are one piece, made once.
    own = [field for field in fields if _attribute(field.name) in varies]
    return _compiled(own, [field for field in fields if _attribute(field.name) not in varies])


def _compiled(fields: list[FieldDescriptor], shared: Sequence[FieldDescriptor] = ()) -> Write:
    """A function made of one statement per field: a loop over them would cost more than what it does.

    Presence means: the field can be told from one that is not set, so that 0 is a value like any other. The piece of
    the `shared` fields is kept by their values.
    """
    known: dict[str, Any] = {}
    lines = ["def write(value):", "    found = b''"]
    if shared:
        known["kept"], known["make"] = {}, _compiled(list(shared))
        key = ", ".join(f"value.{_attribute(field.name)}" for field in shared)
        lines += [
            f"    found = kept.get(key := ({key},))",
            "    if found is None:",
            f"        if len(kept) >= {_SHARED}: kept.clear()",
            "        found = kept[key] = make(value)",
        ]
    for number, field in enumerate(fields):
        present = " is not None" if field.has_presence and not _is_time(field) else ""
        known[f"w{number}"] = _writer(field)
        lines += [
            f"    got = value.{_attribute(field.name)}",
            f"    if got{present}: found += w{number}(got)",
        ]
    exec("\n".join([*lines, "    return found"]), known)
    write: Write = known["write"]
    return write


def _attribute(name: str) -> str:
    """`return` is `return_` in the model, `ProgType` is `prog_type`."""
    return _CAPITAL.sub(r"_\1", name).lower() + ("_" if iskeyword(name) else "")


def _is_time(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name == "google.protobuf.Timestamp"


def _writer(field: FieldDescriptor) -> Write:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return _map_writer(field)
    payload = _payload(field)
    if payload is not None:
        head = tag(field.number)
        piece: Write = lambda value: delimited(head, payload(value))  # noqa: E731
        if field.message_type is not None and field.message_type.full_name == "tetragon.KprobeArgument":
            return _all_kept(piece) if field.is_repeated else _kept(piece)
        return (lambda values: b"".join(map(piece, values))) if field.is_repeated else piece
    number = _number(field)
    if field.is_repeated:
        head = tag(field.number)
        return lambda values: delimited(head, b"".join([varint(number(one)) for one in values]))
    head = tag(field.number, 0)
    if field.enum_type is not None:
        ready = {name: head + varint(number(name)) for name in field.enum_type.values_by_name}
        return lambda name: ready[name]
    return lambda value: head + varint(number(value))


class _Kept(dict[Any, bytes]):
    """Hooks report the same files, sockets and numbers again and again: short arguments are kept for a while."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def __missing__(self, value: Any) -> bytes:
        found = self._write(value)
        if len(found) <= _KEPT_LENGTH:
            if len(self) >= _KEPT:
                self.clear()
            self[value] = found
        return found


def _kept(write: Write) -> Write:
    kept = _Kept(write)
    return lambda value: write(value) if value.__class__ in _LONG else kept[value]


def _all_kept(write: Write) -> Callable[[Sequence[Any]], bytes]:
    kept = _Kept(write)
    return lambda values: b"".join([write(one) if one.__class__ in _LONG else kept[one] for one in values])


def _payload(field: FieldDescriptor) -> Write | None:
    """What a length-delimited field holds; None for numbers."""
    if field.type == FieldDescriptor.TYPE_STRING:
        return str.encode
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _same
    inner = field.message_type
    if inner is None:
        return None
    if _is_time(field):
        return _timestamp
    if inner.full_name.startswith("google.protobuf."):
        return _wrapper(inner)
    return encoder(inner)


def _same(value: bytes) -> bytes:
    return value


def _wrapper(message: Descriptor) -> Write:
    number = _number(message.fields_by_name["value"])
    return lambda value: b"\x08" + varint(number(value)) if value else b""


def _number(field: FieldDescriptor) -> Callable[[Any], int]:
    if field.type == FieldDescriptor.TYPE_ENUM:
        assert field.enum_type is not None
        numbers = {name: one.number for name, one in field.enum_type.values_by_name.items()}
        return lambda name: numbers[name]
    # Numbers of 64 bits are texts in the model; negative ones fill all 64 bits on the wire.
    return lambda value: int(value) & _MASK64


def _map_writer(field: FieldDescriptor) -> Write:
    head, key, value = tag(field.number), tag(1), tag(2)

    def write(found: dict[str, str]) -> bytes:
        pairs = ((name.encode(), text.encode()) for name, text in found.items())
        return b"".join(delimited(head, delimited(key, name) + delimited(value, text)) for name, text in pairs)

    return write


def _timestamp(text: str) -> bytes:
    """An RFC 3339 time in UTC."""
    fraction = text[20:-1]
    return timestamp(_unix(text[:19]), int(fraction.ljust(9, "0")) if fraction else 0)


def timestamp(seconds: int, nanos: int) -> bytes:
    """`google.protobuf.Timestamp`."""
    return _second(seconds) + (b"\x10" + varint(nanos) if nanos else b"")


@lru_cache(maxsize=256)
def _unix(text: str) -> int:
    return int(datetime.fromisoformat(text + "+00:00").timestamp())


@lru_cache(maxsize=256)
def _second(seconds: int) -> bytes:
    return b"\x08" + varint(seconds & _MASK64) if seconds else b""
