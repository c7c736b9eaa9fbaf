"""Events by kind, policy and workload: the only metrics that cost something per event, and only when asked for.

An event costs one look into a dictionary per kind of process; labels are made when a scrape asks.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence

from lictor.catalog import syscalls
from lictor.metrics.catalog import WORKLOAD_LABELS
from lictor.metrics.collector import Sample
from lictor.model.arguments import SyscallIdArg
from lictor.model.event import Event, EventType
from lictor.model.hook import HookEvent, TracepointBody
from lictor.model.process import Process

SERIES = 10_000
OTHER = "other"
_KEPT = 2048  # processes whose labels are
_NOBODY = Process()
_NAMES = {kind: kind.name for kind in EventType}
_NATIVE = syscalls.NATIVE.get(os.uname().machine, "x64")
_Labels = tuple[str, ...]


class EventCounts:
    """Counts what it is given. `labels` are those of WORKLOAD_LABELS that are filled; the others stay empty.

    Beyond `SERIES` series events count for a workload whose labels are `other`: an attacker who makes up names of
    binaries must not fill our memory, nor Prometheus's.
    """

    def __init__(self, labels: Sequence[str], node_name: str) -> None:
        self._wanted = frozenset(labels)
        self._node = node_name if "node_name" in self._wanted else ""
        self._events: dict[tuple[str, _Labels], int] = {}
        self._workloads: dict[int, tuple[Process, _Labels]] = {}
        self._policies: dict[tuple[str, str, _Labels], int] = {}
        self._calls: dict[tuple[str, _Labels], int] = {}
        self._flags: dict[str, int] = {}
        self._other = tuple(OTHER if name in self._wanted else "" for name in WORKLOAD_LABELS[:-1])

    def accept(self, events: Sequence[Event]) -> None:
        counts, room = self._events, len(self._events) < SERIES
        known = self._workloads
        for event in events:
            process = event.process.shared if event.process is not None else _NOBODY
            held = known.get(id(process))
            workload = held[1] if held is not None else self._workload(process)
            key = (_NAMES[event.kind], workload)
            if key not in counts and not room:
                key = (key[0], self._other)
            counts[key] = counts.get(key, 0) + 1
            if isinstance(event, HookEvent):
                self._count_policy(event, workload)
            elif event.kind is EventType.PROCESS_EXEC:
                self._flags[process.flags] = self._flags.get(process.flags, 0) + 1

    def samples(self) -> Iterator[Sample]:
        # Copies: the loop goes on counting while another thread reads.
        for (kind, workload), count in dict(self._events).items():
            yield Sample("tetragon_events_total", count, (kind, *workload, self._node))
        for (policy, hook, workload), count in dict(self._policies).items():
            yield Sample("tetragon_policy_events_total", count, (policy, hook, *workload, self._node))
        for (call, workload), count in dict(self._calls).items():
            yield Sample("tetragon_syscalls_total", count, (call, *workload, self._node))
        flags: Counter[str] = Counter()
        for words, count in dict(self._flags).items():
            flags.update(dict.fromkeys(words.split(), count))
        for flag, count in flags.items():
            yield Sample("tetragon_flags_total", count, (flag,))

    def _count_policy(self, event: HookEvent, workload: _Labels) -> None:
        policy = getattr(event.body, "policy_name", "")
        key = (policy, hook_name(event), workload)
        if key not in self._policies and len(self._policies) >= SERIES:
            key = (policy, key[1], self._other)
        self._policies[key] = self._policies.get(key, 0) + 1
        if isinstance(event.body, TracepointBody) and event.body.subsys == "raw_syscalls":
            self._count_call(event.body, workload)

    def _count_call(self, body: TracepointBody, workload: _Labels) -> None:
        name = entered(body)
        key = (name, workload if (name, workload) in self._calls or len(self._calls) < SERIES else self._other)
        if name:
            self._calls[key] = self._calls.get(key, 0) + 1

    def _workload(self, process: Process) -> _Labels:
        wanted, pod = self._wanted, process.pod
        labels = (
            pod.namespace if pod and "namespace" in wanted else "",
            pod.workload if pod and "workload" in wanted else "",
            pod.name if pod and "pod" in wanted else "",
            process.binary if "binary" in wanted else "",
        )
        if len(self._workloads) >= _KEPT:
            self._workloads.clear()
        # Kept with its process: while it is, no other can have its id.
        self._workloads[id(process)] = process, labels
        return labels


def entered(body: TracepointBody) -> str:
    """The system call of a raw_syscalls/sys_enter: its name, or its number where it has none; else empty."""
    first = body.args[0] if body.event == "sys_enter" and body.args else None
    if isinstance(first, SyscallIdArg):
        return syscalls.name_of(first.syscall_id.abi, first.syscall_id.id) or str(first.syscall_id.id)
    number = getattr(first, "long_arg", "") or getattr(first, "size_arg", "")
    return (syscalls.name_of(_NATIVE, int(number)) or number) if number else ""


def hook_name(event: HookEvent) -> str:
    """`kprobe:tcp_connect`, `tracepoint:sched/sched_switch`, `uprobe:/bin/bash:readline`."""
    body = event.body
    kind = body.member.removeprefix("process_")
    if function := getattr(body, "function_name", ""):
        return f"{kind}:{function}"
    if subsystem := getattr(body, "subsys", ""):
        return f"{kind}:{subsystem}/{getattr(body, 'event', '')}"
    parts = (getattr(body, name, "") for name in ("path", "provider", "symbol", "name"))
    return ":".join([kind, *filter(None, parts)])
