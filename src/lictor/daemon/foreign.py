"""Settings of Tetragon's agent that are none of ours, and why: who comes from there is told, not left guessing."""

from __future__ import annotations

_BUILT_IN = "the BPF objects are part of Lictor and fit every kernel it runs on"
_NO_VARIANTS = "there is one object for all kernels"
_ABILITY = "what the kernel can do is tried; see `lictor probe`"
_PYTHON = "Lictor is no Go program"
_BOUNDED = "caches are bounded by what lives, see docs/limits.md"

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
    "execve_map_entries": "use process-table-entries",
    "execve_map_size": "use process-table-entries",
    "disable_process_cache": "events need it",
    "debug": "use log-level: debug",
}
