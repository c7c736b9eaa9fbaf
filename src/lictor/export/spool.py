"""What waits for a receiver, on disk: segments of records, read in order, let go when the receiver has them.

A record is a few whole lines. Everything is written here first and sent from here: there is one way, whether the
receiver is there or not, and a process that dies loses nothing that was written. Nothing is forced to the disk: a
crash of the machine may cost the last half minute. Segments that are delivered soon are deleted before the kernel
writes them out.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections import deque
from pathlib import Path
from typing import NamedTuple

RECORD_BYTES = 256 << 10
_HEADER = struct.Struct("<III")  # bytes, events, checksum
_POSITION = struct.Struct("<QQ")  # segment, offset in it
_SUFFIX = ".events"


class Position(NamedTuple):
    segment: int
    offset: int


class Record(NamedTuple):
    """`lines` hold so many events; `end` is the position behind it."""

    lines: bytes
    events: int
    end: Position


class Spool:
    """One target's. Raises OSError when the directory cannot be used. Not for use by several processes."""

    def __init__(self, directory: Path, limit: int) -> None:
        self._directory = directory
        self._limit = limit
        self._segment_bytes = min(8 << 20, max(64 << 10, limit // 16))
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._sizes: dict[int, int] = {}
        for path in sorted(directory.glob("*" + _SUFFIX)):
            self._sizes[int(path.stem)] = path.stat().st_size
        self._position_fd = os.open(directory / "position", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.settled = self._load_position()
        self._writing = max(self._sizes, default=self.settled.segment - 1)
        self._write_fd = -1
        self._read_fd, self._read_segment = -1, -1
        self.cursor = self.settled
        self._damage: dict[int, int] = {}  # segment -> bytes of it that could not be read again
        if self._writing in self._sizes:
            self._mend()

    @property
    def damaged(self) -> int:
        """Bytes that were there and cannot be read: what they said is lost."""
        return sum(self._damage.values())

    @property
    def held(self) -> int:
        """Bytes on disk and not settled."""
        return sum(self._sizes.values()) - self.settled.offset

    def fits(self, size: int) -> bool:
        return sum(self._sizes.values()) + size + _HEADER.size <= self._limit

    def append(self, lines: bytes, events: int) -> None:
        """Add a record. Raises OSError when it could not be written; nothing of it stays then."""
        if self._write_fd < 0 or self._sizes[self._writing] >= self._segment_bytes:
            self._next_segment()
        size = self._sizes[self._writing]
        view = memoryview(_HEADER.pack(len(lines), events, zlib.crc32(lines)) + lines)
        try:
            while view:
                view = view[os.write(self._write_fd, view) :]
        except OSError:
            os.ftruncate(self._write_fd, size)
            raise
        self._sizes[self._writing] = size + _HEADER.size + len(lines)

    def next(self) -> Record | None:
        """The record at the cursor, which moves behind it; None at the end."""
        while True:
            segment, offset = self.cursor
            size = self._sizes.get(segment, 0)
            if offset + _HEADER.size <= size:
                record = self._read(segment, offset)
                if record is not None:
                    self.cursor = record.end
                    return record
            if offset < size and segment != self._writing:
                self._damage[segment] = size - offset
            later = [one for one in self._sizes if one > segment]
            if not later:
                return None
            self.cursor = Position(min(later), 0)

    def rewind(self) -> None:
        """Read again from what is settled."""
        self.cursor = self.settled

    def settle(self, position: Position) -> None:
        """The receiver has everything before `position`."""
        self.settled = position
        os.pwrite(self._position_fd, _POSITION.pack(*position), 0)
        for segment in [one for one in self._sizes if one < position.segment]:
            self._drop(segment)
        # A segment that is done and no longer written to need not stay either.
        if self._sizes.get(position.segment, -1) == position.offset and position.offset >= self._segment_bytes:
            self._close_writing()
            self._drop(position.segment)
            self.settled = Position(position.segment + 1, 0)
            self.cursor = max(self.cursor, self.settled)
            os.pwrite(self._position_fd, _POSITION.pack(*self.settled), 0)

    def close(self) -> None:
        self._close_writing()
        if self._read_fd >= 0:
            os.close(self._read_fd)
        os.close(self._position_fd)

    def _read(self, segment: int, offset: int) -> Record | None:
        """None where the bytes are damaged: what follows in the segment cannot be found."""
        if self._read_segment != segment:
            if self._read_fd >= 0:
                os.close(self._read_fd)
            self._read_fd = os.open(self._path(segment), os.O_RDONLY | os.O_CLOEXEC)
            self._read_segment = segment
        length, events, checksum = _HEADER.unpack(os.pread(self._read_fd, _HEADER.size, offset))
        lines = os.pread(self._read_fd, length, offset + _HEADER.size)
        if len(lines) != length or zlib.crc32(lines) != checksum:
            return None
        return Record(lines, events, Position(segment, offset + _HEADER.size + length))

    def _mend(self) -> None:
        """Cut what a dying machine left half written; go on in a segment of our own."""
        segment, offset = self._writing, 0
        while offset + _HEADER.size <= self._sizes[segment]:
            record = self._read(segment, offset)
            if record is None:
                break
            offset = record.end.offset
        self._sizes[segment] = offset
        os.truncate(self._path(segment), offset)
        if self.settled > (segment, offset):
            self.settled = self.cursor = Position(segment, offset)

    def _load_position(self) -> Position:
        raw = os.pread(self._position_fd, _POSITION.size, 0)
        first = Position(min(self._sizes, default=1), 0)
        if len(raw) != _POSITION.size:
            return first
        found = Position(*_POSITION.unpack(raw))
        for segment in [one for one in self._sizes if one < found.segment]:
            self._drop(segment)
        return found

    def _next_segment(self) -> None:
        self._close_writing()
        number = max(self._writing + 1, self.settled.segment)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._write_fd = os.open(self._path(number), flags, 0o600)
        self._writing = number
        self._sizes[number] = 0

    def _close_writing(self) -> None:
        if self._write_fd >= 0:
            os.close(self._write_fd)
            self._write_fd = -1

    def _drop(self, segment: int) -> None:
        del self._sizes[segment]
        with contextlib.suppress(FileNotFoundError):
            self._path(segment).unlink()

    def _path(self, segment: int) -> Path:
        return self._directory / f"{segment:012d}{_SUFFIX}"


def split(block: bytes, size: int = RECORD_BYTES) -> deque[bytes]:
    """A block of whole lines in pieces of whole lines, of about `size` bytes; a longer line is a piece of its own."""
    pieces: deque[bytes] = deque()
    at = 0
    while at < len(block):
        if len(block) - at <= size:
            pieces.append(block[at:])
            break
        end = block.rfind(b"\n", at, at + size) + 1 or block.find(b"\n", at + size) + 1 or len(block)
        pieces.append(block[at:end])
        at = end
    return pieces
