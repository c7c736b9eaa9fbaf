"""How long policies take to compile: 250 to 1,000 of three hooks, for a saved machine, in one process.

    python bench/compiling.py

Goal: 1,000 in 2 s, and twice as many take twice as long. Raw results go to bench/results/DATE-compiling.json. CPU time
is counted, so that other programs of the machine matter little; each figure is the best of three.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import measure

from lictor.host.facts import HostFacts
from lictor.policy.compile import compile_policy
from lictor.policy.machine import Machine

FACTS = measure.ROOT / "tests" / "golden" / "facts" / "6.12-debian.xz"
COUNTS = (250, 500, 1000)
POLICY = """apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata:
  name: policy-{number}
spec:
  kprobes:
  - call: security_file_permission
    syscall: false
    message: a file of team {number}
    args:
    - index: 0
      type: file
    - index: 1
      type: int
    selectors:
    - matchArgs:
      - index: 0
        operator: Prefix
        values:
        - /srv/{number}/
        - /etc/
      - index: 1
        operator: Equal
        values:
        - "2"
        - "4"
      matchBinaries:
      - operator: NotIn
        values:
        - /usr/bin/backup{number}
      matchActions:
      - action: Post
        rateLimit: 5s
  - call: sys_openat
    args:
    - index: 1
      type: string
    - index: 2
      type: int
    selectors:
    - matchArgs:
      - index: 1
        operator: Postfix
        values:
        - .{number}.conf
      matchPIDs:
      - operator: NotIn
        values:
        - {number}
  - call: tcp_connect
    syscall: false
    args:
    - index: 0
      type: sock
    selectors:
    - matchArgs:
      - index: 0
        operator: DAddr
        values:
        - 10.{octet}.0.0/16
      - index: 0
        operator: DPort
        values:
        - "443"
"""


def measured(machine: Machine, count: int) -> float:
    """CPU seconds for that many policies, the best of three."""
    texts = [POLICY.format(number=number, octet=number % 250).encode() for number in range(count)]
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        for text in texts:
            assert compile_policy(text, "policy.yaml", machine).plan is not None
        best = min(best, time.process_time() - start)
    return best


def main() -> None:
    start = time.process_time()
    machine = Machine(HostFacts.from_json(FACTS.read_bytes()))
    compile_policy(POLICY.format(number=0, octet=0).encode(), "policy.yaml", machine)
    first = time.process_time() - start
    seconds = {str(count): round(measured(machine, count), 3) for count in COUNTS}
    result: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "facts_and_first_policy_s": round(first, 3),
        "policies_s": seconds,
    }
    today = datetime.now(UTC).date().isoformat()
    (measure.ROOT / "bench" / "results" / f"{today}-compiling.json").write_text(json.dumps(result, indent=1) + "\n")
    print("\nCompiling policies of three hooks (CPU seconds; goal: 2 for 1,000, linear)\n")
    print(f"  {'facts, and the first policy':30} {first:6.2f}")
    for count, spent in seconds.items():
        print(f"  {count + ' policies':30} {spent:6.2f}")


if __name__ == "__main__":
    main()
