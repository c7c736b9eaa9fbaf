"""A minute of exec storm on the running kernel: is anything lost, and does the agent's memory stay flat?

    python bench/soak.py [SECONDS [RATE]]      60 seconds at 3,000 execs per second

The curve goes to bench/results/DATE-soak.json. Exit code 1 when an event is missing.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import measure

RESULTS = measure.ROOT / "bench" / "results"


def soak(seconds: int, rate: int, directory: Path) -> dict[str, Any]:
    """Run the storm beside an agent; gives what happened, with one row per second of (seconds, VmRSS kB, CPU s)."""
    tiny = directory / "tiny"
    shutil.copy(measure.BUILT / "tiny", tiny)
    rounds = seconds * rate
    curve: list[tuple[float, int, float]] = []
    over = threading.Event()
    with measure.running(directory) as agent:
        start = time.monotonic()

        def watch() -> None:
            while not over.wait(1):
                used = agent.cpu_ns() / 1e9
                curve.append((round(time.monotonic() - start, 1), agent.memory_kb()["VmRSS"], used))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            done = measure.workload("exec", rounds, tiny, rate)
        finally:
            over.set()
            watcher.join()
        agent.settle()
        after = agent.memory_kb()
        events = agent.counts(tiny)
        cpu = agent.cpu_ns()
    return {
        "kernel": os.uname().release,
        "rounds": rounds,
        "seconds": done["wall_ns"] / 1e9,
        "rate": rounds / (done["wall_ns"] / 1e9),
        "events": events,
        "missing": 2 * rounds - events["process_exec"] - events["process_exit"],
        "agent_cpu_s": cpu / 1e9,
        "memory_after_kb": after,
        "curve": curve,
    }


def main() -> None:
    seconds, rate = (int(word) for word in (sys.argv[1:] + ["60", "3000"][len(sys.argv) - 1 :]))
    measure.build()
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lictor-soak-") as name:
        result = soak(seconds, rate, Path(name))
    path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-soak.json"
    path.write_text(json.dumps(result) + "\n")
    memory = [row[1] for row in result["curve"]]
    steps = memory[:: max(1, len(memory) // 10)]
    print(
        f"{result['kernel']}: {result['rounds']} execs at {result['rate']:.0f}/s, {result['missing']} events missing, "
        f"{result['events']['rate_limit_info']} losses told, {result['agent_cpu_s']:.1f} s CPU"
    )
    print(f"resident memory over time, MB: {' '.join(f'{kb / 1024:.1f}' for kb in steps)}")
    sys.exit(1 if result["missing"] else 0)


if __name__ == "__main__":
    main()
