"""Operand sets in the kernel: equal ones of whatever policies are one, filled once, let go with the last user."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from lictor.kernel.arrays import string_key
from lictor.kernel.maps import Map
from lictor.policy.plan import OperandSet, SetKind
from lictor.sensors.store import Store

Member = TypeVar("Member", bytes, tuple[int, int])
_MEMBER, _MARK = 1, 2  # enum string_mark
_SIGN = 1 << 63
_MASK = (1 << 64) - 1
_ONE = struct.pack("<I", 1)
_WORD = 8  # bytes
_HASH = 0x9E3779B97F4A7C15  # HASH_FIRST in bpf/match/strings.h


@dataclass(slots=True)
class _Filled:
    number: int
    users: int = 0
    keys: list[bytes] = field(default_factory=list)
    first: int = 0
    count: int = 0


class Sets:
    """`acquire` gives a set's number; what nobody uses is emptied by `release`, after a grace period by the caller."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._filled: dict[OperandSet, _Filled] = {}

    def acquire(self, operands: OperandSet) -> int:
        found = self._filled.get(operands)
        if found is None:
            found = _Filled(self._store.free["sets"].take())
            try:
                self._fill(found, operands)
            except BaseException:
                self._empty(found, operands)
                raise
            self._filled[operands] = found
        found.users += 1
        return found.number

    def release(self, operands: OperandSet) -> None:
        found = self._filled[operands]
        found.users -= 1
        if not found.users:
            del self._filled[operands]
            self._empty(found, operands)

    def memory(self, operands: OperandSet) -> int:
        """Bytes that a set's elements take in the kernel."""
        found, arrays = self._filled[operands], self._store.arrays
        places = arrays["set_ranges" if operands.kind is SetKind.RANGES else "set_lengths"].stride * found.count
        return arrays["sets"].stride + places + self._table(operands).element * len(found.keys)

    def _table(self, operands: OperandSet) -> Map:
        store = self._store
        return {
            SetKind.NUMBERS: store.numbers,
            SetKind.ADDRESSES4: store.networks,
            SetKind.ADDRESSES6: store.networks,
        }.get(operands.kind, store.strings)

    def _fill(self, found: _Filled, operands: OperandSet) -> None:
        store = self._store
        kind = operands.kind
        starts = 0
        least = 0
        if kind is SetKind.NUMBERS:
            found.keys = [store.shapes.pack("number_key", found.number, n & _MASK) for n in operands.numbers]
            store.numbers.update_many([(key, _ONE) for key in found.keys])
        elif kind is SetKind.RANGES:
            self._fill_ranges(found, operands)
        elif kind in (SetKind.ADDRESSES4, SetKind.ADDRESSES6):
            self._fill_networks(found, operands)
        else:
            texts = [text.encode("latin-1") for text in operands.texts]
            if kind is SetKind.SUBSTRINGS_IGNORE_CASE:
                texts = [text.lower() for text in texts]
            self._fill_texts(found, kind, texts)
            least = min(map(len, texts), default=0)
            starts = starts_of(kind, texts, least)
        words = [starts >> 64 * n & _MASK for n in range(4)]
        packed = store.shapes.pack("operand_set", 0, found.first, found.count, least, *words)
        store.arrays["sets"].write(found.number, packed)

    def _fill_texts(self, found: _Filled, kind: SetKind, texts: list[bytes]) -> None:
        marks = dict.fromkeys(texts, _MEMBER)
        if kind is not SetKind.STRINGS:
            at_end = kind is SetKind.POSTFIXES
            marks = search_marks(texts, self._put_lengths(found, {len(text) for text in texts}), at_end)
        seed = self._store.seed
        pairs = [(string_key(seed, found.number, text), struct.pack("<I", mark)) for text, mark in marks.items()]
        found.keys = [key for key, _ in pairs]
        self._store.strings.update_many(pairs)

    def _fill_ranges(self, found: _Filled, operands: OperandSet) -> None:
        turn = _SIGN if operands.signed else 0
        found.count = len(operands.ranges)
        found.first = self._store.free["set_ranges"].take(found.count)
        for place, (least, greatest) in enumerate(operands.ranges):
            packed = self._store.shapes.pack("number_range", (least & _MASK) ^ turn, (greatest & _MASK) ^ turn)
            self._store.arrays["set_ranges"].write(found.first + place, packed)

    def _fill_networks(self, found: _Filled, operands: OperandSet) -> None:
        bits = 32 if operands.kind is SetKind.ADDRESSES4 else 128
        lengths = self._put_lengths(found, {length for _, length in operands.networks})
        pairs = []
        for (address, length), mark in network_marks(operands.networks, lengths, bits).items():
            packed = address.to_bytes(bits // 8, "big").ljust(16, b"\0")
            words = (int.from_bytes(packed[:8], "little"), int.from_bytes(packed[8:], "little"))
            key = self._store.shapes.pack("network_key", found.number, length, *words)
            pairs.append((key, struct.pack("<I", mark)))
        found.keys = [key for key, _ in pairs]
        self._store.networks.update_many(pairs)

    def _put_lengths(self, found: _Filled, lengths: set[int]) -> list[int]:
        """Write the lengths that the search by halves goes over."""
        found.count = len(lengths)
        found.first = self._store.free["set_lengths"].take(found.count)
        for place, length in enumerate(sorted(lengths)):
            self._store.arrays["set_lengths"].write(found.first + place, struct.pack("<I", length))
        return sorted(lengths)

    def _empty(self, found: _Filled, operands: OperandSet) -> None:
        store, table = self._store, self._table(operands)
        for key in found.keys:
            table.delete(key)
        if found.count:
            store.free["set_ranges" if operands.kind is SetKind.RANGES else "set_lengths"].give(
                found.first, found.count
            )
        store.free["sets"].give(found.number)


def starts_of(kind: SetKind, texts: list[bytes], least: int) -> int:
    """256 bits by which most texts are told to have no member (`starts` of struct operand_set)."""
    count = min(least, _WORD)
    found = 0
    for text in texts:
        if kind in (SetKind.STRINGS, SetKind.PREFIXES, SetKind.POSTFIXES):
            word = text[:count] if kind is SetKind.PREFIXES else text[len(text) - count :]
            found |= 1 << ((int.from_bytes(word, "little") * _HASH & _MASK) >> 56)
        elif text:
            found |= 1 << text[0]
    return found


def search_marks(texts: list[bytes], lengths: list[int], at_end: bool) -> dict[bytes, int]:
    """What the search by halves over `lengths` must find on its way to each text (bpf/match/strings.h).

    Part of a text -> whether a text is a beginning (an end) of it.
    """

    def part(text: bytes, length: int) -> bytes:
        return text[len(text) - length :] if at_end else text[:length]

    return _marks([(text, len(text)) for text in texts], lengths, part)


def network_marks(networks: Iterable[tuple[int, int]], lengths: list[int], bits: int) -> dict[tuple[int, int], int]:
    """The same for networks of addresses with so many bits (bpf/match/networks.h)."""

    def part(network: tuple[int, int], length: int) -> tuple[int, int]:
        return network[0] >> bits - length << bits - length, length

    return _marks(sorted({(part(one, one[1]), one[1]) for one in networks}), lengths, part)


def _marks(
    members: list[tuple[Member, int]], lengths: list[int], part: Callable[[Member, int], Member]
) -> dict[Member, int]:
    """`members` with their lengths; `part` gives the part of a member that has a length."""
    marks = {member: _MEMBER for member, _ in members}
    whole = set(marks)
    for member, length in members:
        low, high = 0, len(lengths)
        while low < high:
            middle = (low + high) // 2
            if lengths[middle] > length:
                high = middle
                continue
            mark = part(member, lengths[middle])
            if mark not in marks:
                known = any(part(mark, one) in whole for one in lengths[:middle])
                marks[mark] = _MEMBER if known else _MARK
            low = middle + 1
    return marks
