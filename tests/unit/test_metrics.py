"""Metrics: what is served is what the catalogue says, and alerts and dashboard ask for nothing else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from lictor.errors import LictorError
from lictor.metrics import events as event_metrics
from lictor.metrics.catalog import METRICS, WITHOUT
from lictor.metrics.collector import Sample
from lictor.metrics.events import EventCounts, hook_name
from lictor.metrics.server import MetricsServer, parse
from lictor.model.arguments import Argument, LongArg, SyscallId, SyscallIdArg
from lictor.model.event import Event, ExecEvent, LossEvent
from lictor.model.forms import WholeForms
from lictor.model.hook import HookEvent, KprobeAction, KprobeBody, TracepointBody, UprobeBody
from lictor.model.process import Pod, Process

DEPLOY = Path(__file__).parents[2] / "deploy"
# What the library itself, and Prometheus, add.
STANDARD = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}


def every_metric() -> Iterator[Sample]:
    for number, (name, metric) in enumerate(METRICS.items()):
        yield Sample(name, number, tuple(f"{label}-value" for label in metric.labels))


@pytest.fixture
def scraped() -> Iterator[str]:
    server = MetricsServer("127.0.0.1:0", [every_metric])
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as answer:
            yield answer.read().decode()
    finally:
        server.close()


def test_a_scrape_has_every_metric_under_its_name(scraped: str) -> None:
    found = {sample.name: sample for family in text_string_to_metric_families(scraped) for sample in family.samples}
    assert STANDARD - {"up"} <= found.keys()
    for number, (name, metric) in enumerate(METRICS.items()):
        assert found[name].value == number
        assert found[name].labels.keys() == set(metric.labels)
        assert metric.kind == ("counter" if name.endswith("_total") else "gauge")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus is not installed")
def test_prometheus_itself_accepts_metrics_and_alerts(scraped: str) -> None:
    done = subprocess.run(["promtool", "check", "metrics"], input=scraped, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    rules = DEPLOY / "prometheus" / "lictor.rules.yaml"
    assert subprocess.run(["promtool", "check", "rules", str(rules)], check=False, capture_output=True).returncode == 0


def _asked() -> list[tuple[str, str]]:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "lictor.rules.yaml").read_text())
    found = [(rule["alert"], rule["expr"]) for group in rules["groups"] for rule in group["rules"]]
    dashboard = json.loads((DEPLOY / "grafana" / "lictor.json").read_text())
    for panel in dashboard["panels"]:
        found += [(panel["title"], target["expr"]) for target in panel["targets"]]
    return found


@pytest.mark.parametrize(("where", "expression"), _asked())
def test_alerts_and_dashboard_ask_for_what_there_is(where: str, expression: str) -> None:
    bare = re.sub(r'"[^"]*"', '""', expression)
    names = set(re.findall(r"\b(?:tetragon|lictor|process)_\w+|\bup\b", bare))
    assert names, where
    assert names <= METRICS.keys() | STANDARD
    for labels in re.findall(r"by \(([^)]*)\)", bare):
        known = {"instance"}.union(*(METRICS[name].labels for name in names & METRICS.keys()))
        assert set(re.split(r",\s*", labels)) <= known


def test_the_dashboard_lists_each_panel_once() -> None:
    panels: list[dict[str, Any]] = json.loads((DEPLOY / "grafana" / "lictor.json").read_text())["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len({panel["id"] for panel in panels}) == len(panels)


@pytest.mark.parametrize("address", ["2112", "host", "host:port", "host:99999", ""])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(LictorError, match="host:port"):
        parse(address)


def test_addresses() -> None:
    assert parse(":2112") == ("0.0.0.0", 2112)
    assert parse("[::1]:1") == ("::1", 1)
    server = MetricsServer("127.0.0.1:0", [])
    with pytest.raises(LictorError, match="choose another"):
        MetricsServer(f"127.0.0.1:{server.port}", [])
    server.close()


def image(binary: str) -> WholeForms:
    return WholeForms(Process(exec_id="x", binary=binary, pod=Pod("ns", f"pod-{binary}", workload="web")))


def test_events_count_by_the_labels_that_are_wanted() -> None:
    body = KprobeBody(function_name="tcp_connect", policy_name="p", action=KprobeAction.POST)
    events: list[Event] = [ExecEvent(1, image("/a"), None), ExecEvent(2, image("/b"), None), LossEvent(1, 1, "x", "y")]
    events.append(HookEvent(3, image("/a"), None, 1, body))
    counts = EventCounts(("namespace", "workload"), "n1")
    counts.accept(events)
    found = {(s.name, *s.labels): s.value for s in counts.samples()}
    assert found == {
        ("tetragon_events_total", "PROCESS_EXEC", "ns", "web", "", "", ""): 2,
        ("tetragon_events_total", "RATE_LIMIT_INFO", "", "", "", "", ""): 1,
        ("tetragon_events_total", "PROCESS_KPROBE", "ns", "web", "", "", ""): 1,
        ("tetragon_policy_events_total", "p", "kprobe:tcp_connect", "ns", "web", "", "", ""): 1,
    }
    every = EventCounts(("pod", "binary", "node_name"), "n1")
    every.accept(events[:1])
    assert [s.labels for s in every.samples()] == [("PROCESS_EXEC", "", "", "pod-/a", "/a", "n1")]


def test_made_up_binaries_fill_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_metrics, "SERIES", 3)
    counts = EventCounts(("binary",), "")
    for number in range(10):
        counts.accept([ExecEvent(1, image(f"/{number}"), None)])
    found = {s.labels[4]: s.value for s in counts.samples()}
    assert found == {"/0": 1, "/1": 1, "/2": 1, "other": 7}


def test_system_calls_and_flags_are_counted() -> None:
    counts = EventCounts(("binary",), "node")
    who = WholeForms(Process(binary="/bin/x", flags="execve clone", pid=1))

    def enters(*arguments: Argument) -> HookEvent:
        body = TracepointBody(
            subsys="raw_syscalls", event="sys_enter", args=arguments, policy_name="p", action=KprobeAction.POST
        )
        return HookEvent(1, who, None, 1, body)

    unknown = SyscallIdArg(SyscallId(99999, "x64"))
    counts.accept(
        [
            enters(SyscallIdArg(SyscallId(137, "x64"))),
            enters(LongArg("137")),
            enters(unknown),
            enters(),
            *[ExecEvent(1, who, None)] * 2,
        ]
    )
    found = {(one.name, one.labels[0]): one.value for one in counts.samples()}
    assert found["tetragon_syscalls_total", "statfs"] == 2
    assert found["tetragon_syscalls_total", "99999"] == 1
    assert found["tetragon_flags_total", "execve"] == found["tetragon_flags_total", "clone"] == 2
    assert sum(name == "tetragon_syscalls_total" for name, _ in found) == 2


# Those of the reference, without the prefix.
REFERENCE = """
bpf_error_metrics_total bpf_missed_events_total build_info cgroup_rate_total cri_cgidmap_resolutions_total
cri_cgidmap_resolutions_errors_total data_cache_capacity data_cache_evictions_total data_cache_misses_total
data_cache_size data_event_size data_events_total debug_events_total enforcer_missed_notifications_total errors_total
event_cache_entries event_cache_errors_total event_cache_fetch_failures_total event_cache_fetch_retries_total
event_cache_inserts_total events_exported_bytes_total events_exported_total events_last_exported_timestamp
events_missing_process_info_total export_ratelimit_events_dropped_total flags_total generic_kprobe_merge_pushed_total
generic_kprobe_merge_total handler_errors_total handling_latency map_capacity map_entries map_errors_delete_total
map_errors_update_total missed_link_probes_total missed_prog_probes_total msg_op_total notify_overflowed_events_total
observer_ringbuf_errors_total observer_ringbuf_events_lost_total observer_ringbuf_events_received_total
observer_ringbuf_queue_events_lost_total observer_ringbuf_queue_events_received_total overhead_program_runs_total
overhead_program_seconds_total policyfilter_hook_container_image_missing_total
policyfilter_hook_container_name_missing_total policyfilter_operations_total process_cache_capacity
process_cache_early_deletions_total process_cache_evictions_total process_cache_misses_total process_cache_size
process_loader_stats tracingpolicy_kernel_memory_bytes tracingpolicy_loaded tracingpolicy_selector_actions_total
watcher_delete_pod_cache_evictions watcher_delete_pod_cache_hits watcher_errors_total watcher_events_total
events_total policy_events_total syscalls_total
"""


def test_every_family_of_the_reference_is_here_or_has_a_reason() -> None:
    ours = {name.removeprefix("tetragon_") for name in METRICS if name.startswith("tetragon_")}
    assert ours | WITHOUT.keys() == set(REFERENCE.split())
    assert not ours & WITHOUT.keys()


def test_names_of_hooks() -> None:
    action = KprobeAction.POST
    tracepoint = TracepointBody(subsys="sched", event="sched_switch", policy_name="p", action=action)
    uprobe = UprobeBody(path="/bin/bash", symbol="readline", policy_name="p", action=action)
    named = [hook_name(HookEvent(1, image("/a"), None, 1, body)) for body in (tracepoint, uprobe)]
    assert named == ["tracepoint:sched/sched_switch", "uprobe:/bin/bash:readline"]
