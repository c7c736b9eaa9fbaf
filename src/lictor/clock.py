"""The kernel stamps records with the boot clock; people read wall-clock time."""

from __future__ import annotations

import time
from datetime import UTC, datetime

NANOSECONDS = 1_000_000_000
_NEVER = 1 << 64


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
    """Formats boot-clock stamps as RFC 3339 with nanoseconds; the text of the last second is kept."""

    __slots__ = ("_second", "_text", "offset")

    def __init__(self, offset: int | None = None) -> None:
        self.offset = boot_to_wall_offset() if offset is None else offset
        self._second = _NEVER  # boot-clock ns at which the second of `_text` begins
        self._text = ""

    def resync(self) -> None:
        """Follow steps of the wall clock (NTP, an administrator)."""
        self.offset = boot_to_wall_offset()
        self._second = _NEVER

    def rfc3339(self, boot_ns: int) -> str:
        """`2026-11-23T07:10:15.735186076Z`; no fraction when it is zero, as protobuf's JSON form has it."""
        nanos = boot_ns - self._second
        if not 0 <= nanos < NANOSECONDS:
            nanos = self._turn_to(boot_ns)
        if nanos % 1000:
            return f"{self._text}.{str(nanos + NANOSECONDS)[1:]}Z"
        return f"{self._text}{fraction(nanos)}Z"

    def _turn_to(self, boot_ns: int) -> int:
        """Make the second of a stamp the one that is kept; gives the nanoseconds since its beginning."""
        second, nanos = divmod(boot_ns + self.offset, NANOSECONDS)
        self._second = boot_ns - nanos
        self._text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return nanos


def fraction(nanos: int) -> str:
    """The fraction of a protobuf JSON timestamp: none, or 3, 6 or 9 digits."""
    if not nanos:
        return ""
    text = f".{nanos:09d}"
    if text.endswith("000000"):
        return text[:4]
    return text[:7] if text.endswith("000") else text
