"""The agent's counters as samples of the metrics catalogue."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from lictor import __version__
from lictor.clock import NANOSECONDS
from lictor.daemon.agent import Agent
from lictor.daemon.settings import node_name
from lictor.export.counters import Row
from lictor.export.exports import Exports
from lictor.metrics.collector import Sample, Source
from lictor.metrics.events import EventCounts
from lictor.metrics.server import MetricsServer
from lictor.model.event import Event, EventType
from lictor.pipeline.reader import Reader
from lictor.sensors.process import ProcessSensor
from lictor.track.processes import Tracker

if TYPE_CHECKING:
    from lictor.api.server import ApiServer
    from lictor.daemon.manager import Manager

PROCESS_TABLE = "execve_map"  # what Tetragon calls it


class Measures:
    """Serves all metrics of an agent; a sink, because it counts events."""

    def __init__(self, agent: Agent, exports: Exports, api: ApiServer | None) -> None:
        settings, (sensor, tracker, reader, policies) = agent.settings, agent.parts
        sources: list[Source] = [
            of_build,
            partial(of_rings, reader),
            partial(of_sensor, sensor, settings.process_table_entries),
            partial(of_tracker, tracker),
            partial(of_hooks, reader),
            partial(of_programs, sensor, reader),
            partial(of_exports, exports),
        ]
        if api is not None:
            sources.append(partial(of_api, api))
        sources.append(lambda: of_policies(policies.known) if policies.known is not None else ())
        self._counts: EventCounts | None = None
        if settings.enable_event_metrics:
            self._counts = EventCounts(settings.metrics_label_filter, node_name(settings))
            sources.append(self._counts.samples)
        self._server = MetricsServer(settings.metrics_server, sources)

    def accept(self, events: Sequence[Event]) -> None:
        if self._counts is not None:
            self._counts.accept(events)

    async def close(self) -> None:
        await asyncio.to_thread(self._server.close)


def of_build() -> Iterator[Sample]:
    yield Sample("tetragon_build_info", 1, (__version__, "", "", "", ""))


def of_rings(reader: Reader) -> Iterator[Sample]:
    """Lost are the larger of what the kernel counted and what is missing in the numbers: both see the same losses."""
    priority, bulk = reader.lost()
    yield Sample("tetragon_observer_ringbuf_events_received_total", reader.stats.records)
    yield Sample("tetragon_observer_ringbuf_events_lost_total", priority + bulk)
    unreadable = reader.stats.bad + (reader.hooks.bad if reader.hooks is not None else 0)
    yield Sample("tetragon_observer_ringbuf_errors_total", unreadable)
    yield from _of_operations(reader)
    yield Sample("tetragon_bpf_missed_events_total", priority, ("ENOSPC", "priority"))
    yield Sample("tetragon_bpf_missed_events_total", bulk, ("ENOSPC", "bulk"))
    if reader.throttle is not None:
        yield Sample("tetragon_cgroup_rate_total", reader.throttle.started, ("throttle_start",))
        yield Sample("tetragon_cgroup_rate_total", reader.throttle.stopped, ("throttle_stop",))
        yield Sample("lictor_cgroup_rate_held_back_total", reader.throttle.held_back)


# The numbers that the reference has for what its programs send.
_HOOKS = {
    EventType.PROCESS_KPROBE: 13,
    EventType.PROCESS_TRACEPOINT: 14,
    EventType.PROCESS_UPROBE: 15,
    EventType.PROCESS_LSM: 16,
    EventType.PROCESS_LOADER: 26,
    EventType.PROCESS_USDT: 28,
}


def _of_operations(reader: Reader) -> Iterator[Sample]:
    stats = reader.stats
    counted = {5: stats.execs, 7: stats.exits, 23: stats.clones, 24: stats.chunks}
    if reader.hooks is not None:
        counted |= {number: reader.hooks.made[kind] for kind, number in _HOOKS.items()}
    for number, count in counted.items():
        yield Sample("tetragon_msg_op_total", count, (str(number),))


def of_programs(sensor: ProcessSensor, reader: Reader) -> Iterator[Sample]:
    """What the kernel counted of our programs: nothing unless kernel.bpf_stats_enabled is on."""
    own = ((name, "", "base", info) for name, info in sensor.programs())
    hooks = ((name, policies, "generic", info) for name, policies, info in reader.programs())
    for name, policies, kind, info in (*own, *hooks):
        labels = (name, policies, "", name, kind)
        yield Sample("tetragon_overhead_program_runs_total", info.run_count, labels)
        yield Sample("tetragon_overhead_program_seconds_total", info.run_time_ns / NANOSECONDS, labels)


def of_hooks(reader: Reader) -> Iterator[Sample]:
    """What our programs missed; those of policies from the first policy on."""
    yield Sample("tetragon_missed_prog_probes_total", reader.told_skipped, ("process", ""))
    for (where, why), count in (reader.hooks.missed if reader.hooks is not None else {}).items():
        kind, _, name = where.partition(" ")
        if kind == "program":
            yield Sample("tetragon_missed_prog_probes_total", count, (name, ""))
        else:
            yield Sample("lictor_hooks_missed_total", count, (where, why))


def of_sensor(sensor: ProcessSensor, table_entries: int) -> Iterator[Sample]:
    counted = sensor.counters()
    yield Sample("lictor_argument_bytes_lost_total", counted.bytes_lost)
    yield Sample("lictor_scratch_busy_total", counted.scratch_busy)
    yield Sample("tetragon_map_capacity", table_entries, (PROCESS_TABLE,))
    yield Sample("tetragon_map_errors_update_total", counted.table_full, (PROCESS_TABLE,))


def of_tracker(tracker: Tracker) -> Iterator[Sample]:
    yield Sample("tetragon_process_cache_size", len(tracker))
    yield Sample("tetragon_process_cache_misses_total", tracker.misses, ("get",))
    yield Sample("tetragon_process_cache_misses_total", tracker.forgotten, ("remove",))
    yield Sample("lictor_argument_bytes_evicted_total", tracker.chunks.evicted_bytes)
    yield Sample("lictor_unnamed_cgroups_total", tracker.unnamed_cgroups)
    yield Sample("lictor_exits_missed_total", tracker.ends_missed)
    announced = tracker.cgroups.announced
    yield Sample("tetragon_policyfilter_hook_container_name_missing_total", announced.names_missing)
    yield Sample("tetragon_policyfilter_hook_container_image_missing_total", announced.images_missing)


def of_exports(exports: Exports) -> Iterator[Sample]:
    yield Sample("tetragon_events_exported_total", exports.events)
    yield Sample("tetragon_events_exported_bytes_total", exports.bytes)
    yield Sample("tetragon_events_last_exported_timestamp", exports.last)
    yield Sample("tetragon_export_ratelimit_events_dropped_total", exports.limit.dropped)
    for outlet in exports.outlets:
        yield Sample("lictor_export_events_total", outlet.written, (outlet.name,))
        yield Sample("lictor_export_events_lost_total", outlet.lost, (outlet.name,))
        yield Sample("lictor_export_queue_bytes", outlet.queued_bytes, (outlet.name,))
        for name, row in outlet.rows():
            yield from _of_target(name, row)


def _of_target(name: str, row: Row) -> Iterator[Sample]:
    yield Sample("lictor_export_events_total", row.get("delivered"), (name,))
    yield Sample("lictor_export_events_lost_total", row.get("lost") + row.get("rejected"), (name,))
    yield Sample("lictor_export_damaged_bytes_total", row.get("damaged_bytes"), (name,))
    yield Sample("lictor_export_rejected_total", row.get("rejected"), (name,))
    yield Sample("lictor_export_queue_bytes", row.get("waiting_bytes"), (name,))
    yield Sample("lictor_export_retries_total", row.get("retries"), (name,))
    yield Sample("lictor_export_connected", row.get("connected"), (name,))


def of_api(api: ApiServer) -> Iterator[Sample]:
    yield Sample("tetragon_notify_overflowed_events_total", api.listeners.dropped)
    yield Sample("lictor_api_refused_total", api.refused)
    yield Sample("lictor_cel_failures_total", api.expressions_failed)
    yield Sample("lictor_grpc_streams", len(api.listeners))


_STATES = ("disabled", "enabled", "error", "load_error", "partially_enabled", "skipped")


def of_policies(manager: Manager) -> Iterator[Sample]:
    """Asked from the thread of a scrape, which may wait for a change that is under way."""
    manager.count()
    found = manager.statuses()
    states = Counter(one.state.name.lower() for one in found)
    for state in _STATES:
        yield Sample("tetragon_tracingpolicy_loaded", states[state], (state,))
    for one in found:
        labels = (one.name, one.namespace)
        yield Sample("tetragon_tracingpolicy_kernel_memory_bytes", one.kernel_memory, labels)
        for row in one.selectors:
            where = (row.hook, str(row.hook_index), *labels, str(row.selector_index), row.label)
            for action in row.counters.__dataclass_fields__:
                count = getattr(row.counters, action)
                yield Sample("tetragon_tracingpolicy_selector_actions_total", count, (action, *where))
            yield Sample("lictor_policy_events_limited_total", row.limited, where)
            yield Sample("lictor_policy_events_lost_total", row.lost, where)
            yield Sample("lictor_policy_failed_reads_total", row.failed_reads, where)
        # A list of functions is one hook of the policy's text, and several of the kernel's.
        times = {(row.hook, str(row.hook_index)): row.hook_ns for row in one.selectors}
        for hook, took in times.items():
            yield Sample("lictor_policy_hook_seconds_total", took / NANOSECONDS, (*hook, *labels))
