"""Warnings that come from knowing the kernel: races, ways around, selectors that cannot match."""

from __future__ import annotations

from lictor.catalog.hooks import HookKind
from lictor.catalog.types import Family
from lictor.policy.draft import Draft, HookDraft
from lictor.policy.passes import around, deny
from lictor.policy.plan import ActionKind, AttachKind, Filter, OperandSet, Rule, Subject

_FEW = 8  # of a long list of system calls that would be said for each
_HOT = frozenset(
    (
        "raw_syscalls/sys_enter", "raw_syscalls/sys_exit", "sched/sched_switch", "sched/sched_waking",
        "sched/sched_wakeup", "kmem/kmalloc", "kmem/kfree", "irq/softirq_entry",
    )
)  # fmt: skip


def run(draft: Draft) -> None:
    sets = draft.sets.values(OperandSet)
    seen: set[tuple[str, int]] = set()
    for hook in draft.live():
        first = (hook.section, hook.index) not in seen
        seen.add((hook.section, hook.index))
        _syscall(draft, hook)
        _not_resident(draft, hook)
        if first:
            _paths(draft, hook)
            if not draft.problems.errors:  # a condition that could not be read is none
                _unreachable(draft, hook)
            _costly(draft, hook)
            for rule in hook.rules:
                _contradiction(draft, hook, rule, sets)


def _used(hook: HookDraft) -> set[int]:
    """Slots that conditions look at."""
    return {one.slot for rule in hook.rules for one in rule.filters if one.subject is Subject.SLOT}


def _syscall(draft: Draft, hook: HookDraft) -> None:
    known = deny.operation(hook)
    hint = around.lsm_hint(draft, known)
    used = _used(hook)
    for value in hook.values:
        if value.read.user and value.read.slot in used and hook.kind in (HookKind.SYSCALL, HookKind.TRACEPOINT):
            message = f"another thread can change argument {value.part.index} of `{hook.function}` after the check"
            draft.problems.add("user-memory-race", value.part.node, message, hint=hint)
    others = around.other_calls(draft, hook, known)
    if others and hook.siblings <= _FEW:
        what = f"`{known.name}` can be done" if known else "the same can be done"
        message = f"{what} without `sys_{hook.syscall}`: by {', or by '.join(others)}"
        draft.problems.add("syscall-bypass" if hook.enforcement else "syscall-coverage", hook.at, message, hint=hint)


def _not_resident(draft: Draft, hook: HookDraft) -> None:
    if not any(one.kind is AttachKind.SYS_ENTER for one in hook.attaches):
        return
    for value in hook.values:
        if value.read.user:
            message = f"argument {value.part.index} may not be resident at the beginning; it is read again at return"
            draft.problems.add("not-resident", value.part.node, message)


def _paths(draft: Draft, hook: HookDraft) -> None:
    if hook.enforcement is None:
        return
    slots = {value.read.slot: value for value in hook.values if value.row.family is Family.PATH}
    for rule in hook.rules:
        for one in rule.filters:
            if one.slot in slots and one.operator in ("Equal", "Prefix", "Postfix") and not one.negated:
                message = "a hard link or a bind mount gives the file another path, which this does not match"
                draft.problems.add("path-bypass", slots[one.slot].part.node, message)


def _unreachable(draft: Draft, hook: HookDraft) -> None:
    selectors = draft.selectors.get((hook.section, hook.index), ())
    for place, rule in enumerate(hook.rules[:-1]):
        if not rule.scope and not rule.filters and not rule.return_filters:
            message = f"selector {place} takes everything, this one is never tried"
            draft.problems.add("unreachable", selectors[place + 1].node, message)
            return


def _costly(draft: Draft, hook: HookDraft) -> None:
    """Hooks that run more often than anything else, and tell of every time."""
    for rule in hook.rules:
        posts = [one for one in rule.actions if one.kind is ActionKind.POST and not one.rate_interval_ns]
        if hook.function in _HOT and posts and not rule.scope and not rule.filters:
            message = f"`{hook.function}` runs all the time, and each time becomes an event"
            draft.problems.add("costly", hook.at, message, hint="add conditions, `matchBinaries` or a `rateLimit`")


def _contradiction(draft: Draft, hook: HookDraft, rule: Rule, sets: tuple[OperandSet, ...]) -> None:
    """Conditions on one value of which no value can satisfy all."""
    selectors = draft.selectors.get((hook.section, hook.index), ())
    groups: dict[int, list[Filter]] = {}
    for one in rule.filters:
        if one.subject is Subject.SLOT and one.operator in ("Equal", "Prefix", "Postfix", "InRange"):
            groups.setdefault(one.slot, []).append(one)
    for group in groups.values():
        if len(group) > 1 and _excluded(group, sets):
            message = "its conditions on one argument exclude each other"
            draft.problems.add("never-matches", selectors[rule.index].node, message)
    held = {(term.predicate, term.negated) for term in rule.scope}
    if any((number, not negated) in held for number, negated in held):
        message = "its conditions on the process exclude each other"
        draft.problems.add("never-matches", selectors[rule.index].node, message)


def _excluded(group: list[Filter], sets: tuple[OperandSet, ...]) -> bool:
    """Whether none of the values that an Equal allows passes the other conditions."""
    exact = next((one for one in group if one.operator == "Equal" and not one.negated), None)
    if exact is None:
        return False
    texts = sets[exact.set].texts if exact.set is not None else ()
    numbers = exact.numbers or (sets[exact.set].numbers if exact.set is not None else ())
    values: tuple[object, ...] = texts or numbers
    others = [one for one in group if one is not exact]
    return not any(all(_passes(value, one, sets) for one in others) for value in values)


def _passes(value: object, one: Filter, sets: tuple[OperandSet, ...]) -> bool:
    kept = sets[one.set] if one.set is not None else None
    if isinstance(value, str):
        texts = kept.texts if kept else ()
        found = {
            "Equal": value in texts,
            "Prefix": any(value.startswith(text) for text in texts),
            "Postfix": any(value.endswith(text) for text in texts),
        }.get(one.operator, True)
    else:
        assert isinstance(value, int)
        ranges = one.ranges or (kept.ranges if kept else ())
        numbers = one.numbers or (kept.numbers if kept else ())
        found = value in numbers or any(low <= value <= high for low, high in ranges)
    return found is not one.negated
