"""What enforcing actions promise on this machine, and what gets around them. More than the kernel gives is refused."""

from __future__ import annotations

from lictor.catalog.hooks import HookKind
from lictor.catalog.operations import Operation
from lictor.catalog.types import Family
from lictor.policy import syscall as naming
from lictor.policy.draft import Draft, HookDraft
from lictor.policy.passes import deny, lists
from lictor.policy.plan import (
    Action,
    ActionKind,
    Attach,
    AttachKind,
    Enforcement,
    EnforcerCall,
    Guarantee,
    Mode,
    Purpose,
    Rule,
)

_SIGKILL = 9
_ORDER = list(Guarantee)
_ENFORCING = frozenset(
    (ActionKind.SIGKILL, ActionKind.SIGNAL, ActionKind.OVERRIDE, ActionKind.NOTIFY_ENFORCER, ActionKind.SET)
)
_METHODS = frozenset((AttachKind.LSM, AttachKind.FMOD_RET, AttachKind.OVERRIDE, AttachKind.CGROUP))
_REASONS = {
    AttachKind.LSM: "an LSM program answers before the operation and is never skipped",
    AttachKind.OVERRIDE: "the function is left before it begins",
    AttachKind.CGROUP: "the cgroup program answers before the operation",
}


def run(draft: Draft) -> None:
    _enforcers(draft)
    enforcing = False
    for hook in draft.live():
        actions = [action for rule in hook.rules for action in (*rule.actions, *rule.return_actions)]
        if not any(action.kind in _ENFORCING for action in actions):
            continue
        enforcing = True
        hook.enforcement = _of_hook(draft, hook, {action.kind for action in actions}, actions)
        _report(draft, hook, hook.enforcement, {action.kind for action in actions})
    if enforcing:
        draft.mode = Mode.MONITOR if draft.option("policy-mode") == "monitor" else Mode.ENFORCE


def _of_hook(draft: Draft, hook: HookDraft, kinds: set[ActionKind], actions: list[Action]) -> Enforcement:
    known = deny.operation(hook)
    around = bypasses(hook, known)
    if ActionKind.OVERRIDE in kinds:
        method = next((one.kind for one in hook.attaches if one.kind in _METHODS), None)
        if hook.kind is HookKind.UPROBE:
            return _registers(draft, hook)
        if method is not None:
            return _by_method(draft, method, around, _racy(hook))
        reason = "nothing on this kernel can deny it"
        return Enforcement(method=None, guarantee=Guarantee.NONE, reason=reason, bypasses=around)
    if ActionKind.NOTIFY_ENFORCER in kinds:
        worst = max(
            (call.enforcement for call in draft.enforcer), key=lambda one: _ORDER.index(one.guarantee), default=None
        )
        if worst is not None:
            return Enforcement(
                method=worst.method, guarantee=worst.guarantee, reason=worst.reason, bypasses=(*around, *worst.bypasses)
            )
    if ActionKind.SET in kinds:
        return Enforcement(method=None, guarantee=Guarantee.BEST_EFFORT, reason="the program may write it again")
    return _by_signal(known, kinds, actions, around)


def _by_method(draft: Draft, method: AttachKind, around: tuple[str, ...], racy: str) -> Enforcement:
    if method is AttachKind.FMOD_RET and draft.machine.preemptible:
        reason = "this kernel is preemptible: while a task is preempted inside the program, others skip it"
        return Enforcement(method=method, guarantee=Guarantee.BEST_EFFORT, reason=reason, bypasses=around)
    reason = _REASONS.get(method, "nothing preempts it on this kernel, so that none skips it")
    guarantee = Guarantee.PREVENTED
    if racy:
        guarantee, reason = Guarantee.BEST_EFFORT, f"{racy} is the caller's memory, which can change after the check"
    return Enforcement(method=method, guarantee=guarantee, reason=reason, bypasses=around)


def _by_signal(
    known: Operation | None, kinds: set[ActionKind], actions: list[Action], around: tuple[str, ...]
) -> Enforcement:
    fatal = ActionKind.SIGKILL in kinds or any(action.signal == _SIGKILL for action in actions)
    if not fatal:
        reason = "the program may catch or ignore the signal"
        return Enforcement(method=None, guarantee=Guarantee.BEST_EFFORT, reason=reason, bypasses=around)
    if known is not None and not known.outside:
        reason = f"`{known.name}` has no effect outside the process, which does not return from it"
        return Enforcement(method=None, guarantee=Guarantee.KILLED_BEFORE_RETURN, reason=reason, bypasses=around)
    reason = "the signal acts when the process returns to user space"
    return Enforcement(method=None, guarantee=Guarantee.KILLED_MAY_HAVE_HAPPENED, reason=reason, bypasses=around)


def _racy(hook: HookDraft) -> str:
    """A condition on memory that the process can change after the check."""
    user = {value.read.slot: value for value in hook.values if value.read.user}
    for rule in hook.rules:
        for one in rule.filters:
            if one.operator and one.slot in user and _overrides(rule):
                return f"argument {user[one.slot].part.index}"
    return ""


def _overrides(rule: Rule) -> bool:
    return any(action.kind is ActionKind.OVERRIDE for action in rule.actions)


def bypasses(hook: HookDraft, known: Operation | None) -> tuple[str, ...]:
    """What is known to get around a rule on this hook, in words."""
    found = list(known.bypass) if known else []
    if known and hook.kind in (HookKind.SYSCALL, HookKind.TRACEPOINT):
        sisters = [name for name in known.syscalls if name != hook.syscall]
        if sisters:
            found.append(f"the system calls {', '.join(sisters)}")
        if known.uring:
            found.append("io_uring")
        if hook.abi != "i386":
            found.append("the 32-bit ABI")
    paths = {value.read.slot for value in hook.values if value.row.family is Family.PATH or value.read.user}
    if any(
        one.operator in ("Equal", "Prefix", "Postfix") and one.slot in paths
        for rule in hook.rules
        for one in rule.filters
    ):
        found.append("hard links and bind mounts, which give a file another path")
    return tuple(dict.fromkeys(found))


def _registers(draft: Draft, hook: HookDraft) -> Enforcement:
    lack = draft.machine.lacks("uprobe_regs_change")
    if lack:
        message = f"this kernel does not let uprobes change registers: {lack}"
        draft.problems.add("cannot-enforce", hook.at, message)
    return Enforcement(
        method=AttachKind.UPROBE,
        guarantee=Guarantee.BEST_EFFORT,
        reason="a program can do without the function",
    )


def _report(draft: Draft, hook: HookDraft, found: Enforcement, kinds: set[ActionKind]) -> None:
    problems = draft.problems
    if found.guarantee is Guarantee.KILLED_MAY_HAVE_HAPPENED:
        known = deny.operation(hook)
        what = f"`{known.name}` may still happen" if known else "what it was doing may still happen"
        hint = "add `Override` to prevent it" if hook.kind is not HookKind.TRACEPOINT else "an LSM hook can prevent it"
        problems.add("kill-without-deny", hook.at, f"the process is killed, but {what}", hint=hint)
    elif found.guarantee is Guarantee.BEST_EFFORT and found.method is AttachKind.FMOD_RET:
        weak(draft, hook, found)
    elif found.guarantee is Guarantee.BEST_EFFORT and ActionKind.OVERRIDE in kinds and hook.kind is HookKind.SYSCALL:
        problems.add("weak-guarantee", hook.at, f"`{hook.function}` is denied as a best effort: {found.reason}")


def weak(draft: Draft, hook: HookDraft, found: Enforcement) -> None:
    """The kernel gives less than the policy asks for: refused, unless the policy takes what there is."""
    asked = draft.option("enforcement") == "best-effort"
    hint = "" if asked else "add the option `enforcement: best-effort` to take it, or boot with `preempt=voluntary`"
    message = f"`{hook.function}` can only be denied as a best effort: {found.reason}"
    draft.problems.add("weak-guarantee" if asked else "cannot-enforce", hook.at, message, hint=hint)


def _enforcers(draft: Draft) -> None:
    calls = []
    for part in draft.spec.enforcers:
        for number, written in enumerate(part.calls):
            at = part.item("calls", number)
            names: tuple[str, ...] = (written,)
            if written.startswith(lists.PREFIX):
                found = lists.find(draft, written, at)
                names = draft.names[found.name] if found else ()
            for name in names:
                probe = HookDraft(part, "enforcers", number, HookKind.FUNCTION, name, at)  # type: ignore[arg-type]
                call = _call(draft, probe, name)
                if call is not None:
                    calls.append(call)
    draft.enforcer = tuple(dict.fromkeys(calls))


def _call(draft: Draft, hook: HookDraft, written: str) -> EnforcerCall | None:
    machine = draft.machine
    if not written.startswith("security_"):
        found = naming.find(machine, written)
        hook.kind, hook.function, hook.syscall, hook.abi = HookKind.SYSCALL, found.symbol, found.name, found.abi
    hook.symbol = machine.function(hook.function)
    hook.prototype = hook.symbol.prototype if hook.symbol else None
    if hook.symbol is None:
        message = f"`{written[:100]}` does not exist on {machine.facts.release}"
        draft.problems.add("unknown-function", hook.at, message, expected="system calls, or `security_…` functions")
        return None
    entry = deny.choose(draft, hook)
    if not entry:
        return None
    made = _by_method(draft, entry[0].kind, (), "")
    if made.guarantee is Guarantee.BEST_EFFORT:
        weak(draft, hook, made)
    attaches = tuple(
        Attach(kind=one.kind, target=one.target, purpose=Purpose.ENFORCE, number=one.number, reason=one.reason)
        for one in entry
    )
    return EnforcerCall(function=hook.function, attaches=attaches, enforcement=made)
