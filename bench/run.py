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


# The same of policies: kernel -> open+read+close and vfork+exec+exit with the file policy, added to nothing.
REFERENCE_POLICY = {"6.1": ("12.5", "87.5"), "6.12": ("13.4", "82.6")}
POLICY = "bench/policies/file-monitoring.yaml"


def run(kernel: str, *script: str) -> dict[str, Any]:
    """One measurement in a fresh guest."""
    command = [
        sys.executable, "tools/vm.py", "run", "--kernel", kernel, "--icount", "--timeout", "1500", "--",
        sys.executable, "-B", *script,
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
        result = run(kernel, "bench/guest.py")
        result["policies"] = run(kernel, "bench/policies.py", POLICY)
        path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-{kernel}.json"
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(f"{result['kernel']}, Python {result['python']} ({path.relative_to(measure.ROOT)})")
        print(f"  {'':50} {'Lictor':>8} {'goal':>6} {'reference':>10}")
        rows = zip(NAMES, _figures(result), GOALS, REFERENCE.get(kernel, ("",) * len(NAMES)), strict=True)
        for name, ours, goal, reference in rows:
            print(f"  {name:50} {ours:>8} {goal:>6} {reference:>10}")
        for name, ours, goal, reference in policy_rows(result["policies"], *REFERENCE_POLICY.get(kernel, ("", ""))):
            print(f"  {name:50} {ours:>8} {goal:>6} {reference:>10}")


def policy_rows(found: dict[str, Any], file: str = "", execs: str = "") -> list[tuple[str, str, str, str]]:
    """What policies cost: name, ours, goal, reference."""

    def added(measured: float, kind: str, to: str = "nothing") -> str:
        return f"{(measured - found[to][kind]) / 1000:.2f}"

    policy = found["file_policy"]
    how = ", ".join(found["attach"])
    rows = [
        (f"file policy ({how}), per open+read+close, k-instr", added(policy["file"], "file"), "6", file),
        ("file policy, per vfork+exec+exit, k-instr", added(policy["exec"], "exec"), "40", execs),
        ("hooked, but not for this process, k-instr", added(found["not_applying"], "file"), "0.4", ""),
    ]
    none, *counts = found["many"]
    for kind, what in (("call", "open+read+close"), ("exec", "vfork+exec+exit")):
        for row in counts:
            name = f"one of {row['policies']:,} policies applies, per {what}, k-instr"
            rows.append((name, f"{(row[kind] - none[kind]) / 1000:.2f}", "", ""))
    for row in found["lookups"]:
        for which, is_one in (("member", "one"), ("other", "not one")):
            name = f"{row['what']}, {row['members']:,} members, of a value that is {is_one}"
            rows.append((name, f"{row[which] / 1000:.2f}", "", ""))
    held = found["similar"]
    name = f"another policy with values of its own, bytes, {found['cpus']} CPU"
    rows.append((name, f"{held['charged_bytes']:.0f}", "8000", ""))
    rows.append(("another policy on the same hooks, M-instr", f"{found['second_load_ns'] / 1e6:.1f}", "", ""))
    return rows


if __name__ == "__main__":
    main()
