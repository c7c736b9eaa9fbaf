"""Edges of enforcement that docs/limits.md names: no working memory, signals from programs of cgroups, notes that are
taken back, rules that come back after monitoring."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from engine import Bench
from test_enforcement import bench, compiled, connects, machine, own_cgroup, policy, port

from lictor.errors import LictorError
from lictor.policy.machine import Machine
from lictor.policy.plan import Mode

pytestmark = pytest.mark.kernel
__all__ = ["bench", "machine", "own_cgroup", "port"]  # fixtures

_HOOKS = {
    "socket_connect": "socket.socket().connect_ex(('127.0.0.1', 1))",
    "socket_bind": "socket.socket().bind(('127.0.0.1', 0))",
    "socket_create": "socket.socket()",
}
_KILL = """
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {{name: kill}}
spec:
  lsmhooks:
  - hook: {hook}
    selectors:
    - matchPIDs: [{{operator: In, followForks: true, values: [{pid}]}}]
      matchActions: [{{action: Sigkill}}]
"""


@pytest.mark.parametrize("hook", _HOOKS)
def test_who_uses_the_network_is_killed(bench: Bench, machine: Machine, hook: str) -> None:
    """By a program of cgroups too, where the kernel lets those send signals. Where it does not, it is refused."""
    if machine.lacks("lsm") and machine.lacks("cgroup signal"):
        pytest.skip("refused, as tests/unit/policy has it")
    code = f"import socket; print('here', flush=True); {_HOOKS[hook]}; print('went on', flush=True)"
    with bench.policy(compiled(_KILL.format(hook=hook, pid=os.getpid()), machine)):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == "here\n"


@contextlib.contextmanager
def no_working_memory(bench: Bench) -> Iterator[None]:
    """As if all of it were in the hands of tasks that were preempted."""
    slots = bench.engine.store.object.map("run_slots")
    at = bench.engine.store.shapes.offset("scratch", "busy")

    def mark(busy: int) -> None:
        for number in range(slots.max_entries):
            key = number.to_bytes(4, "little")
            value = bytearray(slots.lookup(key) or b"")
            value[at : at + 4] = busy.to_bytes(4, "little")
            slots.update(key, bytes(value))

    mark(1)
    try:
        yield
    finally:
        mark(0)


def test_hook_that_denies_says_try_again_without_working_memory(bench: Bench, machine: Machine, port: int) -> None:
    """To everybody, the agent too: whom a rule is for is not known without."""
    with bench.policy(policy(machine, port + 1 if port < 65535 else 1)):
        with socket.socket() as own:
            assert own.connect_ex(("127.0.0.1", port)) == 0
        with no_working_memory(bench), socket.socket() as own:
            assert own.connect_ex(("127.0.0.1", port)) == errno.EAGAIN
        assert connects(port)


def test_hook_that_denies_nobody_lets_pass_without_working_memory(bench: Bench, machine: Machine, port: int) -> None:
    with bench.policy(policy(machine, port, action="{action: Post}")), no_working_memory(bench):
        assert connects(port)


_TAKEN_BACK = """
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: notify}
spec:
  options: [{name: enforcement, value: best-effort}]
  enforcers:
  - calls: [security_task_getscheduler]
  tracepoints:
  - subsystem: syscalls
    event: sys_enter_getpriority
    selectors:
    - matchActions: [{action: NotifyEnforcer, argError: -13}]
  - subsystem: syscalls
    event: sys_enter_getpgid
    selectors:
    - matchActions: [{action: CleanupEnforcerNotification}]
"""
_LEAVES = "import os; os.getpriority(os.PRIO_PROCESS, 0); "
_ASKS = "os.sched_getscheduler(0)"


def test_a_note_is_taken_back(bench: Bench, machine: Machine) -> None:
    for ability in ("lsm", "tracepoint"):
        if lack := machine.lacks(ability):
            pytest.skip(f"{ability}: {lack}")
    with bench.policy(compiled(_TAKEN_BACK, machine)):
        hit = subprocess.run([sys.executable, "-c", _LEAVES + _ASKS], capture_output=True, text=True, check=False)
        spared = subprocess.run([sys.executable, "-c", f"{_LEAVES}os.getpgid(0); {_ASKS}"], check=False)
    assert "PermissionError: [Errno 13]" in hit.stderr
    assert spared.returncode == 0


def test_monitoring_counts_by_selector_what_would_have_been_done(bench: Bench, machine: Machine, port: int) -> None:
    with bench.policy(policy(machine, port)):
        bench.engine.set_mode("", "deny", Mode.MONITOR)
        assert connects(port)
        assert connects(port)
        (row,) = bench.engine.statistics("", "deny")
        assert row.monitored == 2
        bench.engine.set_mode("", "deny", Mode.ENFORCE)
        assert not connects(port)
        (row,) = bench.engine.statistics("", "deny")
        assert (row.matches, row.monitored) == (3, 2)


_OVERRIDDEN = """
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {{name: {name}}}
spec:
  options: [{{name: enforcement, value: best-effort}}, {{name: override-method, value: {method}}}]
  kprobes:
  - call: sys_setpriority
    selectors:
    - matchPIDs: [{{operator: In, followForks: true, values: [{pid}]}}]
      matchActions: [{{action: Override, argError: -13}}]
"""
_LOWERS = "import os; os.setpriority(os.PRIO_PROCESS, 0, 5)"


@pytest.mark.parametrize("methods", [("override-return", "fmod-ret"), ("fmod-ret", "override-return")])
def test_two_ways_that_do_not_go_together_are_refused(bench: Bench, machine: Machine, methods: tuple[str, str]) -> None:
    """A trampoline calls the function, whatever a probe on it wants."""
    if lack := machine.lacks("bpf_override_return"):
        pytest.skip(lack)
    first, second = (
        compiled(_OVERRIDDEN.format(name=method, method=method, pid=os.getpid()), machine) for method in methods
    )
    with bench.policy(first):
        assert subprocess.run([sys.executable, "-c", _LOWERS], stderr=subprocess.DEVNULL, check=False).returncode == 1
        with pytest.raises(LictorError, match="calls the function all the same"), bench.policy(second):
            pass
        assert subprocess.run([sys.executable, "-c", _LOWERS], stderr=subprocess.DEVNULL, check=False).returncode == 1
    with bench.policy(second):
        assert subprocess.run([sys.executable, "-c", _LOWERS], stderr=subprocess.DEVNULL, check=False).returncode == 1
