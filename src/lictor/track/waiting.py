"""Pieces of long fields that wait for the exec record they belong to, within a budget of bytes."""

from __future__ import annotations

from collections import OrderedDict

from lictor.wire.records import Chunk

FieldKey = tuple[int, int, int]  # tgid, ktime, field


class Chunks:
    """Reassembles chained fields. When the budget is reached the oldest incomplete field goes, and is counted."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._fields: OrderedDict[FieldKey, bytearray] = OrderedDict()
        self.held = 0
        self.evicted_bytes = 0

    def add(self, chunk: Chunk, data: bytes) -> None:
        """Keep a piece. A piece that does not continue what is there comes after a loss: the field ends before it."""
        key = (chunk.key_tgid, chunk.key_ktime, chunk.field)
        got = self._fields.setdefault(key, bytearray())
        if len(got) != chunk.offset:
            return
        got += data
        self.held += len(data)
        while self.held > self._budget:
            _, oldest = self._fields.popitem(last=False)
            self.held -= len(oldest)
            self.evicted_bytes += len(oldest)

    def take(self, tgid: int, ktime: int, field: int) -> bytes:
        """What arrived of a field: all of it, or its beginning."""
        got = self._fields.pop((tgid, ktime, field), None)
        if got is None:
            return b""
        self.held -= len(got)
        return bytes(got)
