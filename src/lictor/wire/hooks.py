"""Records of hooks: the fixed part, and the fields behind it. Shapes: `hook_record` and `field` of records.h."""

from __future__ import annotations

from typing import NamedTuple

from lictor.wire.btf import Btf
from lictor.wire.layout import compile_layout
from lictor.wire.records import RecordError

FLAG_ERROR, FLAG_TRUNCATED, FLAG_UNREACHABLE, FLAG_DELETED, FLAG_READ_AGAIN, FLAG_CHAINED = 1, 2, 4, 8, 16, 32
RETURNED, NEVER_RETURNED, READ_AGAIN, MONITORED, EXEMPT, SUSPENDED, DECIDED = 1, 2, 4, 8, 16, 32, 64
_MATCHES = 0xFF  # not a slot: SLOT_MATCHES
SLOTS = 16
_FIXED = (
    "time", "key_ktime", "key_tgid", "tid", "hook", "policy", "instance", "group", "selector", "flags", "action",
    "return_action", "fields",
)  # fmt: skip
_FIELD = ("slot", "type", "flags", "len", "extra")
_KEPT = ("start", "time", "count", "used", "read", "at*16", "match", "key_ktime", "key_tgid", "data")
_UNDECIDED = 1


class Field(NamedTuple):
    """One value. `extra`: a number's value, the errno of one that could not be read, a file's mode, or how many bytes
    there were before they were cut."""

    type: int
    flags: int
    extra: int
    data: bytes


class Match(NamedTuple):
    """One of several policies that matched in the same run. `decided`: its denial is the answer."""

    instance: int
    group: int
    selector: int
    decided: int


class HookRecord(NamedTuple):
    """struct hook_record. `values` by the hook's slot; the last one of a slot is in force.

    `matches`: all of this run, if there were several on a hook that enforces, this one among them."""

    time: int
    ktime: int
    tgid: int
    tid: int
    hook: int
    policy: int
    instance: int
    group: int
    selector: int
    flags: int
    action: int
    return_action: int
    values: dict[int, Field]
    matches: tuple[Match, ...] = ()


class KeptMatch(NamedTuple):
    group: int
    instance: int
    selector: int
    flags: int
    policy: int


class KeptCall(NamedTuple):
    """A call that matched and has not returned. `start` is its thread's birth."""

    start: int
    time: int
    tgid: int
    ktime: int
    tid: int
    hook: int
    matches: list[KeptMatch]
    values: dict[int, Field]


class Piece(NamedTuple):
    """Bytes of the value in a hook's slot, `offset` into it. Thread and time are those of the records it belongs to."""

    time: int
    tid: int
    slot: int
    offset: int
    data: bytes


class HookDecoder:
    """Unpacks hook records, and calls that are kept until they return, of one loaded object."""

    def __init__(self, btf: Btf) -> None:
        self._fixed = compile_layout(btf, "hook_record", _FIXED)
        self._field = compile_layout(btf, "field", _FIELD)
        self._piece = compile_layout(btf, "piece_record", ("time", "tid", "slot", "offset", "len", "data"))
        self._call_key = compile_layout(btf, "call_key", ("thread", "frame", "hook"))
        self._kept = compile_layout(btf, "kept_call", _KEPT)
        self._match = compile_layout(btf, "kept_match", KeptMatch._fields)
        self._other = compile_layout(btf, "match_value", Match._fields)

    def decode(self, batch: bytes, at: int, size: int) -> HookRecord:
        """Raises RecordError for what is no whole record."""
        if not self._fixed.size <= size <= len(batch) - at:
            raise RecordError(f"a hook record of {size} bytes where at least {self._fixed.size} were expected")
        *fixed, length = self._fixed.unpack_from(batch, at)
        begin = at + self._fixed.size
        if begin + length != at + size:
            raise RecordError(f"a hook record of {size} bytes with {length} bytes of fields")
        values = self._fields(batch, begin, begin + length)
        matches = values.pop(_MATCHES, None)
        return HookRecord._make((*fixed, values, self._matches(matches.data) if matches is not None else ()))

    def _matches(self, data: bytes) -> tuple[Match, ...]:
        if len(data) % self._other.size:
            raise RecordError(f"matches of {len(data)} bytes, {self._other.size} each")
        return tuple(Match._make(one) for one in self._other.iter_unpack(data))

    def piece(self, batch: bytes, at: int, size: int) -> Piece:
        """Raises RecordError for what is no whole piece."""
        if size != self._piece.size or size > len(batch) - at:
            raise RecordError(f"a piece of {size} bytes where {self._piece.size} were expected")
        time, tid, slot, offset, length, data = self._piece.unpack_from(batch, at)
        return Piece(time, tid, slot, offset, data[:length])

    def _fields(self, batch: bytes, at: int, end: int, most: int = 1 << 16) -> dict[int, Field]:
        found: dict[int, Field] = {}
        head = self._field.size
        while at < end and most:
            most -= 1
            if end - at < head:
                raise RecordError("a field's head is cut short")
            slot, kind, flags, length, extra = self._field.unpack_from(batch, at)
            begin = at + head
            if (slot >= SLOTS and slot != _MATCHES) or length > end - begin:
                raise RecordError(f"a field of {length} bytes in slot {slot} with {end - begin} bytes left")
            found[slot] = Field(kind, flags, extra, batch[begin : begin + length])
            at = begin + (length + 7 & ~7)
        return found

    def thread(self, key: bytes) -> tuple[int, int]:
        """Thread group and thread of the key of a kept call."""
        thread = self._call_key.unpack(key)[0]
        return thread >> 32, thread & 0xFFFFFFFF

    def hook_of(self, key: bytes) -> int:
        """The hook of an element's key in the map of kept calls."""
        return int(self._call_key.unpack(key)[2])

    def kept(self, key: bytes, value: bytes) -> KeptCall:
        """An element of the map of kept calls. Raises RecordError."""
        thread, _, hook = self._call_key.unpack(key)
        start, time, count, used, read, *places, packed, ktime, tgid, data = self._kept.unpack(value)
        matches = [KeptMatch._make(one) for one in self._match.iter_unpack(packed)][:count]
        values: dict[int, Field] = {}
        for slot in range(SLOTS):
            if read >> slot & 1:
                values |= self._fields(data, places[slot], min(used, len(data)), 1)
        decided = [one for one in matches if not one.flags & _UNDECIDED]
        return KeptCall(start, time, tgid, ktime, thread & 0xFFFFFFFF, hook, decided, values)
