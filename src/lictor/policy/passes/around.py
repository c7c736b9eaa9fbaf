"""What is known to get around a rule on a hook, in words."""

from __future__ import annotations

from lictor.catalog.files import FILE_TYPES
from lictor.catalog.hooks import HookKind
from lictor.catalog.operations import Operation
from lictor.catalog.types import Family
from lictor.policy.draft import Draft, HookDraft
from lictor.policy.passes import deny
from lictor.policy.plan import Predicate, PredicateKind, Subject

PERSONALITY = "a personality for which what may be read may be executed (argument 2 says what is done, not 1)"
_BY_PATH = ("Equal", "Prefix", "Postfix")
_PROTECTING = ("mmap_file", "file_mprotect")  # argument 1 is the protection asked for, 2 the one that is given
_SOCKETS = (FILE_TYPES["socket"],)
_OF_PROGRAMS = (PredicateKind.BINARY, PredicateKind.PARENT_BINARY)
_SPARED = "the programs that it spares: code that they load, or another file that is mounted over them"


def everything(draft: Draft, hook: HookDraft) -> tuple[str, ...]:
    """All of it."""
    known = deny.operation(hook)
    found = [*(known.bypass if known else ()), *other_calls(draft, hook, known)]
    found += [f"what `{name}` sees" for name in other_hooks(draft, hook, known)]
    if looks_at_what_is_asked(hook):
        found.append(PERSONALITY)
    if _spares_programs(draft, hook):
        found.append(_SPARED)
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
    wanted = [*known.also, *_also_here(draft, hook, known)]
    if _is_of_sockets(hook):
        wanted = [name for name in wanted if name != "mmap_file"]  # nobody maps those
    return [name for name in wanted if name not in denied and draft.machine.lsm_hook(name)]


def _also_here(draft: Draft, hook: HookDraft, known: Operation) -> list[str]:
    """Hooks that see more of the same on some kernels, or with some conditions."""
    found = []
    if deny.lsm_name(hook) == "mmap_file" and _compared(hook) & {1, 2}:
        found.append("file_mprotect")  # mapped first, protected otherwise later
    if known.name == "send" and draft.machine.function("kernel_sendpage") and deny.is_connected(hook):
        found.append("file_permission")  # before Linux 6.5 splice goes past the hook for sending
    return found


def _spares_programs(draft: Draft, hook: HookDraft) -> bool:
    """A selector is for all programs but some."""
    terms = [term for rule in hook.rules for term in rule.scope if term.negated]
    binaries = {place for place, one in enumerate(draft.predicates.values(Predicate)) if one.kind in _OF_PROGRAMS}
    return any(term.predicate in binaries for term in terms)


def looks_at_what_is_asked(hook: HookDraft) -> bool:
    """A condition on the protection that a process asks for: it may be given more."""
    return deny.lsm_name(hook) in _PROTECTING and 1 in _compared(hook)


def _compared(hook: HookDraft) -> set[int]:
    """Arguments that conditions look at as they are."""
    of_slot = {value.read.slot: value.part.index for value in hook.values if not value.part.resolve}
    filters = [one for rule in hook.rules for one in rule.filters if one.subject is Subject.SLOT]
    return {of_slot[one.slot] for one in filters if one.slot in of_slot}


def _is_of_sockets(hook: HookDraft) -> bool:
    """Every selector asks that the file is a socket."""
    return bool(hook.rules) and all(
        any(one.operator == "FileType" and not one.negated and one.numbers == _SOCKETS for one in rule.filters)
        for rule in hook.rules
    )


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
