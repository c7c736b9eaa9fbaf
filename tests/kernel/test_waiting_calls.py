"""Calls that are kept until they return are counted by hook: a return looks for its call only where there are any."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from engine import Bench
from live import compiled

from lictor.kernel import links
from lictor.policy.machine import Machine
from lictor.policy.plan import AttachKind, Plan

pytestmark = pytest.mark.kernel
PAUSE = "34"


MATCHED = '{index: 1, operator: Equal, values: ["4346"]}'


def returning(call: str, argument: str, machine: Machine, name: str, selector: str = "") -> Plan:
    spec = f"""
        kprobes:
        - call: {call}
          return: true
          args: [{argument}]
          returnArg: {{index: 0, type: int64}}
        """
    if selector:
        spec += f"  selectors: [{{{selector}}}]\n"
    return compiled(spec, machine, name)


def seeks(machine: Machine) -> Plan:
    return returning("sys_lseek", "{index: 1, type: int64}", machine, "seeks")


def number_of(bench: Bench, ending: str) -> int:
    (number,) = [n for n, hook in bench.engine._hooks.by_number.items() if hook.key[0].endswith(ending)]
    return number


def waiting(bench: Bench, hook: int) -> int:
    store = bench.engine.store
    at = store.shapes.offset("hook_state", "waiting")
    return int.from_bytes(store.arrays["hooks"].read(hook)[at : at + 8], "little")


def seek(offsets: range) -> None:
    fd = os.open("/dev/null", os.O_RDONLY)
    for offset in offsets:
        os.lseek(fd, offset, os.SEEK_SET)
    os.close(fd)


def returned(bench: Bench, tid: int) -> int:
    return sum(1 for event in bench.events if event.tid == tid and not event.extra.flags)


def skipped(bench: Bench) -> int:
    """Runs of programs that the kernel left out, as it does with fentry and fexit where tasks are preempted in them."""
    return sum(count for (_, why), count in bench.engine.losses().items() if why.startswith("skipped"))


def test_threads_count_themselves_in_and_out(bench: Bench, machine: Machine) -> None:
    threads: list[threading.Thread] = []
    bench.read()
    bench.events.clear()
    with bench.policy(seeks(machine)):
        hook = number_of(bench, "lseek")
        for _ in range(4):
            threads.append(threading.Thread(target=seek, args=(range(200),)))
            threads[-1].start()
        for thread in threads:
            thread.join()
        bench.read()
        own = {thread.native_id or 0 for thread in threads}
        lost = skipped(bench)
        assert 800 - lost <= sum(returned(bench, tid) for tid in own) <= 800
        assert not lost or machine.preemptible
        bench.reader.losses()  # counts out what was skipped
        # Other processes seek, too; in the end none is under way.
        bench.wait(lambda: waiting(bench, hook) == 0, "calls that are counted out")


def test_a_return_is_not_taken_for_one_that_the_kernel_missed(bench: Bench, machine: Machine) -> None:
    """The next call from the same place, which matches nothing, has its own return."""
    ways = dict.fromkeys(("fentry", "fexit", "kprobe", "kprobe.multi"), "left out by the test")
    facts = msgspec.structs.replace(machine.facts, abilities=machine.facts.abilities | ways)
    wanted = "{index: 1, type: int64}"
    plan = returning("sys_lseek", wanted, Machine(facts), "seeks", f"matchArgs: [{MATCHED}]")
    fd = os.open("/dev/null", os.O_RDONLY)
    bench.read()
    bench.events.clear()
    with bench.policy(plan):
        hook = number_of(bench, "lseek")
        exits = bench.engine._attachments._calls[AttachKind.SYS_EXIT]
        program = bench.engine._attachments._common("syscall")
        exits.link.close()
        os.lseek(fd, 4346, os.SEEK_SET)  # its return is missed
        assert waiting(bench, hook) == 1
        exits.link = links.raw_tracepoint(program, "hook_sys_exit", "sys_exit")
        os.lseek(fd, 1, os.SEEK_SET)
        assert waiting(bench, hook) == 0
        os.lseek(fd, 4346, os.SEEK_SET)
        bench.read()
    os.close(fd)
    assert returned(bench, os.getpid()) == len(bench.events) == 1


def test_a_call_that_outlives_its_policy_is_counted_out_of_the_hook_that_has_its_number(
    bench: Bench, machine: Machine
) -> None:
    """Its hook's number is another's by the time that it is let go: no return of that one's calls may be missed."""
    with bench.policy(returning("sys_pause", "", machine, "pauses")):
        child = subprocess.Popen([sys.executable, "-S", "-c", "import signal; signal.pause()"])
        state = Path(f"/proc/{child.pid}/syscall")
        bench.wait(lambda: state.read_text().split()[0] == PAUSE, "the call")
        hook = number_of(bench, "pause")
        assert waiting(bench, hook) == 1
    with bench.policy(seeks(machine)):
        assert number_of(bench, "lseek") == hook
        bench.events.clear()
        for _ in range(2):
            before = returned(bench, os.getpid())
            seek(range(10))
            bench.read()
            assert returned(bench, os.getpid()) == before + 10
            if child.returncode is None:
                assert waiting(bench, hook) >= 1
                child.kill()
                child.wait()
                bench.reader.losses()
                bench.read()
        bench.wait(lambda: waiting(bench, hook) == 0, "calls that are counted out")
