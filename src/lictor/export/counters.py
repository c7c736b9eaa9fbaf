"""Counters of the export process, in memory that it shares with the agent: read at a scrape, kept when it dies."""

from __future__ import annotations

import mmap
import os
import struct

FIELDS = ("taken", "delivered", "lost", "rejected", "retries", "waiting_bytes", "connected", "damaged_bytes")
"""Events that came, that a receiver has, that found no room, that it refused; failed attempts; how it is now; bytes
that the disk did not give back."""
_ROW = struct.Struct(f"={len(FIELDS)}Q")
_ONE = struct.Struct("=Q")


class SharedCounters:
    """One row for each target. One process writes, the other reads."""

    def __init__(self, rows: int, fd: int | None = None) -> None:
        self.fd = os.memfd_create("lictor-export-counters") if fd is None else fd
        size = max(mmap.PAGESIZE, rows * _ROW.size)
        if fd is None:
            os.ftruncate(self.fd, size)
        self._memory = mmap.mmap(self.fd, size)
        self.rows = [Row(self._memory, number * _ROW.size) for number in range(rows)]

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)


class Row:
    """The counters of one target."""

    def __init__(self, memory: mmap.mmap, at: int) -> None:
        self._memory = memory
        self._at = at

    def get(self, field: str) -> int:
        value: int = _ONE.unpack_from(self._memory, self._at + 8 * FIELDS.index(field))[0]
        return value

    def set(self, field: str, value: int) -> None:
        _ONE.pack_into(self._memory, self._at + 8 * FIELDS.index(field), value)

    def add(self, field: str, count: int = 1) -> None:
        self.set(field, self.get(field) + count)
