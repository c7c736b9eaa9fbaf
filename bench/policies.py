"""The part of `make bench` that tells what policies cost; runs in the guest. Prints one JSON object.

    python bench/policies.py POLICY [PART]     POLICY: the file policy whose cost the reference was measured by

PART: only what the kernel holds (`memory`: a machine with any number of CPUs can tell), `many` policies, or `lookups`.

The engine runs in this process, beside a process sensor and without anything that reads the rings: what is measured is
the CPU time of the workload, in which the hook programs run.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measure
import msgspec

from lictor.host import features
from lictor.host.gather import gather
from lictor.policy.compile import compile_policy
from lictor.policy.machine import Machine
from lictor.policy.plan import Plan
from lictor.sensors.policies import PolicyEngine, open_engine
from lictor.sensors.process import ProcessSensor, Sizes

EXECS, FILES = 500, 1000
TINY, PLAIN, OTHER = Path("/run/tiny"), Path("/run/plain"), Path("/run/other")
COUNTS = (1, 10, 100, 1000)
ONE_BINARY = """
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: NAME}
spec:
  kprobes:
  - call: security_file_permission
    syscall: false
    args: [{index: 0, type: file}, {index: 1, type: int}]
    selectors:
    - matchBinaries: [{operator: In, values: [BINARY]}]
      matchArgs: [{index: 0, operator: Prefix, values: [/etc]}]
"""


MEMBERS = (10, 1_000, 100_000)
SIMILAR = 50
# What is looked up -> the workload, what is in the set and what is not, the hook's argument and the condition.
LOOKUPS: dict[str, tuple[str, Path | str, Path | str, str, str, str]] = {
    "strings": ("file", PLAIN, OTHER, "security_file_permission", "file", "Equal"),
    "prefixes": ("file", PLAIN, OTHER, "security_file_permission", "file", "Prefix"),
    "postfixes": ("file", PLAIN, OTHER, "security_file_permission", "file", "Postfix"),
    "addresses": ("connect", "127.1.2.3", "127.9.9.9", "security_socket_connect", "sockaddr", "SAddr"),
}
LOOKUP = """
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: lookup}
spec:
  kprobes:
  - call: CALL
    syscall: false
    args: [{index: INDEX, type: TYPE}]
    selectors:
    - matchArgs: [{index: INDEX, operator: OPERATOR, values: [VALUE]}]
      matchActions: [{action: NoPost}]
"""
CGROUP = Path("/sys/fs/cgroup/policies")


def per_round(kind: str, what: Path | str = "") -> float:
    """CPU nanoseconds of one round, the better of two: the first run of a kind does more than others."""
    rounds, path = (EXECS, TINY) if kind == "exec" else (FILES, PLAIN)
    path = Path(what or path)
    measure.workload(kind, 200, path)
    found = [measure.workload(kind, rounds, path) for _ in range(2)]
    return min(one["cpu_ns"] / one["rounds"] for one in found)


def per_call() -> float:
    """CPU nanoseconds of one more open, read and close: without what the workload's own start costs."""
    few, many = (measure.workload("file", rounds, PLAIN) for rounds in (FILES, 3 * FILES))
    return (many["cpu_ns"] - few["cpu_ns"]) / (many["rounds"] - few["rounds"])


def charged() -> int:
    """Bytes of kernel memory that this process's cgroup is charged for."""
    words = (CGROUP / "memory.stat").read_text().split()
    return int(words[words.index("kernel") + 1])


def compiled(machine: Machine, text: str) -> Plan:
    found = compile_policy(text.encode(), "bench", machine)
    if found.plan is None:
        raise SystemExit(f"the policy does not compile here: {found.diagnostics}")
    return found.plan


def named(plan: Plan, name: str, binary: str) -> Plan:
    """The same plan for another binary."""
    sets = tuple(msgspec.structs.replace(one, texts=(binary,)) if one.kind == "strings" else one for one in plan.sets)
    return msgspec.structs.replace(plan, name=name, sets=sets)


def own_sets(plan: Plan, number: int) -> Plan:
    """The same plan with values that no other policy has."""
    sets = tuple(
        msgspec.structs.replace(one, texts=tuple(f"{text[0]}{number}{text[1:]}" for text in one.texts))
        for one in plan.sets
    )
    return msgspec.structs.replace(plan, name=f"similar-{number}", sets=sets)


def similar(engine: PolicyEngine, plan: Plan) -> dict[str, float]:
    """Further policies on the same hooks, each with values of its own: what they hold and what loading one costs."""
    plans = [own_sets(plan, number) for number in range(SIMILAR)]
    computed, measured = engine.memory(), charged()
    began = time.monotonic_ns()
    for one in plans:
        engine.load(one)
    took = time.monotonic_ns() - began
    held = {
        "load_ns": took / SIMILAR,
        "computed_bytes": (engine.memory() - computed) / SIMILAR,
        "charged_bytes": (charged() - measured) / SIMILAR,
    }
    for one in plans:
        engine.unload("", one.name)
    return held


def filled(plan: Plan, kind: str, count: int) -> Plan:
    """The plan of a look-up with as many members in its set."""
    (sets,) = plan.sets
    if kind == "addresses":
        # Beside the one that is looked up, so that a trie is as deep as it gets.
        others = [((127 << 24) + 83 * number + 1, 32) for number in range(count - 1)]
        return msgspec.structs.replace(plan, sets=(msgspec.structs.replace(sets, networks=(*sets.networks, *others)),))
    shape = "{:06}/end" if kind == "postfixes" else "/srv/{:06}"
    texts = (*sets.texts, *(shape.format(number) for number in range(count - 1)))
    return msgspec.structs.replace(plan, sets=(msgspec.structs.replace(sets, texts=texts),))


def lookups(machine: Machine, engine: PolicyEngine) -> list[dict[str, Any]]:
    """What a condition costs whose set has ever more members: for a value that is one, and for one that is not."""
    rows = []
    for kind, (workload, member, other, call, argument, operator) in LOOKUPS.items():
        without = {str(what): per_round(workload, what) for what in (member, other)}
        text = LOOKUP
        index = "1" if argument == "sockaddr" else "0"
        words = {"CALL": call, "INDEX": index, "TYPE": argument, "OPERATOR": operator, "VALUE": str(member)}
        for word, value in words.items():
            text = text.replace(word, value)
        plan = compiled(machine, text)
        for count in MEMBERS:
            one = filled(plan, kind, count)
            engine.load(one)
            row = {"what": kind, "members": count, "engine_bytes": engine.memory()}
            for name, what in (("member", member), ("other", other)):
                row[name] = per_round(workload, what) - without[str(what)]
            engine.unload("", one.name)
            rows.append(row)
    return rows


def for_nobody(machine: Machine) -> Plan:
    return compiled(machine, ONE_BINARY.replace("NAME", "one").replace("BINARY", "/usr/bin/nobody"))


def many(engine: PolicyEngine, plan: Plan) -> list[dict[str, Any]]:
    """One policy that applies, among ever more that do not, on one hook: a call of it, and an exec beside it."""
    per_call()
    rows = [{"policies": 0, "call": per_call(), "exec": per_round("exec"), "load_ns": 0.0}]
    engine.load(named(plan, "applies", str(measure.BUILT / "workload")))
    loaded = 1
    for count in COUNTS:
        began = time.monotonic_ns()
        fresh = range(loaded, count)
        for number in fresh:
            engine.load(named(plan, f"other-{number}", f"/usr/bin/other-{number}"))
        took = time.monotonic_ns() - began
        loaded = count
        load = took / len(fresh) if len(fresh) else 0
        rows.append({"policies": count, "call": per_call(), "exec": per_round("exec"), "load_ns": load})
    return rows


@contextlib.contextmanager
def started() -> Iterator[PolicyEngine]:
    """An engine beside a process sensor."""
    sensor = ProcessSensor(Sizes(1 << 20, 4 << 20))
    sensor.start()
    engine = open_engine(sensor.object, sensor.hierarchy)
    yield engine
    engine.close()
    sensor.close()


def memory(machine: Machine, text: str) -> dict[str, Any]:
    """What the engine holds in the kernel, and further policies on the hooks of a first one."""
    sensor = ProcessSensor(Sizes(1 << 20, 4 << 20))
    sensor.start()
    before = charged()
    engine = open_engine(sensor.object, sensor.hierarchy)
    found: dict[str, Any] = {"cpus": os.cpu_count(), "engine_charged_bytes": charged() - before}
    found["engine_bytes"] = engine.memory()
    plan = compiled(machine, text)
    engine.load(plan)
    found["similar"] = similar(engine, plan)
    engine.close()
    sensor.close()
    return found


def cost(machine: Machine, text: str) -> dict[str, Any]:
    """What policies cost the workload."""
    result: dict[str, Any] = {"nothing": {kind: per_round(kind) for kind in ("file", "exec")}}
    sensor = ProcessSensor(Sizes(1 << 20, 4 << 20))
    sensor.start()
    result["base"] = {kind: per_round(kind) for kind in ("file", "exec")}
    engine = open_engine(sensor.object, sensor.hierarchy)
    result["engine"] = {kind: per_round(kind) for kind in ("file", "exec")}
    plan = compiled(machine, text)
    result["attach"] = sorted({attach.kind.value for hook in plan.hooks for attach in hook.attaches})
    began = time.monotonic_ns()
    engine.load(plan)
    result["first_load_ns"] = time.monotonic_ns() - began
    result["file_policy"] = {kind: per_round(kind) for kind in ("file", "exec")}
    began = time.monotonic_ns()
    engine.load(msgspec.structs.replace(plan, name="again"))
    result["second_load_ns"] = time.monotonic_ns() - began
    for name in (plan.name, "again"):
        engine.unload(plan.namespace, name)
    one = for_nobody(machine)
    engine.load(one)
    result["not_applying"] = per_round("file")
    engine.unload("", "one")
    result["lookups"] = lookups(machine, engine)
    result["many"] = many(engine, one)
    engine.close()
    sensor.close()
    return result


def main() -> None:
    machine = Machine(gather(features.abilities))
    CGROUP.mkdir(exist_ok=True)
    (CGROUP / "cgroup.procs").write_text(str(os.getpid()))
    shutil.copy(measure.BUILT / "tiny", TINY)
    for path in (PLAIN, OTHER):
        path.write_text("hello\n")
    text = Path(sys.argv[1]).read_text()
    part = "".join(sys.argv[2:])
    if part in ("many", "lookups"):
        with started() as engine:
            result: dict[str, Any] = {
                part: many(engine, for_nobody(machine)) if part == "many" else lookups(machine, engine)
            }
    else:
        result = memory(machine, text)
        if part != "memory":
            result |= cost(machine, text)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
