"""Settings of Tetragon's agent: those that have another name here, and those that are none of ours, with the reason.

Who comes from there is understood, or told; never left guessing.
"""

from __future__ import annotations

_BUILT_IN = "the BPF objects are part of Lictor and fit every kernel it runs on"
_NO_VARIANTS = "there is one object for all kernels"
_ABILITY = "what the kernel can do is tried; see `lictor probe`"
_PYTHON = "Lictor is no Go program"
_KUBERNETES = "this version does not ask Kubernetes; runtime hooks can name containers and pods (RuntimeHook)"
_RUNTIME = "containers are known by their cgroups' paths, and by runtime hooks (RuntimeHook)"
_WAITING = "events wait for their process, and for nothing else"
_BOUNDED = "caches are bounded by what lives, see docs/limits.md"

SAME: dict[str, str] = {
    "tracing_policy": "policy",
    "tracing_policy_dir": "policy_dir",
    "execve_map_entries": "process_table_entries",
}

NOT_HERE: dict[str, str] = {
    "bpf_lib": _BUILT_IN,
    "btf": "the kernel's own BTF is used",
    "kernel": _ABILITY,
    "force_small_progs": _NO_VARIANTS,
    "force_large_progs": _NO_VARIANTS,
    "disable_kprobe_multi": _ABILITY,
    "use_perf_ring_buffer": "ring buffers are used on every kernel",
    "rb_size_total": "rb-size is the size of the whole ring, for all CPUs",
    "rb_queue_size": "records are read straight from the ring",
    "event_queue_size": "records are read straight from the ring",
    "gops_address": _PYTHON,
    "pprof_address": _PYTHON,
    "cpuprofile": _PYTHON,
    "memprofile": _PYTHON,
    "process_cache_size": _BOUNDED,
    "process_cache_gc_interval": _BOUNDED,
    "data_cache_size": _BOUNDED,
    "execve_map_size": "use process-table-entries, which counts processes",
    "disable_process_cache": "events need it",
    "debug": "use log-level: debug",
    "bpf_dir": "nothing is pinned",
    "procfs": "the agent sees the machine's own /proc",
    "netns_dir": "network namespaces are told by number",
    "verbose": "what the verifier says of a program it refuses is in the error",
    "log_file": "the log goes to standard error, which systemd keeps",
    "generate_docs": "docs/reference has them",
    "username_metadata": "names of users are resolved where events are shown",
    "event_cache_retries": _WAITING,
    "event_cache_retry_delay": _WAITING,
    "retprobes_cache_size": "entry and return are joined in the kernel",
    "parents_map_enabled": "parents are in the process table",
    "parents_map_entries": "parents are in the process table",
    "parents_map_size": "parents are in the process table",
    "sleepable_preload_size": "no program needs a preload",
    "release_pinned_bpf": "nothing is pinned; `lictor detach` takes away what a crash left",
    "keep_sensors_on_exit": "nothing is pinned: programs go with the agent",
    "expose_stack_addresses": "addresses of the kernel are never shown",
    "enable_tracing_policy_crd": _KUBERNETES,
    "enable_policy_filter": _KUBERNETES,
    "enable_policy_filter_cgroup_map": _KUBERNETES,
    "enable_policy_filter_debug": _KUBERNETES,
    "enable_deprecated_tracingpolicy_grpc": "EnableTracingPolicy and DisableTracingPolicy are always served",
    "enable_k8s_api": _KUBERNETES,
    "k8s_kubeconfig_path": _KUBERNETES,
    "k8s_controlplane_retry": _KUBERNETES,
    "enable_pod_info": _KUBERNETES,
    "enable_pod_annotations": _KUBERNETES,
    "deleted_pod_cache_size": _KUBERNETES,
    "enable_cri": _RUNTIME,
    "cri_endpoint": _RUNTIME,
    "enable_cgidmap": _RUNTIME,
    "enable_cgidmap_debug": _RUNTIME,
    "enable_cgtrackerid": _RUNTIME,
    "health_server_address": "grpc.health.v1 is served on every server-address",
    "health_server_interval": "health is told when it changes",
    "enable_msg_handling_latency": "it is not measured",
    "enable_pid_set_filter": "pid_set filters exports without being asked",
}
