"""The rings, read by the real sensor."""

from __future__ import annotations

import mmap
import subprocess

import pytest

from lictor.sensors.process import ProcessSensor, Sizes
from lictor.wire.records import Kind

pytestmark = pytest.mark.kernel


def test_records_that_wrap_are_whole() -> None:
    sensor = ProcessSensor(Sizes(priority_ring=4 * mmap.PAGESIZE))
    try:
        sensor.start()
        buffer = bytearray(1 << 20)
        expected: dict[int, int] = {}
        seen = 0
        # Several times around the ring, a few records at a time.
        while sensor.priority.consumed() < 5 * sensor.priority.size:
            subprocess.run(["/bin/true", "x" * (seen % 300)], check=True)
            used, _ = sensor.priority.drain(buffer)
            batch, at = bytes(buffer[:used]), 0
            while at < used:
                size, kind, _, cpu, seq, _ = sensor.decoder.header(batch, at)
                assert sensor.decoder.header_size <= size <= used - at
                assert kind in list(Kind)
                assert expected.setdefault(cpu, seq) == seq
                expected[cpu] += 1
                seen += 1
                at += size + 7 & ~7
        assert seen > 100
        assert sensor.counters().lost_priority == 0
    finally:
        sensor.close()
