"""What an exec event costs end to end on the running kernel, from a program that executes itself.

    python bench/exec_event.py [ROUNDS]      20,000 execs

What the kernel half runs at each exec (kernel.bpf_stats_enabled), and the CPU time of the agent's parts from the ring
to the line in the export file, all threads: records are kept in a large ring and read at once, so that what others do
on the machine, and how often the reader is woken, do not blur it. The best of five; the result goes to
bench/results/DATE-exec-event.json. What an agent takes at 3,000 a second, wake-ups included, is in bench/soak.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import measure

from lictor.clock import WallClock
from lictor.export.exports import Exports
from lictor.export.file import FileOutlet, Rotation
from lictor.model.json import JsonWriter
from lictor.pipeline.reader import Reader
from lictor.sensors.process import ProcessSensor, Sizes
from lictor.track import scanned
from lictor.track.image import Detail, ImageBuilder
from lictor.track.processes import Tracker
from lictor.wire.records import NamespaceInodes

STATS = Path("/proc/sys/kernel/bpf_stats_enabled")
REPEATS = 5


def once(rounds: int, program: Path, export: Path) -> tuple[float, float, int]:
    """ns in the kernel and ns of the agent for each event, and how many execs are missing in the file."""
    sensor = ProcessSensor(Sizes(priority_ring=64 << 20))
    try:
        sensor.start()
        clock = WallClock()
        host = NamespaceInodes(*[0] * len(NamespaceInodes._fields))
        tracker = Tracker(ImageBuilder(sensor.decoder, clock, Detail("node"), host))
        scanned.enter(tracker, sensor.scan(), sensor.hierarchy)
        reader = Reader(sensor, tracker)
        with counting():
            subprocess.run([program, str(rounds)], check=True)
            ran = dict(sensor.programs())["process_exec"]
        sensor.detach()
        writer = JsonWriter(clock, "node")
        exports = Exports(writer.line, [FileOutlet(str(export), writer.line, Rotation(max_bytes=1 << 30))])
        before, events, more = time.process_time_ns(), 0, True
        while more:
            found, _, more = reader.round()
            exports.accept(found)
            events += len(found)
        asyncio.run(exports.close())
        spent = time.process_time_ns() - before
    finally:
        sensor.close()
    written = sum(b'"process_exec"' in line and str(program).encode() in line for line in export.open("rb"))
    return ran.run_time_ns / ran.run_count, spent / events, rounds + 1 - written


@contextlib.contextmanager
def counting() -> Iterator[None]:
    before = STATS.read_text()
    STATS.write_text("1")
    try:
        yield
    finally:
        STATS.write_text(before)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory(prefix="lictor-exec-") as name:
        program = Path(name, "chain")
        source = measure.ROOT / "bench" / "chain.c"
        subprocess.run(["gcc", "-O2", "-static", "-o", str(program), str(source)], check=True)
        runs = [once(rounds, program, Path(name, f"events-{number}.json")) for number in range(REPEATS)]
    kernel, agent = min(one[0] for one in runs) / 1000, min(one[1] for one in runs) / 1000
    missing = sum(one[2] for one in runs)
    result = {
        "kernel": os.uname().release,
        "rounds": rounds,
        "missing": missing,
        "runs": [{"kernel_ns": one[0], "agent_ns": one[1]} for one in runs],
        "total_us": kernel + agent,
        "load": os.getloadavg()[0],
    }
    path = measure.ROOT / "bench" / "results" / f"{datetime.now(UTC):%Y-%m-%d}-exec-event.json"
    path.write_text(json.dumps(result) + "\n")
    print(f"{os.uname().release}: {agent:.1f} µs of the agent and {kernel:.1f} µs in the kernel, {missing} missing")
    sys.exit(1 if missing else 0)


if __name__ == "__main__":
    main()
