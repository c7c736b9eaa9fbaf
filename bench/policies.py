"""The part of `make bench` that tells what policies cost; runs in the guest. Prints one JSON object.

    python bench/policies.py POLICY     POLICY: the file policy whose cost the reference implementation was measured by

The engine runs in this process, beside a process sensor and without anything that reads the rings: what is measured is
the CPU time of the workload, in which the hook programs run.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
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

EXECS, FILES = 1000, 2000
TINY, PLAIN = Path("/run/tiny"), Path("/run/plain")
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


def per_round(kind: str) -> float:
    rounds, path = (EXECS, TINY) if kind == "exec" else (FILES, PLAIN)
    measure.workload(kind, 200, path)
    found = measure.workload(kind, rounds, path)
    return found["cpu_ns"] / found["rounds"]


def compiled(machine: Machine, text: str) -> Plan:
    found = compile_policy(text.encode(), "bench", machine)
    if found.plan is None:
        raise SystemExit(f"the policy does not compile here: {found.diagnostics}")
    return found.plan


def named(plan: Plan, name: str, binary: str) -> Plan:
    """The same plan for another binary."""
    sets = tuple(msgspec.structs.replace(one, texts=(binary,)) if one.kind == "strings" else one for one in plan.sets)
    return msgspec.structs.replace(plan, name=name, sets=sets)


def many(engine: PolicyEngine, plan: Plan) -> list[dict[str, Any]]:
    """One policy that applies, among ever more that do not, on one hook."""
    rows = []
    engine.load(named(plan, "applies", str(measure.BUILT / "workload")))
    loaded = 1
    for count in COUNTS:
        began = time.monotonic_ns()
        fresh = range(loaded, count)
        for number in fresh:
            engine.load(named(plan, f"other-{number}", f"/usr/bin/other-{number}"))
        took = time.monotonic_ns() - began
        loaded = count
        rows.append({"policies": count, "file": per_round("file"), "load_ns": took / len(fresh) if len(fresh) else 0})
    return rows


def main() -> None:
    machine = Machine(gather(features.abilities))
    shutil.copy(measure.BUILT / "tiny", TINY)
    PLAIN.write_text("hello\n")
    result: dict[str, Any] = {"nothing": {kind: per_round(kind) for kind in ("file", "exec")}}
    sensor = ProcessSensor(Sizes(1 << 20, 4 << 20))
    sensor.start()
    result["base"] = {kind: per_round(kind) for kind in ("file", "exec")}
    engine = open_engine(sensor.object, sensor.hierarchy)
    result["engine"] = {kind: per_round(kind) for kind in ("file", "exec")}
    result["engine_bytes"] = engine.memory()
    plan = compiled(machine, Path(sys.argv[1]).read_text())
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
    one = compiled(machine, ONE_BINARY.replace("NAME", "one").replace("BINARY", "/usr/bin/nobody"))
    engine.load(one)
    result["not_applying"] = per_round("file")
    engine.unload("", "one")
    result["many"] = many(engine, one)
    engine.close()
    sensor.close()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
