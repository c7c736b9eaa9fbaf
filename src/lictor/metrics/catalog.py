"""Every metric, declared once: name, kind, meaning, labels. Names that begin with `tetragon_` are those of Tetragon.

docs/reference/metrics.md, the collector, and the checks of alerts and dashboards use this table.
"""

from __future__ import annotations

from typing import NamedTuple


class Metric(NamedTuple):
    """`kind` is counter or gauge. `on_request`: only with `enable-event-metrics`."""

    kind: str
    meaning: str
    labels: tuple[str, ...] = ()
    on_request: bool = False


WORKLOAD_LABELS = ("namespace", "workload", "pod", "binary", "node_name")

METRICS: dict[str, Metric] = {
    "tetragon_build_info": Metric(
        "gauge", "1, with the version", ("version", "commit", "go_version", "modified", "time")
    ),
    # The rings
    "tetragon_observer_ringbuf_events_received_total": Metric("counter", "records read from both rings"),
    "tetragon_observer_ringbuf_events_lost_total": Metric("counter", "records that found no room in a ring"),
    "tetragon_observer_ringbuf_errors_total": Metric("counter", "records that made no sense"),
    "tetragon_bpf_missed_events_total": Metric(
        "counter", "records that found no room, by ring (`msg_op`: priority or bulk)", ("error", "msg_op")
    ),
    "tetragon_cgroup_rate_total": Metric("counter", "beginnings and ends of throttling of cgroups", ("type",)),
    "lictor_cgroup_rate_held_back_total": Metric("counter", "records held back for it"),
    "lictor_argument_bytes_lost_total": Metric(
        "counter", "bytes of arguments and paths that the kernel could not send"
    ),
    "lictor_argument_bytes_evicted_total": Metric("counter", "bytes of long arguments given up before their exec came"),
    "lictor_scratch_busy_total": Metric("counter", "records that found no scratch slot in the kernel"),
    # Processes
    "tetragon_process_cache_size": Metric(
        "gauge", "processes the agent knows, ended ones that may still be named included"
    ),
    "tetragon_process_cache_misses_total": Metric(
        "counter", "processes that were asked for and not known (`get`: parents, `remove`: ends)", ("operation",)
    ),
    "tetragon_map_capacity": Metric("gauge", "entries the kernel's process table can hold", ("map",)),
    "tetragon_map_errors_update_total": Metric(
        "counter", "processes that found no room in the kernel's table", ("map",)
    ),
    "lictor_unnamed_cgroups_total": Metric("counter", "execs in a cgroup whose path was not told"),
    "tetragon_policyfilter_hook_container_name_missing_total": Metric(
        "counter", "containers that a runtime hook announced without their name"
    ),
    "tetragon_policyfilter_hook_container_image_missing_total": Metric(
        "counter", "containers that a runtime hook announced without their image"
    ),
    "lictor_exits_missed_total": Metric("counter", "processes that were gone without an exit record"),
    # Exports
    "tetragon_events_exported_total": Metric("counter", "events handed to the exports"),
    "tetragon_events_exported_bytes_total": Metric("counter", "bytes of JSON handed to the exports"),
    "tetragon_events_last_exported_timestamp": Metric("gauge", "Unix time of the last of them, in seconds"),
    "tetragon_export_ratelimit_events_dropped_total": Metric("counter", "events over the export rate limit"),
    "lictor_export_events_total": Metric("counter", "events an export has written or delivered", ("export",)),
    "lictor_export_events_lost_total": Metric("counter", "events an export could not take or write", ("export",)),
    "lictor_export_queue_bytes": Metric("gauge", "bytes that wait in an export's queue or spool", ("export",)),
    "lictor_export_rejected_total": Metric("counter", "of the lost ones, those a receiver refused", ("export",)),
    "lictor_export_retries_total": Metric("counter", "failed attempts to reach a receiver", ("export",)),
    "lictor_export_connected": Metric("gauge", "1 while a receiver is connected", ("export",)),
    # Clients
    "tetragon_notify_overflowed_events_total": Metric("counter", "events that slow gRPC clients did not get"),
    "lictor_api_refused_total": Metric("counter", "calls of the API by those who may not"),
    "lictor_cel_failures_total": Metric("counter", "times that a client's CEL filter could not be judged on an event"),
    "lictor_grpc_streams": Metric("gauge", "gRPC clients that follow events"),
    # Policies
    "tetragon_tracingpolicy_loaded": Metric("gauge", "policies in this state", ("state",)),
    "tetragon_tracingpolicy_kernel_memory_bytes": Metric(
        "gauge", "kernel memory of the policy, estimated", ("policy", "policy_namespace")
    ),
    "tetragon_tracingpolicy_selector_actions_total": Metric(
        "counter",
        "how often an action ran, or would have (monitor_…)",
        ("action", "hook", "hook_index", "policy", "policy_namespace", "selector_index", "selector_label"),
    ),
    "tetragon_missed_prog_probes_total": Metric(
        "counter", "runs that the kernel skipped, because the program ran already on that CPU", ("attach", "policy")
    ),
    "lictor_hooks_missed_total": Metric("counter", "runs of a hook that could not be looked at", ("where", "reason")),
    # Events
    "tetragon_events_total": Metric("counter", "events", ("type", *WORKLOAD_LABELS), True),
    "tetragon_policy_events_total": Metric("counter", "events of policies", ("policy", "hook", *WORKLOAD_LABELS), True),
}
