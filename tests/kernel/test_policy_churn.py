"""Eight threads add, replace and remove policies while events flow: no lost, doubled or foreign match, and no leak."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from engine import Bench
from live import compiled

from lictor.model.arguments import LongArg
from lictor.model.hook import KprobeBody
from lictor.policy.machine import Machine
from lictor.policy.plan import Plan

pytestmark = pytest.mark.kernel
SECONDS = float(os.environ.get("LICTOR_CHURN_SECONDS", "3"))  # a minute in `make prove`
RATE = float(os.environ.get("LICTOR_CHURN_RATE", "0"))  # events per second that there must be at least
PAUSE = float(os.environ.get("LICTOR_CHURN_PAUSE", "0.004"))  # after every 10 events
MOST_GROWTH = 16 << 20  # bytes; what is remembered of removed policies has a bound
THREADS, ALWAYS, FIRST = 8, 9000, 9100
SEEK = """
import os, sys, time
fd = os.open("/dev/null", os.O_RDONLY)
count = 0
while os.getppid() == int(sys.argv[1]) and not os.path.exists(sys.argv[2]):
    for number in range(10):
        os.lseek(fd, {always}, 0)
        for offset in range({first}, {first} + {threads}):
            os.lseek(fd, offset, 0)
    count += 10
    time.sleep({pause})
print(count)
"""
POLICY = """
  kprobes:
  - call: sys_lseek
    args: [{index: 1, type: int64}]
    selectors:
    - matchArgs: [{index: 1, operator: Equal, values: ["OFFSET"]}]
      SCOPE
"""


def spec(offset: int, scope: str = "") -> str:
    return POLICY.replace("OFFSET", str(offset)).replace("SCOPE", scope)


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def count_matches(bench: Bench, pid: int, seen: Counter[tuple[str, str]]) -> None:
    """Count the events that a process caused by policy and offset, and forget all."""
    for event in bench.events:
        if event.tid == pid:
            body = event.body
            assert isinstance(body, KprobeBody)
            (offset,) = body.args
            assert isinstance(offset, LongArg)
            seen[body.policy_name, offset.long_arg] += 1
    bench.events.clear()


def churn(bench: Bench, plans: list[Plan], until: float, rounds: Counter[str], problems: list[str]) -> None:
    """Load, replace and remove one policy in its versions, again and again."""
    try:
        while time.monotonic() < until:
            bench.engine.load(plans[0])
            for plan in plans[1:]:
                bench.engine.replace(plan)
            bench.engine.unload("", plans[0].name)
            rounds[plans[0].name] += 1
    except Exception as error:
        problems.append(f"{plans[0].name}: {error!r}")


def test_churn(bench: Bench, machine: Machine, tmp_path: object) -> None:
    engine = bench.engine
    with bench.policy(compiled(spec(1), machine, "warm")):
        pass
    before = {name: numbers.used for name, numbers in engine.store.free.items()}
    descriptors = len(os.listdir("/proc/self/fd"))
    kernel_memory, memory = engine.memory(), resident()
    stop = f"{tmp_path}/stop"
    script = SEEK.format(always=ALWAYS, first=FIRST, threads=THREADS, pause=PAUSE)
    engine.load(compiled(spec(ALWAYS), machine, "always"))
    seeker = subprocess.Popen(
        [sys.executable, "-S", "-c", script, str(os.getpid()), stop], stdout=subprocess.PIPE, text=True
    )
    versions = []
    for number in range(THREADS):
        name, offset = f"churn-{number}", FIRST + number
        mine = f"matchPIDs: [{{operator: In, values: [{seeker.pid}]}}]"
        nobody = f"matchPIDs: [{{operator: In, values: [{2**22 - number}]}}]"
        # The version for nobody wants what is never sought, too: whatever of it matches is foreign.
        kinds = [spec(offset, mine), spec(offset, nobody), spec(offset), spec(offset, mine.replace("In,", "NotIn,"))]
        versions.append([compiled(kind, machine, name) for kind in kinds])
    rounds: Counter[str] = Counter()
    problems: list[str] = []
    until = time.monotonic() + SECONDS
    threads = [threading.Thread(target=churn, args=(bench, plans, until, rounds, problems)) for plans in versions]
    bench.events.clear()
    for thread in threads:
        thread.start()
    seen: Counter[tuple[str, str]] = Counter()
    while any(thread.is_alive() for thread in threads):
        bench.read()
        count_matches(bench, seeker.pid, seen)
    with open(stop, "w"):
        pass
    calls = int(seeker.communicate()[0])
    engine.unload("", "always")
    bench.read()
    count_matches(bench, seeker.pid, seen)
    assert not problems
    assert bench.reader.lost() == (0, 0), f"more events than can be read here: {seen}"
    assert seen.pop(("always", str(ALWAYS))) == calls, "lost or doubled"
    own = {(f"churn-{number}", str(FIRST + number)) for number in range(THREADS)}
    assert set(seen) <= own, "foreign"
    assert {name: numbers.used for name, numbers in engine.store.free.items()} == before
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert not list(engine.store.numbers.keys())
    assert not list(engine.store.object.map("kept_calls").keys())
    assert engine.memory() <= kernel_memory + (1 << 16)  # of hashes: what this machine's processes have in them
    assert resident() - memory < MOST_GROWTH
    assert min(rounds[f"churn-{number}"] for number in range(THREADS)) > 0
    events = calls + seen.total()
    print(
        f"{sum(rounds.values())} rounds of load, three replacements and removal; {events} events, "
        f"{events / SECONDS:.0f} per second"
    )
    assert events / SECONDS >= RATE
