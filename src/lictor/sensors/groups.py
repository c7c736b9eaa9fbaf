"""A group: what one policy holds on one hook. Its selectors, conditions and scopes become elements of the maps here."""

from __future__ import annotations

from dataclasses import dataclass, field

from lictor.errors import LictorError
from lictor.policy.plan import ActionKind, Attach, AttachKind, Filter, Hook, Mode, Plan, Purpose, Rule, Source, Subject
from lictor.sensors.encode import ENFORCING, Encoder
from lictor.sensors.hooks import Hooks, SharedHook, hook_key
from lictor.sensors.predicates import ANYONE, EVERYONE, Predicates, Scope, Term, question_of, workload_question
from lictor.sensors.store import Store

_DENIERS = frozenset((AttachKind.LSM, AttachKind.FMOD_RET, AttachKind.OVERRIDE, AttachKind.CGROUP))
GROUP_SELECTORS, SELECTOR_FILTERS = 16, 24
_NO_BIT = 0xFFFF
_CHANGES = (Subject.NAMESPACE_CHANGE, Subject.CAPABILITY_CHANGE)
_GROUP_RETURN = 1


@dataclass(slots=True)
class Group:
    """One of the policy's hooks in the kernel, and what it holds there."""

    hook: SharedHook
    plan: Hook
    place: int  # among the policy's hooks
    number: int = 0
    bit: int = EVERYONE
    scoped: bool = False
    changes: bool = False  # a condition compares with what a process had at its exec
    linked: bool = False
    slots: dict[int, int] = field(default_factory=dict)  # the plan's -> the hook's
    taken: list[int] = field(default_factory=list)  # of the hook's slots, once for each read
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
    groups: list[Group] = field(default_factory=list)
    enforcers: list[Attach] = field(default_factory=list)
    sets: list[int] = field(default_factory=list)  # the plan's set -> the kernel's


class Groups:
    """Makes groups and lets go of them. Nothing leads to one before it is linked."""

    def __init__(self, store: Store, encoder: Encoder, hooks: Hooks, predicates: Predicates) -> None:
        self._store, self._encoder, self._hooks, self._predicates = store, encoder, hooks, predicates

    def prepare(self, loaded: Loaded, plan: Hook, place: int) -> Group:
        """The group of one of the policy's hooks; what it has taken is in `loaded` even if this raises LictorError."""
        group = Group(self._hooks.acquire(hook_key(plan)), plan, place)
        loaded.groups.append(group)
        wanted = self._add_reads(group)
        rules = plan.rules or (Rule(index=0),)
        can_deny = any(attach.kind in _DENIERS and attach.purpose is Purpose.ENTRY for attach in plan.attaches)
        actions = [action for rule in rules for action in (*rule.actions, *rule.return_actions)]
        group.enforces = any(action.kind in ENFORCING for action in actions)
        group.denies = can_deny and any(action.kind is ActionKind.OVERRIDE for action in actions)
        bits = self._add_scopes(loaded, group, rules)
        self._write_filters(loaded, group, rules)
        self._write_selectors(group, rules, bits, can_deny)
        self._write_group(loaded, group, wanted)
        return group

    def link(self, group: Group, mode: Mode) -> None:
        self._hooks.link(group.hook, group.bit, group.number, group.scoped)
        group.linked = True
        self.count_enforcing(group, mode)

    def unlink(self, group: Group) -> None:
        if group.linked:
            self._hooks.unlink(group.hook, group.bit, group.number, group.scoped)
            group.linked = False

    def count_enforcing(self, group: Group, mode: Mode | None) -> None:
        """Tell the hook of what a group does there; None: it does no more."""
        wanted = (int(group.enforces), int(group.denies and mode is Mode.ENFORCE)) if mode else (0, 0)
        self._hooks.enforce(group.hook, wanted[0] - group.counted[0], wanted[1] - group.counted[1])
        group.counted = wanted

    def memory(self, group: Group) -> int:
        """Bytes that the elements of a group take, the hook's reads of its values among them."""
        counts = {
            "groups": 1,
            "selectors": group.selectors[1],
            "stats": group.selectors[1],
            "filters": group.filters[1],
            "cel_steps": sum(count for _, count in group.expressions),
            "reads": len(set(group.taken)),
        }
        return sum(self._store.arrays[name].stride * count for name, count in counts.items())

    def free(self, group: Group) -> bool:
        """Give back what a group held, when no run is left that knows it. Whether its hook has no user any more."""
        free = self._store.free
        self._hooks.give_blocks(group.hook)
        if group.number:
            free["groups"].give(group.number)
        free["selectors"].give(*group.selectors)
        free["filters"].give(*group.filters)
        for expression in group.expressions:
            free["cel_steps"].give(*expression)
        for slot in group.taken:
            self._hooks.drop_read(group.hook, slot)
        for scope in group.scopes:
            self._predicates.release(scope)
        if group.changes:
            self._predicates.watch_changes(-1)
        return self._hooks.release(group.hook)

    def _add_reads(self, group: Group) -> tuple[int, int]:
        """Bits of the slots that an event shows: those read at entry, those at return."""
        wanted = wanted_return = 0
        for read in group.plan.reads:
            if read.type == "nop":
                continue
            slot = self._hooks.add_read(group.hook, read)
            group.taken.append(slot)
            group.slots[read.slot] = slot
            if read.at_return or read.source is Source.RETURN:
                wanted_return |= 1 << slot
            else:
                wanted |= 1 << slot
        return wanted, wanted_return

    def _add_scopes(self, loaded: Loaded, group: Group, rules: tuple[Rule, ...]) -> list[int]:
        """Give the group the scope of all its rules together; a bit for each rule that has a narrower one."""
        scopes = [_scope(loaded.plan, rule) for rule in rules]
        if len(scopes) > GROUP_SELECTORS:
            raise LictorError(f"{loaded.plan.name} has {len(scopes)} selectors, {GROUP_SELECTORS} are possible")
        whole: Scope = frozenset().union(*scopes)
        if frozenset() in whole:
            whole = ANYONE
        group.bit = self._acquire_scope(group, whole)
        bits = [_NO_BIT if scope == whole else self._acquire_scope(group, scope) for scope in scopes]
        # What a change is told by lies in a process's entry, too.
        if any(one.subject in _CHANGES for rule in rules for one in rule.filters):
            self._predicates.watch_changes(1)
            group.changes = True
        group.scoped = group.changes or group.bit != EVERYONE or any(bit != _NO_BIT for bit in bits)
        return bits

    def _acquire_scope(self, group: Group, scope: Scope) -> int:
        bit = self._predicates.acquire(scope)
        group.scopes.append(scope)
        return bit

    def _write_filters(self, loaded: Loaded, group: Group, rules: tuple[Rule, ...]) -> None:
        store, name = self._store, loaded.plan.name
        filters = []
        for rule in rules:
            conditions = [*rule.filters, *rule.return_filters]
            if len(conditions) > SELECTOR_FILTERS:
                raise LictorError(
                    f"a selector of {name} has {len(conditions)} conditions, {SELECTOR_FILTERS} are possible"
                )
            filters += [self._filter(loaded, group, one, _enforces(rule)) for one in conditions]
        group.filters = (store.free["filters"].take(len(filters)), len(filters)) if filters else (0, 0)
        for number, one in enumerate(filters):
            store.arrays["filters"].write(group.filters[0] + number, one)

    def _filter(self, loaded: Loaded, group: Group, one: Filter, enforces: bool) -> bytes:
        store = self._store
        steps = self._encoder.expression(one, group.slots)
        first = store.free["cel_steps"].take(len(steps)) if steps else 0
        group.expressions.append((first, len(steps)))
        for place, step in enumerate(steps, first):
            store.arrays["cel_steps"].write(place, step)
        return self._encoder.filter(one, group.slots, loaded.plan.sets, dict(enumerate(loaded.sets)), first, enforces)

    def _write_selectors(self, group: Group, rules: tuple[Rule, ...], bits: list[int], can_deny: bool) -> None:
        store, encoder = self._store, self._encoder
        group.selectors = (store.free["selectors"].take(len(rules)), len(rules))
        at = group.filters[0]
        for number, (rule, bit) in enumerate(zip(rules, bits, strict=True), group.selectors[0]):
            store.arrays["stats"].write(number, bytes(store.arrays["stats"].size))
            acts = (*encoder.actions(rule.actions, can_deny), *encoder.actions(rule.return_actions, False))
            counts = (len(rule.filters), len(rule.return_filters))
            store.arrays["selectors"].write(number, store.shapes.pack("selector", at, *counts, bit, *acts))
            at += sum(counts)

    def _write_group(self, loaded: Loaded, group: Group, wanted: tuple[int, int]) -> None:
        store = self._store
        group.number = store.free["groups"].take()
        flags = _GROUP_RETURN if _returns(group.plan) else 0
        whose = (loaded.number, loaded.instance, group.hook.number)
        store.arrays["groups"].write(
            group.number, store.shapes.pack("rule_group", 0, *whose, *group.selectors, flags, *wanted, 0)
        )


def _scope(plan: Plan, rule: Rule) -> Scope:
    terms: set[Term] = set()
    for term in rule.scope:
        predicate = plan.predicates[term.predicate]
        terms.add((question_of(predicate, plan.sets), term.negated))
    if plan.workload is not None:
        terms.add((workload_question(plan.workload), False))
    return frozenset({frozenset(terms)})


def _enforces(rule: Rule) -> bool:
    return any(action.kind in ENFORCING for action in (*rule.actions, *rule.return_actions))


def _returns(plan: Hook) -> bool:
    """Whether events leave when the function returns."""
    reads = any(read.at_return or read.source is Source.RETURN for read in plan.reads)
    return reads or any(rule.return_filters or rule.return_actions for rule in plan.rules)
