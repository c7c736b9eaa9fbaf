"""Policies in the kernel: loaded all or nothing, in force by one store, replaced at once, let go after a grace period.

A loaded policy's groups lead nowhere until its instance stands in the kernel's word for the policy. That word is the
only thing a load, a removal and a replacement switch: all hooks follow at the same time.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Container
from dataclasses import dataclass
from typing import NamedTuple

from lictor.errors import LictorError
from lictor.host import procfs
from lictor.host.cgroups import Hierarchy
from lictor.kernel.objects import Object
from lictor.kernel.programs import SKIPPED, ProgramInfo, info_of, misses_of
from lictor.policy.plan import Mode, Plan
from lictor.sensors import workloads
from lictor.sensors.attach import Attachments
from lictor.sensors.calls import KeptCalls
from lictor.sensors.encode import Encoder, not_yet
from lictor.sensors.groups import Groups, Loaded
from lictor.sensors.hooks import Hooks
from lictor.sensors.modes import EnforcementState, Modes
from lictor.sensors.predicates import Predicates
from lictor.sensors.sets import Sets
from lictor.sensors.store import Store
from lictor.track.hooks import GroupMeta, HookCatalog
from lictor.wire.hooks import HookRecord
from lictor.wire.records import NamespaceInodes

Identity = tuple[str, str]  # namespace, name
TIMED_RUNS = 32  # bpf/include/policy.h


@dataclass(frozen=True, slots=True)
class SelectorStats:
    """What a selector counted. `hook` is its place among the plan's hooks, `selector` its own among the hook's rules.

    Matches, events posted, held back by a rate limit, lost for want of room in the ring, not enforced because of
    monitor mode, and values that could not be read. `hook_ns`: nanoseconds that the policy took on this hook, with all
    its selectors: an estimate, made of every 32nd run or so.
    """

    hook: int
    selector: int
    matches: int
    posts: int
    limited: int
    dropped: int
    monitored: int
    failed_reads: int
    hook_ns: int


class PolicyCounts(NamedTuple):
    """What is counted for a policy as a whole: values that its conditions could not read, and matches that are told of
    without their return, or not, because it could not be waited for."""

    failed_reads: int
    unjoined: int


def open_engine(process: Object, hierarchy: Hierarchy) -> PolicyEngine:
    """The engine of this kernel, beside a process sensor that is loaded. Raises LictorError."""
    store = Store(process, hierarchy.source, hierarchy.programs)
    return PolicyEngine(store, Attachments(store), KeptCalls(store))


class PolicyEngine:
    """Made with the first policy. Every method may be called from any thread; they take turns."""

    def __init__(self, store: Store, attachments: Attachments, calls: KeptCalls) -> None:
        self._lock = threading.Lock()
        self.store = store
        own = procfs.host_namespaces()
        encoder = Encoder(self.store.shapes, [own.get(name, 0) for name in NamespaceInodes._fields])
        self._sets = Sets(self.store)
        self._predicates = Predicates(self.store, self._sets)
        self._hooks = Hooks(self.store, encoder)
        self._groups = Groups(self.store, encoder, self._hooks, self._predicates)
        self._modes = Modes(self.store)
        self._attachments = attachments
        self.catalog = HookCatalog()
        self._calls = calls
        self._unreturned: list[HookRecord] = []
        self._instance = 0
        self._gone: set[int] = set()
        self._loaded: dict[Identity, Loaded] = {}
        self._instance_at = self.store.shapes.offset("policy_state", "instance")

    def load(self, plan: Plan) -> None:
        """Put a policy in force. Raises LictorError and leaves nothing behind."""
        with self._lock:
            identity = (plan.namespace, plan.name)
            if identity in self._loaded:
                raise LictorError(f"the policy {plan.name} is loaded already", "replace it, or remove it first")
            number = self.store.free["policies"].take()
            self._modes.begin(number, plan)
            try:
                loaded = self._prepare(plan, number)
            except BaseException:
                self.store.free["policies"].give(number)
                raise
            self._switch(loaded)
            self._loaded[identity] = loaded

    def replace(self, plan: Plan) -> None:
        """Put another plan of a loaded policy in force, between one run of a hook program and the next."""
        with self._lock:
            identity = (plan.namespace, plan.name)
            before = self._find(identity)
            loaded = self._prepare(plan, before.number)
            self._switch(loaded)
            self._modes.set(before.number, plan, plan.mode)
            self._loaded[identity] = loaded
            self._retire(before)

    def set_mode(self, namespace: str, name: str, mode: Mode, until: int = 0, after: Mode = Mode.MONITOR) -> None:
        """Say what enforcing actions do from now on. `until`: boot time in ns at which the kernel goes on with `after`,
        whether the agent lives or not; 0: never. A suspended policy is no longer."""
        with self._lock:
            loaded = self._find((namespace, name))
            if loaded.plan.mode is Mode.MONITOR_ONLY:
                raise LictorError(f"the policy {name} has no enforcing action", "there is no mode to set")
            self._modes.set(loaded.number, loaded.plan, mode, until, after)
            for group in loaded.groups:
                self._groups.count_enforcing(group, mode)

    def enforcement(self, namespace: str, name: str) -> EnforcementState:
        return self._modes.state(self._find((namespace, name)).number)

    def unload(self, namespace: str, name: str) -> None:
        """Take a policy out of force. When this returns its last event is in the ring."""
        with self._lock:
            loaded = self._find((namespace, name))
            self.store.arrays["policies"].store32(loaded.number, self._instance_at, 0)
            del self._loaded[namespace, name]
            self._retire(loaded)
            self.store.free["policies"].give(loaded.number)

    def take_unreturned(self, everything: bool = False) -> list[HookRecord]:
        """Calls that matched and will not return: their thread is gone, or their policy. `everything`: all calls."""
        with self._lock:
            found = self._unreturned + (self._calls.all() if everything else self._calls.gone())
            self._unreturned = []
        return found

    def names(self) -> list[Identity]:
        return list(self._loaded)

    def statistics(self, namespace: str, name: str) -> list[SelectorStats]:
        """One row per hook and selector, in the order of the plan."""
        rows = []
        timed, shapes = self.store.arrays["groups"], self.store.shapes
        for group in self._find((namespace, name)).groups:
            first, _ = group.selectors
            (hook_ns,) = shapes.members("rule_group", timed.read(group.number), ("timed",))
            for place in range(group.selectors[1]):
                raw = self.store.arrays["stats"].read(first + place)
                counts = [*shapes.unpack("selector_stats", raw)[:6], hook_ns * TIMED_RUNS]
                rows.append(SelectorStats(group.place, place, *counts))
        return rows

    def counts(self, namespace: str, name: str) -> PolicyCounts:
        raw = self.store.arrays["policies"].read(self._find((namespace, name)).number)
        return PolicyCounts(*self.store.shapes.members("policy_state", raw, PolicyCounts._fields))

    def memory_of(self, namespace: str, name: str) -> int:
        """Bytes of kernel memory that a policy's elements take; what it shares with others is counted in full."""
        with self._lock:
            loaded = self._find((namespace, name))
            own = self.store.arrays["policies"].stride + sum(self._groups.memory(group) for group in loaded.groups)
            return own + sum(self._sets.memory(operands) for operands in loaded.plan.sets)

    def forget_processes(self, present: Container[int]) -> None:
        """Let go of what is known of processes that are gone: most go at their exit, some had other threads then."""
        for key in list(self.store.scopes.keys()):
            if int.from_bytes(key, "little") not in present:
                self.store.scopes.delete(key)
        for key in list(self.store.notes.keys()):
            if int.from_bytes(key, "little") >> 32 not in present:
                self.store.notes.delete(key)

    def losses(self) -> dict[tuple[str, str], int]:
        """(where, why) -> how often since its beginning something was not looked at, or not told."""
        found: dict[tuple[str, str], int] = {}
        with self._lock:
            for hook in self._hooks.by_number.values():
                busy, unjoined = self._hooks.counters(hook)
                found[f"hook {hook.key[0]}", "no working memory in the kernel"] = busy
                found[f"hook {hook.key[0]}", "the return of a call could not be waited for"] = unjoined
            users = self._users()
            for name, fd in self._attachments.program_fds().items():
                where = f"program {name}{_of_policies(users.get(name))}"
                found[where, SKIPPED] = misses_of(fd)
            for name in self.store.object.programs:
                found[f"program {name}", SKIPPED] = misses_of(self.store.object.program_fd(name))
            for name, missed in self._attachments.missed().items():
                where = f"probe {name}{_of_policies(users.get(name))}"
                found[where, "missed by the kernel: it was in another probe, or too many calls had not returned"] = (
                    missed
                )
            for (namespace, name), loaded in self._loaded.items():
                state = self._modes.state(loaded.number)
                where = f"policy {namespace}/{name}" if namespace else f"policy {name}"
                found[where, "suspended: it denied more than its trial period allows"] = int(state.suspended)
                found[where, "a notification for the enforcer was overwritten"] = state.overwritten
                found[where, "a notification for the enforcer found no room"] = state.unused
        return found

    def programs(self) -> list[tuple[str, str, ProgramInfo]]:
        """Every loaded program, the policies that it runs for alone, and what the kernel counted of it."""
        with self._lock:
            users = self._users()
            fds = self._attachments.program_fds()
            return [(name, ",".join(users.get(name, ())), info_of(fd)) for name, fd in fds.items()]

    def _users(self) -> dict[str, list[str]]:
        """Program, as `Attachments.program_fds` names it -> policies that it runs for."""
        found: dict[str, list[str]] = {}
        for (_, name), loaded in self._loaded.items():
            attaches = [attach for group in loaded.groups for attach in group.attached] + loaded.enforcers
            for program in {one for attach in attaches for one in self._attachments.program_names(attach)}:
                found.setdefault(program, []).append(name)
        return found

    def memory(self) -> int:
        """Bytes of kernel memory that the engine's maps hold, for all policies."""
        return self.store.memory()

    def detach(self) -> None:
        """Take every program off its hook; the maps stay readable."""
        self._attachments.close()
        self.store.object.detach()

    def close(self) -> None:
        self._attachments.close()
        self.store.close()

    def _find(self, identity: Identity) -> Loaded:
        found = self._loaded.get(identity)
        if found is None:
            raise LictorError(f"no policy {identity[1]} is loaded", "`lictor policy list` names those that are")
        return found

    def _switch(self, loaded: Loaded) -> None:
        self.store.arrays["policies"].store32(loaded.number, self._instance_at, loaded.instance)

    def _prepare(self, plan: Plan, number: int) -> Loaded:
        """Everything of a load but the last store."""
        _refuse(plan)
        self._instance += 1
        loaded = Loaded(plan, number, self._instance)
        with contextlib.ExitStack() as undo:
            undo.callback(self._retire, loaded)
            for operands in plan.sets:
                loaded.sets.append(self._sets.acquire(operands))
            for place, hook in enumerate(plan.hooks):
                if not hook.missing:
                    group = self._groups.prepare(loaded, hook, place)
                    self.catalog.add(loaded.instance, group.number, GroupMeta(plan, hook, group.slots))
            self._predicates.publish()
            for group in loaded.groups:
                self._groups.link(group, plan.mode)
            wanted = [(group.hook.number, attach) for group in loaded.groups for attach in group.plan.attaches]
            enforcers = [attach for call in plan.enforcer for attach in call.attaches]
            self._attachments.acquire([*wanted, *((0, attach) for attach in enforcers)])
            loaded.enforcers = enforcers
            for group in loaded.groups:
                group.attached = list(group.plan.attaches)
            undo.pop_all()
        return loaded

    def _give_numbers(self) -> None:
        """Hooks that nobody uses: their numbers can be others' once no link has them as its cookie."""
        for number in self._gone.copy():
            if not self._attachments.has(number):
                self._gone.discard(number)
                self._hooks.give_number(number)

    def _retire(self, loaded: Loaded) -> None:
        """Let go of a plan that is out of force: unlink, wait until no run is left that knows it, then free."""
        groups = loaded.groups
        for group in groups:
            self._groups.unlink(group)
        for group in groups:
            self._groups.count_enforcing(group, None)
            for attach in reversed(group.attached):
                self._attachments.release(group.hook.number, attach)
            group.attached.clear()
        for attach in loaded.enforcers:
            self._attachments.release(0, attach)
        loaded.enforcers = []
        self.store.grace_period()
        self._predicates.settle()
        self._unreturned += self._calls.of(loaded.instance)
        for group in groups:
            if group.number:
                self.catalog.remove(loaded.instance, group.number)
            if self._groups.free(group):
                self._gone.add(group.hook.number)
        self._give_numbers()
        self._predicates.publish()
        for operands in loaded.plan.sets[: len(loaded.sets)]:
            self._sets.release(operands)


def _of_policies(names: list[str] | None) -> str:
    return f" (policy {', '.join(names)})" if names else ""


def _refuse(plan: Plan) -> None:
    """What a plan asks for and the engine does not do is named here, before anything is touched."""
    workloads.refuse(plan)
    for hook in plan.hooks:
        if hook.return_action:
            raise not_yet(f"`returnArgAction: {hook.return_action}`")
