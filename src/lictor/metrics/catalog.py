"""Every metric, declared once: name, kind, meaning, labels. Names that begin with `tetragon_` are those of Tetragon.

docs/reference/metrics.md, the collector, and the checks of alerts and dashboards use this table.
"""

from __future__ import annotations

from typing import NamedTuple


class Metric(NamedTuple):
    """`kind` is counter or gauge. `on_request`: only with `enable-event-metrics`.

    `loss`: it counts what did not come out. A test drives each of those (tests/contract/test_accounts.py).
    """

    kind: str
    meaning: str
    labels: tuple[str, ...] = ()
    on_request: bool = False
    loss: bool = False


def _loss(meaning: str, *labels: str) -> Metric:
    return Metric("counter", meaning, labels, loss=True)


_SELECTOR = ("hook", "hook_index", "policy", "policy_namespace", "selector_index", "selector_label")
WORKLOAD_LABELS = ("namespace", "workload", "pod", "binary", "node_name")

METRICS: dict[str, Metric] = {
    "tetragon_build_info": Metric(
        "gauge", "1, with the version", ("version", "commit", "go_version", "modified", "time")
    ),
    # The rings
    "tetragon_observer_ringbuf_events_received_total": Metric("counter", "records read from both rings"),
    "tetragon_observer_ringbuf_events_lost_total": _loss("records that found no room in a ring"),
    "tetragon_observer_ringbuf_errors_total": _loss("records that made no sense"),
    "tetragon_bpf_missed_events_total": _loss(
        "records that found no room, by ring (`msg_op`: priority or bulk)", "error", "msg_op"
    ),
    "tetragon_msg_op_total": Metric(
        "counter",
        "records by what they tell of (`msg_op`: 5 exec, 7 exit, 23 clone, 24 long values, 13 to 28 hooks)",
        ("msg_op",),
    ),
    "tetragon_cgroup_rate_total": Metric("counter", "beginnings and ends of throttling of cgroups", ("type",)),
    "lictor_cgroup_rate_held_back_total": _loss("records held back for it"),
    "lictor_argument_bytes_lost_total": _loss("bytes of arguments and paths that the kernel could not send"),
    "lictor_argument_bytes_evicted_total": _loss("bytes of long arguments given up before their exec came"),
    "lictor_scratch_busy_total": _loss("records that found no scratch slot in the kernel"),
    # Processes
    "tetragon_process_cache_size": Metric(
        "gauge", "processes the agent knows, ended ones that may still be named included"
    ),
    "tetragon_process_cache_misses_total": _loss(
        "processes that were asked for and not known (`get`: parents, `remove`: ends)", "operation"
    ),
    "tetragon_map_capacity": Metric("gauge", "entries the kernel's process table can hold", ("map",)),
    "tetragon_map_errors_update_total": _loss("processes that found no room in the kernel's table", "map"),
    "lictor_unnamed_cgroups_total": _loss("execs in a cgroup whose path was not told"),
    "tetragon_policyfilter_hook_container_name_missing_total": Metric(
        "counter", "containers that a runtime hook announced without their name"
    ),
    "tetragon_policyfilter_hook_container_image_missing_total": Metric(
        "counter", "containers that a runtime hook announced without their image"
    ),
    "lictor_exits_missed_total": _loss("processes that were gone without an exit record"),
    # Exports
    "tetragon_events_exported_total": Metric("counter", "events handed to the exports"),
    "tetragon_events_exported_bytes_total": Metric("counter", "bytes of JSON handed to the exports"),
    "tetragon_events_last_exported_timestamp": Metric("gauge", "Unix time of the last of them, in seconds"),
    "tetragon_export_ratelimit_events_dropped_total": _loss("events over the export rate limit"),
    "lictor_export_events_total": Metric("counter", "events an export has written or delivered", ("export",)),
    "lictor_export_events_lost_total": _loss("events an export could not take or write", "export"),
    "lictor_export_damaged_bytes_total": _loss("bytes of a spool that could not be read again", "export"),
    "lictor_export_queue_bytes": Metric("gauge", "bytes that wait in an export's queue or spool", ("export",)),
    "lictor_export_rejected_total": _loss("of the lost ones, those a receiver refused", "export"),
    "lictor_export_retries_total": Metric("counter", "failed attempts to reach a receiver", ("export",)),
    "lictor_export_connected": Metric("gauge", "1 while a receiver is connected", ("export",)),
    # Clients
    "tetragon_notify_overflowed_events_total": _loss("events that slow gRPC clients did not get"),
    "lictor_api_refused_total": Metric("counter", "calls of the API by those who may not"),
    "lictor_cel_failures_total": Metric("counter", "times that a client's CEL filter could not be judged on an event"),
    "lictor_grpc_streams": Metric("gauge", "gRPC clients that follow events"),
    # Policies
    "tetragon_tracingpolicy_loaded": Metric("gauge", "policies in this state", ("state",)),
    "tetragon_tracingpolicy_kernel_memory_bytes": Metric(
        "gauge", "kernel memory of the policy", ("policy", "policy_namespace")
    ),
    "tetragon_tracingpolicy_selector_actions_total": Metric(
        "counter",
        "how often an action ran, or would have (monitor_…)",
        ("action", *_SELECTOR),
    ),
    "lictor_policy_hook_seconds_total": Metric(
        "counter",
        "about how long a policy took on a hook: one run of 32 is timed",
        ("hook", "hook_index", "policy", "policy_namespace"),
    ),
    "tetragon_missed_prog_probes_total": _loss(
        "runs that the kernel skipped, because the program ran already on that CPU", "attach", "policy"
    ),
    "tetragon_overhead_program_runs_total": Metric(
        "counter",
        "runs of a program, while kernel.bpf_stats_enabled is on",
        ("attach", "policy", "policy_namespace", "section", "sensor"),
    ),
    "tetragon_overhead_program_seconds_total": Metric(
        "counter",
        "time that it took, while kernel.bpf_stats_enabled is on",
        ("attach", "policy", "policy_namespace", "section", "sensor"),
    ),
    "lictor_policy_events_limited_total": _loss("events that a selector's `rateLimit` held back", *_SELECTOR),
    "lictor_policy_events_lost_total": _loss("events of a selector that found no room in the ring", *_SELECTOR),
    "lictor_policy_failed_reads_total": _loss("values that a hook could not read, and shows as errors", *_SELECTOR),
    "lictor_hooks_missed_total": _loss("runs of a hook that could not be looked at", "where", "reason"),
    # Events
    "tetragon_events_total": Metric("counter", "events", ("type", *WORKLOAD_LABELS), True),
    "tetragon_policy_events_total": Metric("counter", "events of policies", ("policy", "hook", *WORKLOAD_LABELS), True),
    "tetragon_syscalls_total": Metric(
        "counter", "system calls, as raw_syscalls/sys_enter told of them", ("syscall", *WORKLOAD_LABELS), True
    ),
    "tetragon_flags_total": Metric("counter", "execs with this flag", ("type",), True),
}

# Families of Tetragon's that have no source here, and why.
WITHOUT: dict[str, str] = {
    "bpf_error_metrics_total": "a read that fails is an error value in its event",
    "cri_cgidmap_resolutions_total": "containers are known by their cgroups' paths and runtime hooks",
    "cri_cgidmap_resolutions_errors_total": "as above",
    "data_cache_capacity": "long values have a budget in bytes: `lictor_argument_bytes_evicted_total`",
    "data_cache_evictions_total": "as above",
    "data_cache_misses_total": "as above",
    "data_cache_size": "as above",
    "data_event_size": "as above",
    "data_events_total": "`msg_op_total` with `msg_op` 24",
    "debug_events_total": "there are no such records",
    "enforcer_missed_notifications_total": "`lictor_hooks_missed_total`, reason `a notification for the enforcer …`",
    "errors_total": "each error has a metric of its own",
    "event_cache_entries": "events wait for their process one round of the reader, and for nothing else",
    "event_cache_errors_total": "as above",
    "event_cache_fetch_failures_total": "as above",
    "event_cache_fetch_retries_total": "as above",
    "event_cache_inserts_total": "as above",
    "events_missing_process_info_total": "`process_cache_misses_total`",
    "generic_kprobe_merge_pushed_total": "entry and return are joined in the kernel",
    "generic_kprobe_merge_total": "as above; `lictor_hooks_missed_total` has calls that could not be joined",
    "handler_errors_total": "`observer_ringbuf_errors_total`",
    "handling_latency": "not measured",
    "map_entries": "`process_cache_size`; counting the kernel's table would walk it at each scrape",
    "map_errors_delete_total": "an entry that is not there to be deleted is no error here",
    "missed_link_probes_total": "`missed_prog_probes_total`: what the kernel skips it counts per program",
    "observer_ringbuf_queue_events_lost_total": "there is no queue between the rings and the tracker",
    "observer_ringbuf_queue_events_received_total": "as above",
    "policyfilter_operations_total": "workloads are scope bits of processes, no maps of cgroups",
    "process_cache_capacity": "the table holds all living processes",
    "process_cache_early_deletions_total": "as above",
    "process_cache_evictions_total": "as above",
    "process_loader_stats": "`events_total` with `type` PROCESS_LOADER",
    "watcher_delete_pod_cache_evictions": "pods are not watched",
    "watcher_delete_pod_cache_hits": "as above",
    "watcher_errors_total": "as above",
    "watcher_events_total": "as above",
}
