"""The kernel stamps records with the boot clock; people read wall-clock time."""

from __future__ import annotations

import time
from datetime import UTC, datetime

NANOSECONDS = 1_000_000_000


def boot_to_wall_offset() -> int:
    """Nanoseconds to add to a boot-clock stamp (`bpf_ktime_get_boot_ns`) to get Unix time.

    The smallest of a few bracketed readings, so that a preemption between the two clocks does not count.
    """
    best_width, best = 1 << 62, 0
    for _ in range(5):
        before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        wall = time.clock_gettime_ns(time.CLOCK_REALTIME)
        after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if after - before < best_width:
            best_width, best = after - before, wall - (before + after) // 2
    return best


class WallClock:
    """Formats Unix nanoseconds as RFC 3339 with nanoseconds; the text of the last second is kept."""

    __slots__ = ("_second", "_text", "offset")

    def __init__(self, offset: int | None = None) -> None:
        self.offset = boot_to_wall_offset() if offset is None else offset
        self._second = -1
        self._text = ""

    def resync(self) -> None:
        """Follow steps of the wall clock (NTP, an administrator)."""
        self.offset = boot_to_wall_offset()

    def rfc3339(self, boot_ns: int) -> str:
        """`2026-11-23T07:10:15.735186076Z`; no fraction when it is zero, as protobuf's JSON form has it."""
        second, nanos = divmod(boot_ns + self.offset, NANOSECONDS)
        if second != self._second:
            self._second = second
            self._text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._text}{fraction(nanos)}Z"


def fraction(nanos: int) -> str:
    """The fraction of a protobuf JSON timestamp: none, or 3, 6 or 9 digits."""
    if not nanos:
        return ""
    text = f".{nanos:09d}"
    if text.endswith("000000"):
        return text[:4]
    return text[:7] if text.endswith("000") else text
