"""Whatever can go missing is made to: what went in is what came out plus what was counted.

The tests that do so for a metric are marked with its name (`pytest.mark.accounts`); tests/contract/test_accounts.py
asks that every loss has one.
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import RunningAgent
from prometheus_client.parser import text_string_to_metric_families

from lictor.clock import WallClock
from lictor.daemon import measure
from lictor.metrics.collector import Sample
from lictor.model.event import Event, ExecEvent
from lictor.model.forms import ProcessForms
from lictor.pipeline.reader import Reader
from lictor.sensors.process import ProcessSensor, Sizes
from lictor.track.image import Detail, ImageBuilder
from lictor.track.processes import Tracker
from lictor.wire.layout import compile_layout
from lictor.wire.records import Kind, NamespaceInodes

pytestmark = pytest.mark.kernel


class Started:
    """A sensor that records, and nobody who reads it meanwhile."""

    def __init__(self, sizes: Sizes) -> None:
        self.sensor = ProcessSensor(sizes)
        self.sensor.start()
        host = NamespaceInodes(*(0 for _ in NamespaceInodes._fields))
        tracker = Tracker(ImageBuilder(self.sensor.decoder, WallClock(), Detail("n", False, False, True), host))
        self.reader = Reader(self.sensor, tracker)
        self.kind_offset = self.sensor.object.btf.struct("record_header")[1].offset

    def read(self) -> list[Event]:
        found: list[Event] = []
        more = True
        while more:
            events, _, more = self.reader.round()
            found += events
        return found


def sensing(sizes: Sizes) -> Started:
    if os.geteuid() != 0:
        pytest.skip("needs root to load BPF programs")
    return Started(sizes)


def shown(event: Event) -> ProcessForms:
    assert event.process is not None
    return event.process


def values(samples: Iterator[Sample]) -> dict[tuple[str, ...], float]:
    return {(one.name.removeprefix("tetragon_"), *one.labels): one.value for one in samples}


@pytest.mark.accounts("tetragon_observer_ringbuf_events_lost_total", "tetragon_bpf_missed_events_total")
def test_records_that_find_no_room_in_a_ring() -> None:
    """The rings hold a handful of records."""
    started = sensing(Sizes(priority_ring=8192, bulk_ring=8192, argument_bytes=131072))
    with contextlib.closing(started.sensor):
        _overrun(started.sensor, started.reader)


def _overrun(sensor: ProcessSensor, reader: Reader) -> None:
    long = "x" * 100_000
    for _ in range(60):
        subprocess.run(["/bin/true", long], check=True)
    sensor.detach()
    while reader.round().more:
        pass
    layout = compile_layout(sensor.object.btf, "cpu_counters", ("seq*2",))
    numbered = [sum(ring) for ring in zip(*map(layout.unpack, sensor._counters.per_cpu(bytes(4))), strict=True)]
    found = values(measure.of_rings(reader))
    priority, bulk = (found["bpf_missed_events_total", "ENOSPC", ring] for ring in ("priority", "bulk"))
    assert priority > 0
    assert bulk > 0
    # A chunk is numbered only if its exec is told of at all; every number was read, or is counted as lost.
    assert found["observer_ringbuf_events_received_total",] + priority + bulk == sum(numbered)
    assert found["observer_ringbuf_events_lost_total",] == priority + bulk
    told = {loss.where: loss.dropped for loss in reader.losses()}
    assert told == {"priority ring": priority, "bulk ring": bulk}
    assert reader.losses() == []


@pytest.mark.accounts("lictor_argument_bytes_lost_total")
def test_arguments_that_find_no_room() -> None:
    started = sensing(Sizes(priority_ring=1 << 20, bulk_ring=8192, argument_bytes=131072))
    with contextlib.closing(started.sensor):
        words = [f"{number:03}" + "x" * 50_000 for number in range(30)]
        for word in words:
            subprocess.run(["/bin/true", word], check=True)
        started.sensor.detach()
        told = [shown(event) for event in started.read() if isinstance(event, ExecEvent)]
        lost = values(measure.of_sensor(started.sensor, 0))["lictor_argument_bytes_lost_total",]
    ours = {one.process.arguments[:3]: one for one in told if one.process.arguments[:3] in {w[:3] for w in words}}
    for word in words:
        # The last of what was cut is the end of the string.
        one = ours[word[:3]]
        assert len(one.process.arguments) + _cut(one) in (len(word), len(word) + 1)
    # Others on this machine run programs too.
    assert sum(map(_cut, told)) == lost > sum(map(len, words)) // 2


def _cut(one: ProcessForms) -> int:
    return one.extra.truncated_bytes if one.extra is not None else 0


@pytest.mark.accounts("lictor_scratch_busy_total")
def test_execs_while_all_working_memory_is_taken() -> None:
    started = sensing(Sizes(priority_ring=1 << 20))
    with contextlib.closing(started.sensor):
        slots = started.sensor.object.map("scratch_slots")
        for busy in (True, False):
            for slot in range(slots.max_entries):
                slots.update(struct.pack("<I", slot), struct.pack("<I", busy).ljust(slots.value_size, b"\0"))
            for _ in range(10):
                subprocess.run(["/bin/true", f"busy-{busy}"], check=True)
        started.sensor.detach()
        execs = [shown(event).process for event in started.read() if isinstance(event, ExecEvent)]
        told = [one.arguments for one in execs if one.arguments.startswith("busy-")]
        counted = values(measure.of_sensor(started.sensor, 0))["lictor_scratch_busy_total",]
        lost, _ = started.reader.lost()
    assert told == ["busy-False"] * 10
    assert lost == counted >= 10  # of others here too


@pytest.mark.accounts("tetragon_map_errors_update_total")
def test_processes_that_find_no_room_in_the_table() -> None:
    started = sensing(Sizes(priority_ring=1 << 20, process_table=4))
    with contextlib.closing(started.sensor):
        names = [f"table-{number}" for number in range(40)]
        alive = [subprocess.Popen(["/bin/sh", "-c", "read line", name], stdin=subprocess.PIPE) for name in names]
        for one in alive:
            one.communicate(b"\n")
        started.sensor.detach()
        told = [shown(event).process for event in started.read() if isinstance(event, ExecEvent)]
        counted = values(measure.of_sensor(started.sensor, 4))["map_errors_update_total", measure.PROCESS_TABLE]
        stats = started.reader.stats
    assert sorted(one.arguments.split()[-1] for one in told if "read line" in one.arguments) == sorted(names)
    missing = [one for one in told if "miss" in one.flags.split()]
    assert len(missing) >= len(names) - 4
    # Each of those was refused at its exec; and at its fork, if that was told of.
    assert len(missing) <= counted <= stats.execs + stats.clones


@pytest.mark.accounts("tetragon_observer_ringbuf_errors_total")
def test_records_that_make_no_sense() -> None:
    started = sensing(Sizes(priority_ring=1 << 20))
    with contextlib.closing(started.sensor):
        for _ in range(10):
            subprocess.run(["/bin/true"], check=True)
        started.sensor.detach()
        raw = bytearray(1 << 20)
        used, _ = started.sensor.priority.drain(raw)
        reader, header = started.reader, started.sensor.decoder.header
        kinds, at = 0, 0
        while at < used:
            size, kind, *_ = header(bytes(raw), at)
            if kind == Kind.EXIT and kinds % 2:
                raw[started.kind_offset + at] = 99
            kinds += kind == Kind.EXIT
            at += size + 7 & ~7
        reader._process_records(bytes(raw[:used]), [])
        bad = values(measure.of_rings(reader))["observer_ringbuf_errors_total",]
    assert kinds >= 10
    assert bad == kinds // 2
    assert reader.stats.exits == kinds - bad
    assert reader.stats.records == reader.stats.execs + reader.stats.exits + reader.stats.clones + bad


POLICY = """
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: seeks}
spec:
  tracepoints:
  - subsystem: syscalls
    event: sys_enter_lseek
    args: [{index: 5, type: uint64}]
    selectors: [{matchArgs: [{index: 5, operator: Equal, values: ["424242"]}]}]
"""
SEEK = "import contextlib, os\nfor _ in range(3):\n    with contextlib.suppress(OSError): os.lseek(424242, 0, 0)"


def test_the_agent_serves_what_it_counts(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    options = ("--metrics-server", "127.0.0.1:0", "--export-rate-limit", "1000000", "--policy", str(policy))
    agent = RunningAgent(tmp_path, *options)
    agent.wait(lambda: "serving metrics" in agent.log(), "metrics")
    url = next(word for word in agent.log().split() if word.startswith("http://"))
    for _ in range(5):
        agent.run("/bin/true")
    agent.run(sys.executable, "-c", SEEK)
    with urllib.request.urlopen(url, timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    found = {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}
    exported = found["tetragon_events_exported_total",]
    by_kind = [value for name, value in found.items() if name[0] == "tetragon_events_total"]
    assert 10 <= exported <= sum(by_kind)
    assert found["lictor_export_events_total", "export file"] <= exported
    assert found["lictor_export_events_lost_total", "export file"] == 0
    assert found["tetragon_observer_ringbuf_events_received_total",] >= 15
    assert found["process_resident_memory_bytes",] > 1e6
    assert any("/bin/true" in name for name in found)
    assert found["tetragon_tracingpolicy_loaded", "enabled"] == 1
    seen = [v for n, v in found.items() if n[0] == "tetragon_policy_events_total" and "seeks" in n]
    acted = [v for n, v in found.items() if n[0] == "tetragon_tracingpolicy_selector_actions_total" and "post" in n]
    assert seen == acted == [3]
    counted = {n[0]: v for n, v in found.items() if n[0].startswith("lictor_policy_")}
    assert counted.pop("lictor_policy_hook_seconds_total", 1) > 0  # a sample of runs: there may be none yet
    assert list(counted.values()) == [0, 0, 0]
    assert agent.stop() == 0
