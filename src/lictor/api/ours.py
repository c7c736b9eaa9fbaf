"""A number of our own in messages of the API, in a field that others skip as an unknown one.

In ConfigureTracingPolicyRequest: for how many seconds the mode holds, 0 for good. In AddTracingPolicyRequest: 1 to
replace the policy of this name at once, which must be there.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

_FIELD = 1000  # varint


def put(request: Message, number: int) -> None:
    request.MergeFromString(_varint(_FIELD << 3) + _varint(number))


def of(request: Message) -> int:
    """The number; 0 where there is none."""
    fields: Any = UnknownFieldSet(request)
    return next((int(one.data) for one in fields if one.field_number == _FIELD and isinstance(one.data, int)), 0)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
