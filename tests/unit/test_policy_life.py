"""Loading, replacing and removing policies while hook programs run: no lost, doubled or foreign match, no leak.

What a run must report is decided by the policies in force while it ran: those that were in force from its beginning to
its end and are for its process match once; others may match once if they were in force at some moment of it.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from policy_machine import Kernel, Process, plan

HOOKS = ("first", "second")
PIDS = (1, 2)
BINARIES = ("/bin/one", "/bin/two")
NAMES = ("a", "b", "c")


@dataclass
class Version:
    """One plan of a policy: for which programs, on which hook."""

    name: str
    hook: str
    binaries: tuple[str, ...]
    negated: bool

    def is_for(self, binary: str) -> bool:
        return not self.binaries or (binary in self.binaries) is not self.negated


@dataclass
class Run:
    pid: int
    binary: str
    hook: str
    certain: set[int]  # instances in force all the time
    possible: set[int]
    found: list[int] = field(default_factory=list)


class PolicyLife(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.kernel = Kernel()
        self.births = itertools.count(1)
        self.processes = {pid: Process(pid, next(self.births), BINARIES[0]) for pid in PIDS}
        self.versions: dict[int, Version] = {}  # by instance, all that ever were
        self.in_force: dict[str, int] = {}
        self.runs: list[Run] = []
        self.unused = {name: numbers.used for name, numbers in self.kernel.store.free.items()}

    def newest(self) -> int:
        return self.kernel.engine._instance

    @rule(
        name=st.sampled_from(NAMES),
        hook=st.sampled_from(HOOKS),
        binaries=st.sets(st.sampled_from(BINARIES)).map(lambda found: tuple(sorted(found))),
        negated=st.booleans(),
        instead=st.booleans(),
        running=st.sampled_from(PIDS),
        far=st.integers(0, 24),
    )
    def put(
        self, name: str, hook: str, binaries: tuple[str, ...], negated: bool, instead: bool, running: int, far: int
    ) -> None:
        """Load a policy, or replace it, while a run is somewhere; `instead`: another goes first and leaves its room."""
        self.start(running, hook)
        for _ in range(far):
            if self.kernel.running:
                self.kernel.step(len(self.kernel.running) - 1)
        self.settle()
        gone = next((one for one in self.in_force if one != name), None)
        if instead and gone is not None:
            self.take_out(gone)
        version = Version(name, hook, binaries, negated)
        made = plan(name, hook, binaries, negated)
        before = self.in_force.get(name)
        for run in self.runs:
            run.certain.discard(before or 0)
        instance = self.newest() + 1
        self.versions[instance] = version
        for run in self.runs:
            run.possible.add(instance)
        if before is None:
            self.kernel.engine.load(made)
        else:
            self.kernel.engine.replace(made)
        self.in_force[name] = instance
        self.settle()

    @precondition(lambda self: self.in_force)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        self.take_out(data.draw(st.sampled_from(sorted(self.in_force))))

    def take_out(self, name: str) -> None:
        for run in self.runs:
            run.certain.discard(self.in_force[name])
        del self.in_force[name]
        self.kernel.engine.unload("", name)
        self.settle()

    @rule(pid=st.sampled_from(PIDS), hook=st.sampled_from(HOOKS))
    def start(self, pid: int, hook: str) -> None:
        """A hook program begins to run, if its hook is there."""
        known = self.kernel.engine._hooks._hooks
        shared = next((one for key, one in known.items() if key[0] == hook), None)
        if shared is None or any(run.pid == pid for run in self.runs):
            return
        now = set(self.in_force.values())
        process = self.processes[pid]
        run = Run(pid, process.binary, hook, set(now), set(now))
        self.runs.append(run)
        steps = self.kernel.run(process, shared.number, lambda _, instance: run.found.append(instance))
        self.kernel.running.append(steps)

    @rule(count=st.integers(1, 4))
    def steps(self, count: int) -> None:
        for number in range(count):
            if self.kernel.running:
                self.kernel.step(number % len(self.kernel.running))
        self.settle()

    @rule(pid=st.sampled_from(PIDS), binary=st.sampled_from(BINARIES))
    def execs(self, pid: int, binary: str) -> None:
        """The bits are computed anew, whatever else runs."""
        if not any(run.pid == pid for run in self.runs):
            process = self.processes[pid] = replace(self.processes[pid], binary=binary)
            for _ in self.kernel.refresh(process):
                pass

    @rule(pid=st.sampled_from(PIDS), binary=st.sampled_from(BINARIES))
    def ends(self, pid: int, binary: str) -> None:
        """The process ends, which the kernel half does not hear, and another one has its pid."""
        if not any(run.pid == pid for run in self.runs):
            self.processes[pid] = Process(pid, next(self.births), binary)

    @rule(pid=st.sampled_from(PIDS), hook=st.sampled_from(HOOKS), binaries=st.permutations(BINARIES))
    def pid_is_used_again(self, pid: int, hook: str, binaries: list[str]) -> None:
        """Each of the processes runs into the hook before the next one has its pid."""
        for binary in binaries:
            self.ends(pid, binary)
            self.start(pid, hook)
            self.kernel.finish_all()
            self.settle()

    @rule(hook=st.sampled_from(HOOKS), others=st.sampled_from(HOOKS), data=st.data())
    def one_place_for_both(self, hook: str, others: str, data: st.DataObject) -> None:
        """Two processes that look at the same place of the cache, step by step."""
        self.start(PIDS[0], hook)
        self.start(PIDS[1], others)
        for _ in range(data.draw(st.integers(5, 40))):
            if self.kernel.running:
                self.kernel.step(data.draw(st.integers(0, len(self.kernel.running) - 1)))
        self.settle()

    def settle(self) -> None:
        """Judge the runs that have ended."""
        if len(self.kernel.running) == len(self.runs):
            return
        if not self.kernel.running:
            ended, self.runs = self.runs, []
        else:
            while self.kernel.running:
                self.kernel.step(0)
            ended, self.runs = self.runs, []
        for run in ended:
            wanted, allowed = self.those_for(run, run.certain), self.those_for(run, run.possible)
            assert len(run.found) == len(set(run.found)), "matched twice"
            assert wanted <= set(run.found) <= allowed, (run, wanted, allowed)

    def those_for(self, run: Run, instances: set[int]) -> set[int]:
        found = set()
        for instance in instances:
            version = self.versions[instance]
            if version.hook == run.hook and version.is_for(run.binary):
                found.add(instance)
        return found

    @invariant()
    def nothing_leaks(self) -> None:
        if not hasattr(self, "kernel") or self.in_force:
            return
        used = {name: numbers.used for name, numbers in self.kernel.store.free.items()}
        assert used == self.unused
        assert not self.kernel.store.numbers
        assert not self.kernel.store.strings


_EXAMPLES = int(os.environ.get("LICTOR_EXAMPLES", "50"))  # many in `make prove`
PolicyLife.TestCase.settings = settings(max_examples=_EXAMPLES, stateful_step_count=50, deadline=None)
TestPolicyLife = PolicyLife.TestCase
