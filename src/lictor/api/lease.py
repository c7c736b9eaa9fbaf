"""How long a mode lasts: a field of our own in ConfigureTracingPolicyRequest, which others skip as an unknown one."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

_FIELD = 1000  # varint: seconds


def put(request: Message, seconds: int) -> None:
    request.MergeFromString(_varint(_FIELD << 3) + _varint(seconds))


def of(request: Message) -> int:
    """Seconds, 0: for good."""
    fields: Any = UnknownFieldSet(request)
    return next((int(one.data) for one in fields if one.field_number == _FIELD and isinstance(one.data, int)), 0)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
