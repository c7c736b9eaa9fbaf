"""`make bench`: what Lictor costs, measured in VMs that count instructions, beside the reference implementation's.

    python bench/run.py [6.1 6.12]

Raw results go to bench/results/DATE-KERNEL.json; the table that is printed is made from them.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import measure

RESULTS = measure.ROOT / "bench" / "results"
# Tetragon, main of 2026-08-21, on the same workloads: kernel -> figures in the order of `_figures`.
REFERENCE = {
    "6.1": ("28.4", "0.0", "470", "0", "159-212", "30-34", "5.7"),
    "6.12": ("19.7", "0.1", "398-454", "11 %", "140-147", "30-34", "5.7"),
}
GOALS = ("12", "", "120", "0", "70", "20", "")
NAMES = (
    "kernel half, per vfork+exec+exit, k-instr",
    "kernel half, per open+read+close, k-instr",
    "agent, per exec+exit with JSON export, k-instr",
    "events lost in the storm",
    "agent's memory after the storm, MB",
    "BPF maps, MB",
    "start to ready, G-instr",
)


def run(kernel: str) -> dict[str, Any]:
    """One measurement in a fresh guest."""
    command = [
        sys.executable, "tools/vm.py", "run", "--kernel", kernel, "--icount", "--timeout", "900", "--",
        sys.executable, "-B", "bench/guest.py",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=measure.ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the measurement under {kernel} failed:\n{done.stdout}\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _figures(result: dict[str, Any]) -> tuple[str, ...]:
    def per_round(side: str, kind: str, field: str) -> float:
        return float(statistics.median(one[kind][field] / one[kind]["rounds"] for one in result[side]) / 1000)

    def added(kind: str) -> float:
        return per_round("with", kind, "cpu_ns") - per_round("without", kind, "cpu_ns")

    events = result["events"]
    lost = 2 * result["wanted"] - events["process_exec"] - events["process_exit"]
    return (
        f"{added('exec'):.1f}",
        f"{added('file'):.1f}",
        f"{per_round('with', 'exec', 'agent_cpu_ns'):.0f}",
        str(lost),
        f"{result['memory_after_kb']['VmHWM'] / 1024:.0f}",
        f"{result['maps_bytes'] / 1e6:.1f}",
        f"{result['ready_cpu_ns'] / 1e9:.2f}",
    )


def main() -> None:
    measure.build()
    RESULTS.mkdir(exist_ok=True)
    for kernel in sys.argv[1:] or list(REFERENCE):
        result = run(kernel)
        path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-{kernel}.json"
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(f"{result['kernel']}, Python {result['python']} ({path.relative_to(measure.ROOT)})")
        print(f"  {'':50} {'Lictor':>8} {'goal':>6} {'reference':>10}")
        rows = zip(NAMES, _figures(result), GOALS, REFERENCE.get(kernel, ("",) * len(NAMES)), strict=True)
        for name, ours, goal, reference in rows:
            print(f"  {name:50} {ours:>8} {goal:>6} {reference:>10}")


if __name__ == "__main__":
    main()
