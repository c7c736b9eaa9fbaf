"""What a rule that denies costs: an operation that it allows, beside the same rule in monitor mode, and one it denies.

python bench/enforcement.py [6.1 6.12]     in VMs that count instructions: nanoseconds are instructions
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import measure
import msgspec

from lictor.host import features
from lictor.host.gather import gather
from lictor.policy.compile import compile_policy
from lictor.policy.machine import Machine
from lictor.policy.plan import Mode, Plan
from lictor.sensors.policies import open_engine
from lictor.sensors.process import ProcessSensor

POLICY = measure.ROOT / "policies" / "library" / "files" / "deny-open.yaml"
ALLOWED, FORBIDDEN = Path("/run/plain"), Path("/root/.ssh/forbidden")
ROUNDS, REPEATS, DENIALS = 2000, 3, 500
RESULTS = measure.ROOT / "bench" / "results"


def _plan() -> Plan:
    compiled = compile_policy(POLICY.read_bytes(), POLICY.name, Machine(gather(features.abilities)))
    assert compiled.plan is not None, compiled.diagnostics
    return msgspec.structs.replace(compiled.plan, mode=Mode.MONITOR)


def allowed() -> float:
    """Instructions of an open, read and close of a file that no rule is about."""
    return statistics.median(measure.workload("file", ROUNDS, ALLOWED)["cpu_ns"] / ROUNDS for _ in range(REPEATS))


def tried() -> float:
    """Instructions of an attempt to open the forbidden file, those of Python included."""
    before = time.thread_time_ns()
    for _ in range(DENIALS):
        with contextlib.suppress(PermissionError):
            os.close(os.open(FORBIDDEN, os.O_RDONLY))
    return (time.thread_time_ns() - before) / DENIALS


def in_child(measured: Any) -> float:
    """A child measures: the process that loads policies is exempt from them."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, json.dumps(measured()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as said:
        return float(said.read())


def guest() -> None:
    ALLOWED.write_text("hello\n")
    FORBIDDEN.parent.mkdir(parents=True, exist_ok=True)
    FORBIDDEN.write_text("secret\n")
    found: dict[str, Any] = {"kernel": os.uname().release}
    allowed()  # caches
    found["without"] = {"allowed": allowed(), "forbidden": in_child(tried)}
    sensor = ProcessSensor()
    sensor.start()
    engine = open_engine(sensor.object, sensor.hierarchy)
    plan = _plan()
    engine.load(plan)
    for mode in (Mode.MONITOR, Mode.ENFORCE):
        engine.set_mode(plan.namespace, plan.name, mode)
        found[mode.value] = {"allowed": allowed(), "forbidden": in_child(tried)}
    engine.close()
    sensor.close()
    print(json.dumps(found))


def main() -> None:
    measure.build()
    for kernel in sys.argv[1:] or ["6.1", "6.12"]:
        inner = [sys.executable, "-B", "bench/enforcement.py", "--guest"]
        command = [
            sys.executable,
            "tools/vm.py",
            "run",
            "--kernel",
            kernel,
            "--icount",
            "--timeout",
            "600",
            "--",
            *inner,
        ]
        done = subprocess.run(command, cwd=measure.ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"the measurement under {kernel} failed:\n{done.stdout}\n{done.stderr}")
        found = json.loads(done.stdout.splitlines()[-1])
        path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-enforcement-{kernel}.json"
        path.write_text(json.dumps(found, indent=1) + "\n")
        print(f"{found['kernel']}: instructions per operation ({path.relative_to(measure.ROOT)})")
        for name in ("allowed", "forbidden"):
            rows = [found[mode][name] for mode in ("without", "monitor", "enforce")]
            print(f"  {name:10} without {rows[0]:9,.0f}   monitor {rows[1]:9,.0f}   enforce {rows[2]:9,.0f}")
        ratio = found["enforce"]["allowed"] / found["monitor"]["allowed"]
        print(f"  an allowed operation costs {ratio:.2f} × what it does in monitor mode (goal: at most 1.5)")


if __name__ == "__main__":
    guest() if sys.argv[1:] == ["--guest"] else main()
