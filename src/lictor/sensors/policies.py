"""Policies in the kernel: loaded all or nothing, in force by one store, replaced at once, let go after a grace period.

A loaded policy's groups lead nowhere until its instance stands in the kernel's word for the policy. That word is the
only thing a load, a removal and a replacement switch: all hooks follow at the same time.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Container
from dataclasses import dataclass, field

from lictor.errors import LictorError
from lictor.host import procfs
from lictor.host.cgroups import Hierarchy
from lictor.kernel.objects import Object
from lictor.kernel.programs import misses_of
from lictor.policy.plan import (
    ActionKind,
    Attach,
    AttachKind,
    Filter,
    Hook,
    Mode,
    Plan,
    Purpose,
    Rule,
    Source,
    Subject,
)
from lictor.sensors.attach import Attachments
from lictor.sensors.calls import KeptCalls
from lictor.sensors.encode import ENFORCING, Encoder, not_yet
from lictor.sensors.hooks import Hooks, SharedHook, hook_key
from lictor.sensors.predicates import ANYONE, EVERYONE, Predicates, Scope, Term, question_of
from lictor.sensors.sets import Sets
from lictor.sensors.store import Store
from lictor.track.hooks import GroupMeta, HookCatalog
from lictor.wire.hooks import HookRecord
from lictor.wire.records import NamespaceInodes

_MODES = {Mode.ENFORCE: 0, Mode.MONITOR: 1, Mode.MONITOR_ONLY: 2}
_DENIERS = frozenset((AttachKind.LSM, AttachKind.FMOD_RET, AttachKind.OVERRIDE, AttachKind.CGROUP))
_TRIAL = "denials-per-minute"
GROUP_SELECTORS, SELECTOR_FILTERS = 16, 24
_NO_BIT = 0xFFFF
_CHANGES = (Subject.NAMESPACE_CHANGE, Subject.CAPABILITY_CHANGE)
_GROUP_RETURN = 1
Identity = tuple[str, str]  # namespace, name


@dataclass(slots=True)
class _Group:
    """One of the policy's hooks in the kernel, and what it holds there."""

    hook: SharedHook
    plan: Hook
    place: int  # among the policy's hooks
    number: int = 0
    bit: int = EVERYONE
    scoped: bool = False
    linked: bool = False
    slots: list[int] = field(default_factory=list)
    scopes: list[Scope] = field(default_factory=list)
    selectors: tuple[int, int] = (0, 0)
    filters: tuple[int, int] = (0, 0)
    expressions: list[tuple[int, int]] = field(default_factory=list)
    attached: list[Attach] = field(default_factory=list)
    enforces: bool = False
    denies: bool = False  # a program is on the hook that can, and an action says so
    counted: tuple[int, int] = (0, 0)  # as the hook has it (Hooks.enforce)


@dataclass(slots=True)
class Loaded:
    """A policy that is in the kernel."""

    plan: Plan
    number: int
    instance: int
    groups: list[_Group] = field(default_factory=list)
    enforcers: list[Attach] = field(default_factory=list)
    sets: list[int] = field(default_factory=list)  # the plan's set -> the kernel's


@dataclass(frozen=True, slots=True)
class SelectorStats:
    """What a selector counted. `hook` is its place among the plan's hooks, `selector` its own among the hook's rules.

    Matches, events posted, held back by a rate limit, lost for want of room in the ring, not enforced because of
    monitor mode, and values that could not be read.
    """

    hook: int
    selector: int
    matches: int
    posts: int
    limited: int
    dropped: int
    monitored: int
    failed_reads: int


@dataclass(frozen=True, slots=True)
class EnforcementState:
    """How a policy's enforcing actions fare. `suspended`: its trial period ended early. `overwritten` and `unused` are
    notifications for the enforcer that another one replaced, and that nothing came to act on. `until`: boot time in ns
    from which `mode` is another one's again, 0: it stays."""

    mode: Mode
    suspended: bool
    denials: int
    overwritten: int
    unused: int
    until: int


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
        self._encoder = encoder
        self._sets = Sets(self.store)
        self._predicates = Predicates(self.store, self._sets)
        self._hooks = Hooks(self.store, encoder)
        self._attachments = attachments
        self.catalog = HookCatalog()
        self._calls = calls
        self._unreturned: list[HookRecord] = []
        self._instance = 0
        self._gone: set[int] = set()
        self._loaded: dict[Identity, Loaded] = {}
        shapes = self.store.shapes
        self._instance_at = shapes.offset("policy_state", "instance")
        members = ("mode", "until", "after", "limit", "denials", "suspended")
        self._policy_at = {name: shapes.offset("policy_state", name) for name in members}

    def load(self, plan: Plan) -> None:
        """Put a policy in force. Raises LictorError and leaves nothing behind."""
        with self._lock:
            identity = (plan.namespace, plan.name)
            if identity in self._loaded:
                raise LictorError(f"the policy {plan.name} is loaded already", "replace it, or remove it first")
            number = self.store.free["policies"].take()
            self._write_policy(number, plan)
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
            self._store_mode(before.number, plan, plan.mode)
            self._loaded[identity] = loaded
            self._retire(before)

    def set_mode(self, namespace: str, name: str, mode: Mode, until: int = 0, after: Mode = Mode.MONITOR) -> None:
        """Say what enforcing actions do from now on. `until`: boot time in ns at which the kernel goes on with `after`,
        whether the agent lives or not; 0: never. A suspended policy is no longer."""
        with self._lock:
            loaded = self._find((namespace, name))
            if loaded.plan.mode is Mode.MONITOR_ONLY:
                raise LictorError(f"the policy {name} has no enforcing action", "there is no mode to set")
            self._store_mode(loaded.number, loaded.plan, mode, until, after)
            for group in loaded.groups:
                self._count_enforcing(group, mode)

    def enforcement(self, namespace: str, name: str) -> EnforcementState:
        return self._state_of(self._find((namespace, name)))

    def _state_of(self, loaded: Loaded) -> EnforcementState:
        raw = self.store.arrays["policies"].read(loaded.number)
        names = ("mode", "until", "after", "denials", "suspended", "overwritten", "unused")
        mode, until, after, denials, suspended, overwritten, unused = self.store.shapes.members(
            "policy_state", raw, names
        )
        over = until and until <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        by_number = {number: one for one, number in _MODES.items()}
        return EnforcementState(
            by_number[after if over else mode], bool(suspended), denials, overwritten, unused, 0 if over else until
        )

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
        for group in self._find((namespace, name)).groups:
            first, _ = group.selectors
            for place in range(group.selectors[1]):
                raw = self.store.arrays["stats"].read(first + place)
                counts = self.store.shapes.unpack("selector_stats", raw)
                rows.append(SelectorStats(group.place, place, *counts[:6]))
        return rows

    def forget_processes(self, present: Container[int]) -> None:
        """Let go of what is known of processes that are gone: most go at their exit, some had other threads then."""
        for key in list(self.store.scopes.keys()):
            if int.from_bytes(key, "little") not in present:
                self.store.scopes.delete(key)

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
                of = f" (policy {', '.join(users[name])})" if name in users else ""
                found[f"program {name}{of}", "skipped by the kernel: it ran already on that CPU"] = misses_of(fd)
            for (namespace, name), loaded in self._loaded.items():
                state = self._state_of(loaded)
                where = f"policy {namespace}/{name}" if namespace else f"policy {name}"
                found[where, "suspended: it denied more than its trial period allows"] = int(state.suspended)
                found[where, "a notification for the enforcer was overwritten"] = state.overwritten
                found[where, "a notification for the enforcer found no room"] = state.unused
        return found

    def _users(self) -> dict[str, list[str]]:
        """Program, as `Attachments.program_fds` names those with a target of their own -> policies that it runs for."""
        found: dict[str, list[str]] = {}
        for (_, name), loaded in self._loaded.items():
            attaches = [attach for group in loaded.groups for attach in group.attached] + loaded.enforcers
            for attach in attaches:
                users = found.setdefault(f"{attach.kind.value}:{attach.target}", [])
                if name not in users:
                    users.append(name)
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

    def _write_policy(self, number: int, plan: Plan) -> None:
        array = self.store.arrays["policies"]
        array.write(number, bytes(array.size))
        self._store_mode(number, plan, plan.mode)

    def _store_mode(self, number: int, plan: Plan, mode: Mode, until: int = 0, after: Mode = Mode.MONITOR) -> None:
        """One store after the other, in an order in which nothing is enforced longer than it should be."""
        array, at = self.store.arrays["policies"], self._policy_at
        limit = next((int(value) for name, value in plan.options if name == _TRIAL), 0)
        array.store32(number, at["after"], _MODES[after])
        if until:
            array.store64(number, at["until"], until)
        array.store32(number, at["mode"], _MODES[mode])
        if not until:
            array.store64(number, at["until"], 0)
        array.store32(number, at["limit"], limit)
        array.store32(number, at["denials"], 0)
        array.store32(number, at["suspended"], 0)

    def _count_enforcing(self, group: _Group, mode: Mode | None) -> None:
        """Tell the hook of what a group does there; None: it does no more."""
        wanted = (int(group.enforces), int(group.denies and mode is Mode.ENFORCE)) if mode else (0, 0)
        self._hooks.enforce(group.hook, wanted[0] - group.counted[0], wanted[1] - group.counted[1])
        group.counted = wanted

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
                    self._prepare_group(loaded, hook, place)
            self._predicates.publish()
            for group in loaded.groups:
                self._hooks.link(group.hook, group.bit, group.number, group.scoped)
                group.linked = True
                self._count_enforcing(group, plan.mode)
            wanted = [(group.hook.number, attach) for group in loaded.groups for attach in group.plan.attaches]
            enforcers = [attach for call in plan.enforcer for attach in call.attaches]
            self._attachments.acquire([*wanted, *((0, attach) for attach in enforcers)])
            loaded.enforcers = enforcers
            for group in loaded.groups:
                group.attached = list(group.plan.attaches)
            undo.pop_all()
        return loaded

    def _prepare_group(self, loaded: Loaded, plan: Hook, place: int) -> None:
        store, encoder = self.store, self._encoder
        group = _Group(self._hooks.acquire(hook_key(plan)), plan, place)
        loaded.groups.append(group)
        slots: dict[int, int] = {}
        wanted = wanted_return = 0
        for read in plan.reads:
            if read.type == "nop":
                continue
            slot = self._hooks.add_read(group.hook, read)
            group.slots.append(slot)
            slots[read.slot] = slot
            if read.at_return or read.source is Source.RETURN:
                wanted_return |= 1 << slot
            else:
                wanted |= 1 << slot
        rules = plan.rules or (Rule(index=0),)
        can_deny = any(attach.kind in _DENIERS and attach.purpose is Purpose.ENTRY for attach in plan.attaches)
        actions = [action for rule in rules for action in (*rule.actions, *rule.return_actions)]
        group.enforces = any(action.kind in ENFORCING for action in actions)
        group.denies = can_deny and any(action.kind is ActionKind.OVERRIDE for action in actions)
        scopes = [self._scope(loaded.plan, rule) for rule in rules]
        if len(scopes) > GROUP_SELECTORS:
            raise LictorError(f"{plan.name} has {len(scopes)} selectors, {GROUP_SELECTORS} are possible")
        whole: Scope = frozenset().union(*scopes)
        if frozenset() in whole:
            whole = ANYONE
        group.bit = self._acquire_scope(group, whole)
        packed, filters = [], []
        for rule, scope in zip(rules, scopes, strict=True):
            bit = _NO_BIT if scope == whole else self._acquire_scope(group, scope)
            conditions = [*rule.filters, *rule.return_filters]
            if len(conditions) > SELECTOR_FILTERS:
                raise LictorError(
                    f"a selector of {plan.name} has {len(conditions)} conditions, {SELECTOR_FILTERS} are possible"
                )
            filters += [self._filter(loaded, group, one, slots) for one in conditions]
            packed.append((rule, bit))
        # What a change is told by lies in a process's entry, too.
        changes = any(one.subject in _CHANGES for rule in rules for one in rule.filters)
        group.scoped = changes or group.bit != EVERYONE or any(bit != _NO_BIT for _, bit in packed)
        group.filters = (store.free["filters"].take(len(filters)), len(filters)) if filters else (0, 0)
        group.selectors = (store.free["selectors"].take(len(packed)), len(packed))
        for number, one in enumerate(filters):
            store.arrays["filters"].write(group.filters[0] + number, one)
        at = group.filters[0]
        for number, (rule, bit) in enumerate(packed):
            store.arrays["stats"].write(group.selectors[0] + number, bytes(store.arrays["stats"].size))
            store.arrays["selectors"].write(
                group.selectors[0] + number,
                store.shapes.pack(
                    "selector",
                    at,
                    len(rule.filters),
                    len(rule.return_filters),
                    bit,
                    *encoder.actions(rule.actions, can_deny),
                    *encoder.actions(rule.return_actions, False),
                ),
            )
            at += len(rule.filters) + len(rule.return_filters)
        group.number = store.free["groups"].take()
        flags = _GROUP_RETURN if _returns(plan) else 0
        store.arrays["groups"].write(
            group.number,
            store.shapes.pack(
                "rule_group", 0, loaded.number, loaded.instance, group.hook.number, group.selectors[0], len(packed),
                flags, wanted, wanted_return,
            ),
        )  # fmt: skip
        self.catalog.add(loaded.instance, group.number, GroupMeta(loaded.plan, plan, slots))

    def _filter(self, loaded: Loaded, group: _Group, one: Filter, slots: dict[int, int]) -> bytes:
        steps = self._encoder.expression(one, slots)
        first = self.store.free["cel_steps"].take(len(steps)) if steps else 0
        group.expressions.append((first, len(steps)))
        for place, step in enumerate(steps, first):
            self.store.arrays["cel_steps"].write(place, step)
        return self._encoder.filter(one, slots, loaded.plan.sets, dict(enumerate(loaded.sets)), first)

    def _acquire_scope(self, group: _Group, scope: Scope) -> int:
        bit = self._predicates.acquire(scope)
        group.scopes.append(scope)
        return bit

    def _scope(self, plan: Plan, rule: Rule) -> Scope:
        terms: set[Term] = set()
        for term in rule.scope:
            predicate = plan.predicates[term.predicate]
            terms.add((question_of(predicate, plan.sets), term.negated))
        return frozenset({frozenset(terms)})

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
            if group.linked:
                self._hooks.unlink(group.hook, group.bit, group.number, group.scoped)
                group.linked = False
        for group in groups:
            self._count_enforcing(group, None)
            for attach in reversed(group.attached):
                self._attachments.release(group.hook.number, attach)
            group.attached.clear()
        for attach in loaded.enforcers:
            self._attachments.release(0, attach)
        loaded.enforcers = []
        self.store.grace_period()
        self._predicates.settle()
        self._unreturned += self._calls.of(loaded.instance)
        store = self.store
        for group in groups:
            self._hooks.give_blocks(group.hook)
            if group.number:
                self.catalog.remove(loaded.instance, group.number)
                store.free["groups"].give(group.number)
            store.free["selectors"].give(*group.selectors)
            store.free["filters"].give(*group.filters)
            for expression in group.expressions:
                store.free["cel_steps"].give(*expression)
            for slot in group.slots:
                self._hooks.drop_read(group.hook, slot)
            for scope in group.scopes:
                self._predicates.release(scope)
            if self._hooks.release(group.hook):
                self._gone.add(group.hook.number)
        self._give_numbers()
        self._predicates.publish()
        for operands in loaded.plan.sets[: len(loaded.sets)]:
            self._sets.release(operands)


def _returns(plan: Hook) -> bool:
    """Whether events leave when the function returns."""
    reads = any(read.at_return or read.source is Source.RETURN for read in plan.reads)
    return reads or any(rule.return_filters or rule.return_actions for rule in plan.rules)


def _refuse(plan: Plan) -> None:
    """What a plan asks for and the engine does not do is named here, before anything is touched."""
    if plan.workload is not None:
        raise not_yet("workload selectors")
    for hook in plan.hooks:
        if hook.return_action:
            raise not_yet(f"`returnArgAction: {hook.return_action}`")
