"""Numbers of our own in messages of the API, in fields that others skip as unknown ones: 1000, 1001 …

In ConfigureTracingPolicyRequest: for how many seconds the mode holds, 0 for good. In AddTracingPolicyRequest: 1 to
replace the policy of this name at once, which must be there. In TracingPolicySelectorActionCounters: `OF_SELECTORS`
of `ports.SelectorCounters`. In TracingPolicyStats: `failed_reads` and `unjoined` of `ports.PolicyStatus`.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

OF_SELECTORS = ("matches", "limited", "lost", "failed_reads", "hook_ns")
_FIELD = 1000  # varint


def put(message: Message, *numbers: int) -> None:
    fields = (_varint(field << 3) + _varint(number) for field, number in enumerate(numbers, _FIELD))
    message.MergeFromString(b"".join(fields))


def of(message: Message, count: int = 1) -> list[int]:
    """So many numbers; 0 where there is none."""
    unknown: Any = UnknownFieldSet(message)
    found = {one.field_number: one.data for one in unknown if isinstance(one.data, int)}
    return [int(found.get(field, 0)) for field in range(_FIELD, _FIELD + count)]


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
