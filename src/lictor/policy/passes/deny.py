"""Which program can deny what a hook sees. The program that decides is the one that denies: nothing is handed over
between two programs of which one may be skipped."""

from __future__ import annotations

from lictor.catalog.hooks import HookKind
from lictor.catalog.operations import BY_LSM, BY_SYSCALL, Operation
from lictor.policy.draft import Draft, HookDraft
from lictor.policy.plan import Attach, AttachKind

_SECURITY = "security_"
# The kernel's function has another name than its LSM hook.
_HOOK_OF_FUNCTION = {"bprm_check": "bprm_check_security", "sb_pivotroot": "sb_pivotroot"}
_OF_CGROUP = frozenset(("sockaddr", "sock", "socket", "int", "int32", "sint32", "uint32"))


def operation(hook: HookDraft) -> Operation | None:
    """What the hooked thing does, where that is known."""
    if hook.kind is HookKind.SYSCALL:
        return BY_SYSCALL.get(hook.syscall)
    if hook.kind is HookKind.LSM:
        return BY_LSM.get(hook.function)
    if hook.kind is HookKind.TRACEPOINT:
        return BY_SYSCALL.get(hook.function.partition("/sys_enter_")[2])
    bare = hook.function.removeprefix(_SECURITY)
    return BY_LSM.get(_HOOK_OF_FUNCTION.get(bare, bare)) if hook.function.startswith(_SECURITY) else None


def choose(draft: Draft, hook: HookDraft) -> tuple[Attach, ...]:
    """The programs for a function or system call; none, reported, if this kernel has none."""
    lacks = []
    for kind, lack, target, reason in ways(draft, hook):
        if not lack:
            return (Attach(kind=kind, target=target, reason=reason),)
        lacks.append(f"{kind.value}: {lack}")
    why = "; ".join(dict.fromkeys(lacks))
    if found := by_cgroup(draft, hook, why):
        return found
    code = "weak-guarantee" if draft.option("enforcement") == "best-effort" else "cannot-enforce"
    message = f"nothing on this kernel can deny `{hook.function}` ({why})"
    draft.problems.add(code, hook.at, message, hint=_hint(draft, hook))
    return ()


def ways(draft: Draft, hook: HookDraft) -> list[tuple[AttachKind, str, str, str]]:
    """(kind, why it cannot be or empty, target, why it is good), the strongest first."""
    symbol = hook.symbol
    none = "the kernel has no such function"
    override = (
        AttachKind.OVERRIDE,
        symbol.override if symbol else none,
        hook.function,
        "the function does not run at all",
    )
    guard = "; a preempted task makes others skip it" if draft.machine.preemptible else ""
    fmod_ret = (
        AttachKind.FMOD_RET,
        symbol.fmod_ret if symbol else none,
        hook.function,
        f"its return value stands in for the function's{guard}",
    )
    forced = {"override-return": [override], "fmod-ret": [fmod_ret]}.get(draft.option("override-method"))
    if forced is not None:
        return forced
    found = [override, fmod_ret] if guard else [fmod_ret, override]
    if hook.function.startswith(_SECURITY):
        found.insert(0, _by_lsm(draft, hook))
    return found


def _by_lsm(draft: Draft, hook: HookDraft) -> tuple[AttachKind, str, str, str]:
    """The LSM hook that a `security_…` function calls, if it has the same arguments."""
    bare = hook.function.removeprefix(_SECURITY)
    name = _HOOK_OF_FUNCTION.get(bare, bare)
    prototype = draft.machine.lsm_hook(name)
    lack = draft.machine.lacks("lsm")
    if not lack and prototype is None:
        lack = f"there is no LSM hook `{name}`"
    if not lack and prototype is not None and hook.prototype is not None:
        given = [one.text for one in hook.prototype.parameters]
        if given != [one.text for one in prototype.parameters]:
            lack = f"LSM hook `{name}` has other arguments"
    if not lack and hook.returns:
        lack = "an LSM program sees no return"
    reason = "never skipped; what another security module denies first is not seen"
    return AttachKind.LSM, lack, name, reason


def by_cgroup(draft: Draft, hook: HookDraft, why: str) -> tuple[Attach, ...]:
    """cgroup programs in place of a network hook, if they can read what the policy reads."""
    found = operation(hook)
    if found is None or not found.cgroup or draft.machine.lacks("cgroup/connect") or hook.returns:
        return ()
    first = 1 if hook.kind is HookKind.SYSCALL else 0  # a descriptor means nothing there
    if any(value.row.name not in _OF_CGROUP or value.read.index < first for value in hook.values):
        return ()
    reason = f"cgroup programs see IPv4 and IPv6 before they act; others cannot be had ({why})"
    return tuple(Attach(kind=AttachKind.CGROUP, target=target, reason=reason) for target in found.cgroup)


def _hint(draft: Draft, hook: HookDraft) -> str:
    known = operation(hook)
    if known and not draft.machine.lacks("lsm"):
        named = [name for name in known.lsm if draft.machine.lsm_hook(name)]
        if named and hook.kind is not HookKind.LSM:
            return f"use `lsmhooks` with `hook: {named[0]}`"
    return "`Sigkill` works; the operation may still happen"
