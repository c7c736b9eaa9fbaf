"""Whatever can go missing is made to: what went in is what came out plus what was counted.

The queues of exports and of clients have such tests in tests/unit (test_exports.py, test_api_server.py).
"""

from __future__ import annotations

import os
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
from lictor.pipeline.reader import Reader
from lictor.sensors.process import ProcessSensor, Sizes
from lictor.track.image import Detail, ImageBuilder
from lictor.track.processes import Tracker
from lictor.wire.layout import compile_layout
from lictor.wire.records import NamespaceInodes

pytestmark = pytest.mark.kernel


@pytest.fixture
def tiny() -> Iterator[tuple[ProcessSensor, Reader, Tracker]]:
    """A sensor whose rings hold a handful of records, and nobody who reads them meanwhile."""
    if os.geteuid() != 0:
        pytest.skip("needs root to load BPF programs")
    sensor = ProcessSensor(Sizes(priority_ring=8192, bulk_ring=8192, argument_bytes=131072))
    sensor.start()
    host = NamespaceInodes(*(0 for _ in NamespaceInodes._fields))
    tracker = Tracker(ImageBuilder(sensor.decoder, WallClock(), Detail("n", False, False, True), host))
    yield sensor, Reader(sensor, tracker), tracker
    sensor.close()


def values(samples: Iterator[Sample]) -> dict[tuple[str, ...], float]:
    return {(one.name.removeprefix("tetragon_"), *one.labels): one.value for one in samples}


def test_records_that_find_no_room_in_a_ring(tiny: tuple[ProcessSensor, Reader, Tracker]) -> None:
    sensor, reader, _ = tiny
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
    assert agent.stop() == 0
