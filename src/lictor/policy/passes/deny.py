"""Which program can deny what a hook sees. The program that decides is the one that denies: nothing is handed over
between two programs of which one may be skipped."""

from __future__ import annotations

import dataclasses

import msgspec

from lictor.catalog.hooks import HookKind
from lictor.catalog.operations import BY_LSM, BY_SYSCALL, OPERATIONS, Operation
from lictor.policy.draft import Draft, HookDraft, Value
from lictor.policy.plan import ActionKind, Attach, AttachKind, Source, Subject

_SECURITY = "security_"
# The kernel's function has another name than its LSM hook.
_HOOK_OF_FUNCTION = {"bprm_check": "bprm_check_security"}
# What cgroup programs can stand in for: (written index, `resolve`) → the argument that they present in its place.
_ADDRESS = {(0, ""): 0, (1, ""): 1, (2, ""): 2}
_OF_CGROUP = {
    "socket_connect": _ADDRESS,
    "socket_bind": _ADDRESS,
    "socket_sendmsg": {(0, ""): 0, (1, "msg_name"): 1},
    "socket_create": {(0, ""): 0, (1, ""): 1, (2, ""): 2},
    "connect": {(1, ""): 1, (2, ""): 2},
    "bind": {(1, ""): 1, (2, ""): 2},
    "sendto": {(4, ""): 1},
    "socket": {(0, ""): 0, (2, ""): 2},
}
_INTERNET = (2, 10)  # the families whose sockets run cgroup programs


def denies(hook: HookDraft) -> bool:
    """It has a selector that denies."""
    return any(action.kind is ActionKind.OVERRIDE for rule in hook.rules for action in rule.actions)


def lsm_name(hook: HookDraft) -> str:
    """The LSM hook that a hook is on, or that its function calls."""
    bare = hook.function.removeprefix(_SECURITY)
    return _HOOK_OF_FUNCTION.get(bare, bare)


def operation(hook: HookDraft) -> Operation | None:
    """What the hooked thing does, where that is known."""
    if hook.kind is HookKind.SYSCALL:
        return BY_SYSCALL.get(hook.syscall)
    if hook.kind is HookKind.LSM:
        return BY_LSM.get(hook.function)
    if hook.kind is HookKind.TRACEPOINT:
        return BY_SYSCALL.get(hook.function.partition("/sys_enter_")[2])
    return BY_LSM.get(lsm_name(hook)) if hook.function.startswith(_SECURITY) else None


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
    name = lsm_name(hook)
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
    """cgroup programs in place of a network hook, if they can see what the policy looks at. Then the hook's values are
    read from what these programs present."""
    found = operation(hook)
    if found is None or not found.cgroup or draft.machine.lacks("cgroup/connect") or hook.returns:
        return ()
    known = _OF_CGROUP.get(hook.syscall if hook.kind is HookKind.SYSCALL else lsm_name(hook), {})
    values = [_presented(value, known) for value in hook.values]
    if None in values or (found.name == "create socket" and _is_foreign(hook)):
        return ()
    targets = _senders(draft, hook) if found.name == "send" else found.cgroup
    if targets:
        hook.values = tuple(value for value in values if value is not None)
    sees = "drop packets of IPv4 and IPv6: streams take what is sent, and nothing of it leaves"
    if "egress" not in targets:
        sees = "see IPv4 and IPv6 before they act"
    reason = f"cgroup programs {sees}; others cannot be had ({why})"
    return tuple(Attach(kind=AttachKind.CGROUP, target=target, reason=reason) for target in targets)


def _senders(draft: Draft, hook: HookDraft) -> tuple[str, ...]:
    """What sees datagrams and packets. Those that look at packets do not know whose they are: a policy for some
    processes cannot have them."""
    filters = [one for rule in hook.rules for one in rule.filters]
    whose = any(rule.scope for rule in hook.rules) or any(one.subject is not Subject.SLOT for one in filters)
    packets = not (whose or draft.workload or draft.machine.lacks("cgroup_skb"))
    if not is_connected(hook):
        return (*OPERATIONS["send"].cgroup, *(("egress_raw",) if packets else ()))
    return ("egress",) if packets and not any(map(_is_name, hook.values)) else ()


def _presented(value: Value, known: dict[tuple[int, str], int]) -> Value | None:
    argument = known.get((value.part.index, value.part.resolve))
    if argument is None or value.field != "args":
        return None
    read = msgspec.structs.replace(value.read, source=Source.ARGUMENT, index=argument, steps=(), size=0, user=False)
    return dataclasses.replace(value, read=read)


def _is_foreign(hook: HookDraft) -> bool:
    """It asks for new sockets of other families than IPv4 and IPv6: those run no cgroup programs."""
    slots = {value.read.slot for value in hook.values if value.part.index == 0}
    filters = [one for rule in hook.rules for one in rule.filters if one.operator == "Equal" and one.slot in slots]
    return any(number not in _INTERNET for one in filters for number in one.numbers)


def is_connected(hook: HookDraft) -> bool:
    """It denies whatever the name that is sent to: what connected sockets send has none."""
    slots = {value.read.slot for value in hook.values if _is_name(value)}
    return not all(any(one.slot in slots for one in rule.filters) for rule in hook.rules)


def _is_name(value: Value) -> bool:
    return value.part.resolve == "msg_name" or value.part.index == 4


def _hint(draft: Draft, hook: HookDraft) -> str:
    known = operation(hook)
    if known and not draft.machine.lacks("lsm"):
        named = [name for name in known.lsm if draft.machine.lsm_hook(name)]
        if named and hook.kind is not HookKind.LSM:
            return f"use `lsmhooks` with `hook: {named[0]}`"
    return "`Sigkill` works; the operation may still happen"
