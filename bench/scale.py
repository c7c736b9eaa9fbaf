#!/usr/bin/env python3
"""What many hooks cost: a policy on N distinct hooks, further ones on the same, all removed (root).

python bench/scale.py [tracepoint raw_tracepoint kprobe.multi kprobe fentry] [--hooks 300] [--policies 100]

Prints one line of JSON per way, with the seconds of each step. A way that the kernel has not is left out, and said.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from lictor.host import features
from lictor.host.gather import gather
from lictor.policy.compile import compile_policy
from lictor.policy.machine import Machine
from lictor.policy.plan import AttachKind, Plan
from lictor.sensors.policies import open_engine
from lictor.sensors.process import ProcessSensor, Sizes

HEAD = "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: NAME}\nspec:\n"
# Nothing that this very program does a million times a second.
_LEFT_OUT = ("raw_syscalls/", "ftrace/", "kmem/", "rcu/", "timer/", "irq/", "lock/", "bpf_", "preemptirq/")


def tracepoints(machine: Machine, count: int, raw: bool) -> str:
    known = set(machine.facts.raw_tracepoints)
    names = [
        name
        for name in machine.facts.tracepoints()
        if not name.startswith(("syscalls/", *_LEFT_OUT)) and name.partition("/")[2] in known
    ]
    lines = [
        f"  - {{subsystem: {subsystem}, event: {event}, raw: {str(raw).lower()}, {SELECTOR}}}"
        for subsystem, _, event in (name.partition("/") for name in names[:count])
    ]
    return "  tracepoints:\n" + "\n".join(lines)


def functions(machine: Machine, count: int, option: str, section: str = "kprobes") -> str:
    names = []
    for line in machine.facts.function_names():
        if not line.startswith(("security_", "vfs_", "tcp_")):
            continue
        found = machine.function(line)
        lack = found is None or (found.fentry if section == "fentries" else found.kprobe)
        # Trampolines hand on six arguments before Linux 6.6.
        few = found is not None and (found.prototype is None or len(found.prototype.parameters) <= 6)
        if few and not lack:
            names.append(line)
    listed = "\n".join(f"    - {name}" for name in names[:count])
    return f"""  lists:
  - name: all
    values:
{listed}
  options: [{{name: disable-kprobe-multi, value: "{option}"}}]
  {section}:
  - call: list:all
    syscall: false
    {SELECTOR}"""


SELECTOR = "selectors: [{matchPIDs: [{operator: In, values: [1]}]}]"
WAYS: dict[str, tuple[AttachKind, Callable[[Machine, int], str]]] = {
    "tracepoint": (AttachKind.TRACEPOINT, lambda machine, count: tracepoints(machine, count, False)),
    "raw_tracepoint": (AttachKind.RAW_TRACEPOINT, lambda machine, count: tracepoints(machine, count, True)),
    "kprobe.multi": (AttachKind.KPROBE_MULTI, lambda machine, count: functions(machine, count, "0")),
    "kprobe": (AttachKind.KPROBE, lambda machine, count: functions(machine, count, "1")),
    "fentry": (AttachKind.FENTRY, lambda machine, count: functions(machine, count, "1", "fentries")),
}


def plan(machine: Machine, spec: str, name: str) -> Plan:
    done = compile_policy((HEAD.replace("NAME", name) + spec + "\n").encode(), name, machine)
    if done.plan is None:
        sys.exit(f"the policy does not compile: {done.diagnostics[:3]}")
    return done.plan


_OF_OTHERS = ("MemFree", "Buffers", "Cached", "AnonPages")


def of_the_kernel() -> int:
    """Kilobytes of memory that is neither free nor of processes and files. Others move it too, by some hundred."""
    words = Path("/proc/meminfo").read_text().split()
    total, *others = (int(words[words.index(f"{name}:") + 1]) for name in ("MemTotal", *_OF_OTHERS))
    return total - sum(others)


def measure(machine: Machine, kind: AttachKind, spec: str, policies: int) -> dict[str, float]:
    one, two = plan(machine, spec, "one"), plan(machine, spec, "two")
    assert {attach.kind for hook in one.hooks for attach in hook.attaches} == {kind}
    few = msgspec.structs.replace(one, hooks=one.hooks[:3])
    more = [msgspec.structs.replace(few, name=f"more-{number}") for number in range(policies)]
    sensor = ProcessSensor(Sizes(1 << 20, 4 << 20))
    sensor.start()
    engine = open_engine(sensor.object, sensor.hierarchy)
    try:
        held = [of_the_kernel()]
        marks = [time.monotonic()]
        for policy in (one, two):
            engine.load(policy)
            marks.append(time.monotonic())
            held.append(of_the_kernel())
        for policy in more:
            engine.load(policy)
        marks.append(time.monotonic())
        for policy in more:
            engine.unload("", policy.name)
        marks.append(time.monotonic())
        for policy in (two, one):
            engine.unload("", policy.name)
            marks.append(time.monotonic())
    finally:
        engine.close()
        sensor.close()
    spans = [round(after - before, 3) for before, after in itertools.pairwise(marks)]
    names = ("load_s", "second_policy_s", "more_on_three_s", "remove_more_s", "remove_second_s", "remove_first_s")
    grown = {"first_kb": held[1] - held[0], "second_kb": held[2] - held[1]}
    return {"hooks": len(one.hooks), "more": policies, **grown, **dict(zip(names, spans, strict=True))}


def main() -> None:
    parser = argparse.ArgumentParser(description="What many hooks cost.")
    parser.add_argument("ways", nargs="*", default=list(WAYS))
    parser.add_argument("--hooks", type=int, default=300)
    parser.add_argument("--policies", type=int, default=100, help="further ones on three of the hooks")
    given = parser.parse_args()
    machine = Machine(gather(features.abilities))
    for way in given.ways:
        kind, spec = WAYS[way]
        lack = machine.lacks({"kprobe.multi": "kprobe.multi", "raw_tracepoint": "raw_tp"}.get(way, way))
        if lack:
            print(json.dumps({"way": way, "left_out": lack}))
            continue
        found = measure(machine, kind, spec(machine, given.hooks), given.policies)
        print(json.dumps({"way": way, "kernel": os.uname().release, **found}), flush=True)


if __name__ == "__main__":
    main()
