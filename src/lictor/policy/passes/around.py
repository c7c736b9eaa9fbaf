"""What is known to get around a rule on a hook, in words."""

from __future__ import annotations

from lictor.catalog.hooks import HookKind
from lictor.catalog.operations import Operation
from lictor.catalog.types import Family
from lictor.policy.draft import Draft, HookDraft
from lictor.policy.passes import deny

_BY_PATH = ("Equal", "Prefix", "Postfix")


def everything(draft: Draft, hook: HookDraft) -> tuple[str, ...]:
    """All of it."""
    known = deny.operation(hook)
    found = [*(known.bypass if known else ()), *other_calls(draft, hook, known)]
    found += [f"what `{name}` sees" for name in other_hooks(draft, hook, known)]
    if compares_paths(hook):
        found.append("hard links, bind mounts, another root and renamed directories, which give a file another path")
    return tuple(dict.fromkeys(found))


def other_calls(draft: Draft, hook: HookDraft, known: Operation | None) -> list[str]:
    """Ways to the same effect that no hook of the policy sees, if the hook is on a system call."""
    if hook.kind is not HookKind.SYSCALL:
        return []
    machine = draft.machine
    covered = {(one.abi, one.syscall) for one in draft.live() if one.kind is HookKind.SYSCALL}
    abis = list(machine.prefixes)
    native, compat = abis[0], abis[1] if len(abis) > 1 else ""
    calls = known.syscalls if known else (hook.syscall,)
    sisters = [name for name in calls if (native, name) not in covered and machine.has_syscall(native, name)]
    found = [f"the system call{'s' if len(sisters) > 1 else ''} {', '.join(sisters)}"] if sisters else []
    if compat and any((compat, name) not in covered and machine.has_syscall(compat, name) for name in calls):
        found.append("the 32-bit ABI")
    if known and known.uring and machine.has_syscall(native, "io_uring_setup"):
        found.append("io_uring")
    return found


def other_hooks(draft: Draft, hook: HookDraft, known: Operation | None) -> list[str]:
    """LSM hooks that must deny as well, and do not, if the hook is one of the security modules'."""
    if known is None or hook.kind is HookKind.SYSCALL or hook.kind is HookKind.TRACEPOINT:
        return []
    denied = {deny.lsm_name(one) for one in draft.live() if deny.denies(one)}
    return [name for name in known.also if name not in denied and draft.machine.lsm_hook(name)]


def compares_paths(hook: HookDraft) -> bool:
    """A condition that a file under another path does not meet."""
    paths = {value.read.slot for value in hook.values if value.row.family is Family.PATH or value.read.user}
    filters = [one for rule in hook.rules for one in rule.filters]
    return any(one.operator in _BY_PATH and one.slot in paths for one in filters)


def lsm_hint(draft: Draft, known: Operation | None) -> str:
    """The LSM hook that no way gets around, if this kernel has it."""
    if known is None or draft.machine.lacks("lsm"):
        return ""
    named = [name for name in known.lsm if draft.machine.lsm_hook(name)]
    return f"use `lsmhooks` with `hook: {named[0]}`: it sees what the kernel acts on, whatever the way" if named else ""
