"""Modes, several policies on one hook, trial periods, the agent: what enforcing actions do and leave undone.

Connections are what is forbidden here: to a port of this machine, which no kernel is too locked down for. Where cgroup
programs forbid them, it is in a cgroup of the test's own.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import live
import msgspec
import pytest
from engine import Bench

from lictor.host import features
from lictor.host.cgroups import find_hierarchy
from lictor.host.gather import gather
from lictor.policy.compile import compile_policy
from lictor.policy.machine import Machine
from lictor.policy.plan import Mode, Plan

pytestmark = pytest.mark.kernel
_CONNECT = "import socket, sys; sys.exit(socket.socket().connect_ex(('127.0.0.1', int(sys.argv[1]))) != 0)"
_POLICY = """
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {{name: {name}}}
spec:
  options: [{options}]
  lsmhooks:
  - hook: socket_connect
    args: [{{index: 1, type: sockaddr}}]
    selectors:
    - label: {label}
      matchArgs: [{{index: 1, operator: SPort, values: ["{port}"]}}]
      matchActions: [{action}]
"""
_DENY = "{action: Override, argError: -13}"


@pytest.fixture(scope="module")
def own_cgroup() -> Iterator[str]:
    if os.geteuid() != 0:
        pytest.skip("needs root to load BPF programs")
    root = Path(find_hierarchy().programs)
    before = next(line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    own = root / f"lictor-enforcement-{os.getpid()}"
    own.mkdir()
    (own / "cgroup.procs").write_text(str(os.getpid()))
    yield str(own)
    (root / before.lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))
    own.rmdir()


@pytest.fixture(scope="module")
def bench(own_cgroup: str) -> Iterator[Bench]:
    made = Bench(own_cgroup)
    yield made
    made.close()


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine(gather(features.abilities))


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as server:
        yield server.getsockname()[1]


def compiled(text: str, machine: Machine) -> Plan:
    found = compile_policy(text.encode(), "policy", machine)
    assert found.plan is not None, found.diagnostics
    return found.plan


def policy(machine: Machine, port: int, name: str = "deny", action: str = _DENY, options: str = "") -> Plan:
    filled = _POLICY.format(name=name, port=port, action=action, options=options, label=f"{name}-port")
    return compiled(filled, machine)


def connects(port: int) -> bool:
    """Whether a program that is started now can connect."""
    return subprocess.run([sys.executable, "-c", _CONNECT, str(port)], check=False).returncode == 0


def test_mode_is_switched_without_a_reload(bench: Bench, machine: Machine, port: int) -> None:
    plan = policy(machine, port)
    with bench.policy(plan):
        assert not connects(port)
        bench.engine.set_mode("", "deny", Mode.MONITOR)
        assert connects(port)
        bench.engine.set_mode("", "deny", Mode.ENFORCE)
        assert not connects(port)
        assert bench.engine.enforcement("", "deny").mode is Mode.ENFORCE
    assert connects(port)


def test_enforcement_for_a_while_ends_by_itself(bench: Bench, machine: Machine, port: int) -> None:
    plan = msgspec.structs.replace(policy(machine, port), mode=Mode.MONITOR)
    with bench.policy(plan):
        assert connects(port)
        end = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 3_000_000_000
        bench.engine.set_mode("", "deny", Mode.ENFORCE, until=end)
        denied = not connects(port)
        assert denied or time.clock_gettime_ns(time.CLOCK_BOOTTIME) > end
        bench.wait(lambda: connects(port), "the end of the enforcement")
        assert time.clock_gettime_ns(time.CLOCK_BOOTTIME) > end
        assert bench.engine.enforcement("", "deny").mode is Mode.MONITOR


def test_denial_wins_and_every_event_names_the_others(bench: Bench, machine: Machine, port: int) -> None:
    plans = [policy(machine, port, "watch", "{action: Post}"), policy(machine, port, "deny")]
    plans.append(policy(machine, port, "also", "{action: Override, argError: -1}"))
    bench.read()
    bench.events.clear()
    for plan in plans:
        bench.engine.load(plan)
    try:
        assert not connects(port)
    finally:
        for plan in plans:
            bench.engine.unload("", plan.name)
    bench.read()
    events = {event.body.policy_name: event.extra for event in bench.events}  # type: ignore[attr-defined]
    assert set(events) == {"watch", "deny", "also"}
    deciders = [name for name, extra in events.items() if extra.denied_by]
    assert len(deciders) == 1
    assert deciders[0] in ("deny", "also")
    for name, extra in events.items():
        assert set(extra.also_matched) == {f"{other}/{other}-port" for other in events if other != name}
        assert extra.decided_by == ("" if name in deciders else f"{deciders[0]}/{deciders[0]}-port")


def test_trial_period_suspends_a_policy_that_denies_too_much(bench: Bench, machine: Machine, port: int) -> None:
    plan = policy(machine, port, options="{name: denials-per-minute, value: '2'}")
    with bench.policy(plan):
        assert [connects(port) for _ in range(2)] == [False, False]
        bench.wait(lambda: connects(port), "the policy to be suspended")
        state = bench.engine.enforcement("", "deny")
        assert state.suspended
        bench.engine.set_mode("", "deny", Mode.ENFORCE)
        assert not connects(port)
    bench.read()
    assert any("suspended" in event.extra.flags for event in bench.events)


def test_agent_is_not_bound_by_its_rules_but_its_children_are(bench: Bench, machine: Machine, port: int) -> None:
    bench.read()
    bench.events.clear()
    with bench.policy(policy(machine, port)):
        with socket.socket() as own:
            assert own.connect_ex(("127.0.0.1", port)) == 0
        assert not connects(port)
        child = os.fork()  # not a new program: the same one in another process
        if not child:
            with socket.socket() as inherited:
                os._exit(inherited.connect_ex(("127.0.0.1", port)))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 13
    bench.read()
    flags = [event.extra.flags for event in bench.events if event.tid == os.getpid()]
    assert flags == [("exempt",)]


def test_what_programs_miss_is_told_with_the_policy(bench: Bench, machine: Machine, port: int) -> None:
    with bench.policy(policy(machine, port)), bench.policy(policy(machine, port, "watch", "{action: Post}")):
        skipped = {where: why for where, why in bench.engine.losses() if where.startswith("program ")}
        named = [where for where in skipped if where.endswith("(policy deny, watch)")]
        assert named
        assert all("skipped by the kernel" in skipped[where] for where in named)
    assert not any("(policy" in where for where, _ in bench.engine.losses())


_KILL = """
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {{name: kill}}
spec:
  kprobes:
  - call: sys_getpriority
    syscall: true
    args: [{{index: 0, type: int}}]
    selectors:
    - matchPIDs: [{{operator: In, followForks: true, values: [{pid}]}}]
      matchActions: [{action}]
"""


@pytest.mark.parametrize(
    ("action", "ends"), [("{action: Sigkill}", signal.SIGKILL), ("{action: Signal, argSig: 10}", signal.SIGUSR1)]
)
def test_signal_comes_before_the_call_returns(bench: Bench, machine: Machine, action: str, ends: int) -> None:
    plan = compiled(_KILL.format(pid=os.getpid(), action=action), machine)
    code = "import os; os.getpriority(os.PRIO_PROCESS, 0); print('went on', flush=True)"
    with bench.policy(plan):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -ends
    assert not done.stdout


def test_no_program_lies_too_deep_to_be_killed(bench: Bench, machine: Machine, place: Path) -> None:
    """Nobody sees the beginning of a path of 40 kB; a rule on the directory holds all the same."""
    far = live.far_below(place, 160)
    program = live.copy_of("/bin/true", far)
    spec = f"""
        tracepoints:
        - subsystem: sched
          event: sched_process_exec
          raw: true
          args: [{{index: 2, type: linux_binprm}}]
          selectors:
          - matchPIDs: [{{operator: In, followForks: true, values: [{os.getpid()}]}}]
            matchArgs: [{{index: 2, operator: Prefix, values: ["{place}/"]}}]
            matchActions: [{{action: Sigkill}}]
        """
    with bench.policy(live.compiled(spec, machine)):
        done = subprocess.run(["true"], executable=f"/proc/self/fd/{program}", pass_fds=[program], check=False)
    os.close(program)
    os.close(far)
    assert done.returncode == -signal.SIGKILL


_NOTIFY = """
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: notify}
spec:
  enforcers:
  - calls: [security_task_getscheduler]
  tracepoints:
  - subsystem: syscalls
    event: sys_enter_sched_getscheduler
    selectors:
    - matchActions: [{action: NotifyEnforcer, argError: -13}]
"""


def test_enforcer_carries_out_what_another_hook_asked_for(bench: Bench, machine: Machine) -> None:
    for ability in ("lsm", "tracepoint"):
        if lack := machine.lacks(ability):
            pytest.skip(f"{ability}: {lack}")
    code = "import os; os.sched_getscheduler(0)"
    with bench.policy(compiled(_NOTIFY, machine)):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "PermissionError: [Errno 13]" in done.stderr
        bench.engine.set_mode("", "notify", Mode.MONITOR)
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
        state = bench.engine.enforcement("", "notify")
    assert (state.overwritten, state.unused) == (0, 0)
