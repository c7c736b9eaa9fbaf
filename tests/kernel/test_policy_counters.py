"""What is counted per policy, hook and selector: each counter is made to move, and by how much is known."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from engine import DEADLINE_S, Bench
from live import compiled
from test_failing_reads import ADDRESSES, LIBC, SYS_WRITE

from lictor.errors import LictorError
from lictor.policy.machine import Machine
from lictor.policy.plan import Attach, AttachKind, Hook
from lictor.sensors.policies import SelectorStats

pytestmark = pytest.mark.kernel
WRITE = """
    kprobes:
    - call: sys_write
      args: [{index: 0, type: int}, {index: 1, type: char_buf, sizeArgIndex: 3}]
      selectors:
      - matchPIDs: [{operator: In, values: [SELF]}]
        matchArgs: [{index: 0, operator: Equal, values: ["FD"]}]
"""


def write_policy(fd: int) -> str:
    return WRITE.replace("SELF", str(os.getpid())).replace("FD", str(fd))


def counted(bench: Bench) -> SelectorStats:
    (row,) = bench.engine.statistics("", "row")
    return row


@pytest.mark.accounts("lictor_policy_events_limited_total")
def test_events_that_a_rate_limit_holds_back(bench: Bench, machine: Machine) -> None:
    spec = f"""
        kprobes:
        - call: sys_lseek
          args: [{{index: 1, type: int64}}]
          selectors:
          - matchPIDs: [{{operator: In, values: [{os.getpid()}]}}]
            matchArgs: [{{index: 1, operator: InRange, values: ["4242:4243"]}}]
            matchActions: [{{action: Post, rateLimit: "1m"}}]
        """
    fd = os.open("/dev/null", os.O_RDONLY)
    with bench.policy(compiled(spec, machine)):
        for offset in (4242, 4243, 4242, 4242, 4243, 1):
            os.lseek(fd, offset, os.SEEK_SET)
        row = counted(bench)
    os.close(fd)
    assert (row.matches, row.posts, row.limited, row.dropped) == (5, 2, 3, 0)


@pytest.mark.accounts("lictor_policy_events_lost_total")
def test_events_that_find_no_room(bench: Bench, machine: Machine) -> None:
    """Nobody reads the ring meanwhile."""
    fd, data, count = os.open("/dev/null", os.O_WRONLY), b"x" * 4096, 2000
    bench.read()
    bench.events.clear()
    lost = bench.reader.bulk_sequence.lost
    with bench.policy(compiled(write_policy(fd), machine)):
        for _ in range(count):
            os.write(fd, data)
        row = counted(bench)
    bench.read()
    os.close(fd)
    assert row.matches == count
    assert row.dropped > 0
    assert row.posts + row.dropped == count
    assert len(bench.events) == row.posts
    (told,) = [one.dropped for one in bench.reader.losses() if one.where == "bulk ring"]
    assert told + lost == bench.reader.lost()[1] >= row.dropped


@pytest.mark.accounts("lictor_policy_failed_reads_total")
def test_values_that_cannot_be_read(bench: Bench, machine: Machine) -> None:
    fd = os.open("/dev/null", os.O_WRONLY)
    with bench.policy(compiled(write_policy(fd), machine)):
        for address in ADDRESSES:
            LIBC.syscall(ctypes.c_long(SYS_WRITE), fd, ctypes.c_ulong(address), ctypes.c_long(64))
        os.write(fd, b"readable")
        row = counted(bench)
    os.close(fd)
    assert (row.matches, row.failed_reads) == (len(ADDRESSES) + 1, len(ADDRESSES))


# Older kernels do not tell what tracepoints and kprobes missed.
TELLS = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 7)
RARE = """
    kprobes:
    - call: sys_sched_get_priority_max
      args: [{index: 0, type: int}]
    """


@pytest.mark.accounts("lictor_hooks_missed_total")
def test_calls_while_all_working_memory_is_taken(bench: Bench, machine: Machine) -> None:
    slots, calls = bench.engine.store.object.map("run_slots"), 10
    bench.read()
    bench.events.clear()
    with bench.policy(compiled(RARE, machine)):
        bench.reader.losses()
        for busy in (True, False):
            for slot in range(slots.max_entries):
                slots.update(struct.pack("<I", slot), struct.pack("<I", busy).ljust(slots.value_size, b"\0"))
            for _ in range(calls):
                os.sched_get_priority_max(os.SCHED_OTHER)
        found = [one.dropped for one in bench.reader.losses() if one.reason == "no working memory in the kernel"]
    bench.read()
    assert found == [calls]
    assert len(bench.events) + sum(found) == 2 * calls


WAKING = """
    tracepoints:
    - {subsystem: syscalls, event: sys_enter_lseek, args: [{index: 5, type: uint64}]}
    - {subsystem: irq_vectors, event: irq_work_entry}
    """


def irq_works() -> int:
    rows = (line.split() for line in Path("/proc/interrupts").read_text().splitlines())
    return sum(int(word) for row in rows if row[0] == "IWI:" for word in row[1:] if word.isdigit())


@pytest.mark.accounts("tetragon_missed_prog_probes_total")
def test_runs_that_the_kernel_skips(bench: Bench, machine: Machine) -> None:
    """The reader is woken by an interrupt out of the program that told of the seek: no other program may run in it."""
    if machine.lacks("tracepoint") or "IWI:" not in Path("/proc/interrupts").read_text():
        pytest.skip("no tracepoints, or none of the interrupts that wake a reader")
    fd = os.open("/dev/null", os.O_RDONLY)
    before = irq_works()
    with bench.policy(compiled(WAKING, machine)):
        inside = irq_works()
        until = time.monotonic() + DEADLINE_S
        skipped = 0
        while skipped < 10 and time.monotonic() < (until if TELLS else 0):
            for _ in range(1000):
                os.lseek(fd, 1, os.SEEK_SET)
            bench.read()  # a full ring wakes nobody
            skipped = sum(n for (_, why), n in bench.engine.losses().items() if why.startswith("skipped by the kernel"))
        inside = irq_works() - inside
        rows = bench.engine.statistics("", "row")
        skipped = sum(n for (_, why), n in bench.engine.losses().items() if why.startswith("skipped by the kernel"))
    os.close(fd)
    ran = sum(row.matches for row in rows if row.hook == 1)
    if not TELLS:
        assert not skipped
        return
    assert skipped >= 10
    assert inside <= ran + skipped <= irq_works() - before


def test_values_that_conditions_cannot_read(bench: Bench, machine: Machine) -> None:
    spec = """
        kprobes:
        - call: sys_write
          args: [{index: 1, type: char_buf, sizeArgIndex: 3}]
          selectors:
          - matchPIDs: [{operator: In, values: [SELF]}]
            matchArgs: [{index: 1, operator: Prefix, values: [readable]}]
        """
    fd = os.open("/dev/null", os.O_WRONLY)
    with bench.policy(compiled(spec.replace("SELF", str(os.getpid())), machine)):
        before = bench.engine.counts("", "row").failed_reads
        for address in ADDRESSES:
            LIBC.syscall(ctypes.c_long(SYS_WRITE), fd, ctypes.c_ulong(address), ctypes.c_long(64))
        os.write(fd, b"readable")
        row, failed = counted(bench), bench.engine.counts("", "row").failed_reads - before
    os.close(fd)
    assert (row.matches, row.failed_reads, failed) == (1, 0, len(ADDRESSES))


def test_time(bench: Bench, machine: Machine) -> None:
    """What runs takes time, by chance in some of so many runs; what is for others takes none."""
    spec = """
        kprobes:
        - call: sys_lseek
          args: [{index: 1, type: int64}]
          selectors:
          - matchPIDs: [{operator: In, values: [SELF]}]
            matchArgs: [{index: 1, operator: Equal, values: ["4242"]}]
        """
    mine = spec.replace("SELF", str(os.getpid()))
    names = {"posts": mine, "looks": mine.replace("4242", "4243"), "others": spec.replace("SELF", str(2**22))}
    fd = os.open("/dev/null", os.O_RDONLY)
    with contextlib.ExitStack() as stack:
        for name, one in names.items():
            stack.enter_context(bench.policy(compiled(one, machine, name)))
        for _ in range(5000):
            os.lseek(fd, 4242, os.SEEK_SET)
        took = {name: bench.engine.statistics("", name)[0].hook_ns for name in names}
    os.close(fd)
    bench.read()
    assert took["looks"] > 0
    assert took["posts"] > 0
    assert took["others"] == 0


SLEEPERS = 60
SLEEP = f"""
import threading, time
threads = [threading.Thread(target=time.sleep, args=(1,)) for _ in range({SLEEPERS})]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


@pytest.mark.accounts("lictor_hooks_missed_total")
def test_returns_that_the_kernel_misses(bench: Bench, machine: Machine) -> None:
    """It has room for so many calls that have not returned: 10, or two for each CPU."""
    if machine.lacks("kretprobe"):
        pytest.skip(f"kretprobe: {machine.lacks('kretprobe')}")
    missing = dict.fromkeys(("fentry", "fexit", "kprobe.multi"), "left out by the test")
    probed = Machine(msgspec.structs.replace(machine.facts, abilities=machine.facts.abilities | missing))
    spec = """
        kprobes:
        - call: sys_clock_nanosleep
          return: true
          args: [{index: 0, type: int}]
          returnArg: {index: 0, type: int}
        """
    with bench.policy(compiled(spec, probed)):
        bench.reader.losses()
        subprocess.run([sys.executable, "-S", "-c", SLEEP], check=True)
        found = [one for one in bench.reader.losses() if one.where.startswith("probe kretprobe:")]
    if not TELLS:
        assert not found
        return
    (told,) = found
    assert told.where.endswith("sys_clock_nanosleep (policy row)")
    assert told.reason.startswith("missed by the kernel")
    assert SLEEPERS // 2 <= told.dropped <= SLEEPERS


def test_a_load_that_fails_says_where_and_why(bench: Bench, machine: Machine) -> None:
    """vfs_read may be traced, but what it returns may not be changed: the verifier says so."""
    attach = Attach(kind=AttachKind.FMOD_RET, target="vfs_read")
    hook = Hook(name="fmod_ret:vfs_read", section="kprobes", index=0, function="vfs_read", attaches=(attach,))
    plan = msgspec.structs.replace(compiled(write_policy(1), machine), hooks=(hook,))
    with pytest.raises(LictorError, match="fmod_ret vfs_read cannot be attached") as refused:
        bench.engine.load(plan)
    if not machine.lacks("fmod_ret"):
        assert "vfs_read() is not modifiable" in refused.value.message
    assert bench.engine.names() == []
