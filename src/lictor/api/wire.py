"""Values of the model as protobuf bytes.

They have the field names of the messages, so the way from one to the other is read off the descriptors, once per
class. Written here and not by the library: an event has a dozen small values, and building message objects for them
costs three times as much.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import cache, lru_cache
from keyword import iskeyword
from operator import attrgetter
from typing import Any

import msgspec
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from lictor.model.arguments import BytesArg, TruncatedBytesArg

_CAPITAL = re.compile(r"(?<!^)([A-Z])")
_MASK64 = (1 << 64) - 1
LENGTH_DELIMITED = 2
Write = Callable[[Any], bytes]
_KEPT, _KEPT_LENGTH = 4096, 512
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
            write = known[kind] = _of_class(kind, descriptor)
        return write(value)

    return run


def _of_class(kind: Any, descriptor: Descriptor) -> Write:
    fields = [field for field in descriptor.fields if hasattr(kind, _attribute(field.name))]
    varies = getattr(kind, "varies", None)
    if varies is None:
        return _of_fields(fields)
    # The order of fields on the wire is free: those that most events share are one piece, made once.
    own = _of_fields([field for field in fields if _attribute(field.name) in varies])
    same = [field for field in fields if _attribute(field.name) not in varies]
    key = _getter(same)
    shared: Callable[..., bytes] = lru_cache(maxsize=1024)(_of_values(same))
    return lambda value: own(value) + shared(key(value))


def _of_fields(fields: list[FieldDescriptor]) -> Write:
    write, values = _of_values(fields), _getter(fields)
    return lambda value: write(values(value))


def _getter(fields: list[FieldDescriptor]) -> Callable[[Any], tuple[Any, ...]]:
    """The values of some fields."""
    names = [_attribute(field.name) for field in fields]
    return attrgetter(*names) if len(names) > 1 else lambda value: tuple(getattr(value, name) for name in names)


def _of_values(fields: list[FieldDescriptor]) -> Callable[[tuple[Any, ...]], bytes]:
    """Presence means: the field can be told from one that is not set, so that 0 is a value like any other."""
    rows = [(field.has_presence and not _is_time(field), _writer(field)) for field in fields]

    def run(values: tuple[Any, ...]) -> bytes:
        found = b""
        for got, (presence, write) in zip(values, rows, strict=True):
            if got or (presence and got is not None):
                found += write(got)
        return found

    return run


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
            piece = _kept(piece)
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


def _kept(write: Write) -> Write:
    """Hooks report the same files, sockets and numbers again and again: short arguments are kept for a while."""
    kept: dict[Any, bytes] = {}

    def piece(value: Any) -> bytes:
        if value.__class__ in _LONG:
            return write(value)
        found = kept.get(value)
        if found is None:
            found = write(value)
            if len(found) <= _KEPT_LENGTH:
                if len(kept) >= _KEPT:
                    kept.clear()
                kept[value] = found
        return found

    return piece


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
