"""What enforcing actions promise on this machine, and what gets around them. More than the kernel gives is refused."""

from __future__ import annotations

import msgspec

from lictor.catalog import guarantees
from lictor.catalog.hooks import HookKind
from lictor.policy import syscall as naming
from lictor.policy.draft import Draft, HookDraft
from lictor.policy.passes import around, deny, lists
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
    Subject,
)

_SIGKILL = 9
_ORDER = list(Guarantee)
_TRAMPOLINES = "programs of other tools by fexit or fmod_ret on the function, which call it all the same"
# What the kernel passes over while a task is preempted inside something else.
_SKIPPED = frozenset(
    (AttachKind.KPROBE, AttachKind.KPROBE_MULTI, AttachKind.TRACEPOINT, AttachKind.FENTRY, AttachKind.OVERRIDE)
)
_SIGNALS = frozenset((ActionKind.SIGKILL, ActionKind.SIGNAL))
_ENFORCING = frozenset(
    (ActionKind.SIGKILL, ActionKind.SIGNAL, ActionKind.OVERRIDE, ActionKind.NOTIFY_ENFORCER, ActionKind.SET)
)
_GUARDED = frozenset((AttachKind.FMOD_RET, AttachKind.OVERRIDE))
_METHODS = frozenset((AttachKind.LSM, AttachKind.FMOD_RET, AttachKind.OVERRIDE, AttachKind.CGROUP))


def run(draft: Draft) -> None:
    _enforcers(draft)
    enforcing = False
    for hook in draft.live():
        promises = [_of_rule(draft, hook, rule) for rule in hook.rules]
        made = [one for one in promises if one is not None]
        if made:
            enforcing = True
            hook.enforcement = max(made, key=lambda one: _ORDER.index(one.guarantee))
            _report(draft, hook, hook.enforcement)
    if enforcing:
        draft.mode = Mode.MONITOR if draft.option("policy-mode") == "monitor" else Mode.ENFORCE


def _of_rule(draft: Draft, hook: HookDraft, rule: Rule) -> Enforcement | None:
    """The promise of one selector; None if it does not enforce."""
    actions = (*rule.actions, *rule.return_actions)
    kinds = {action.kind for action in actions}
    if not kinds & _ENFORCING:
        return None
    ways = around.everything(draft, hook)
    if ActionKind.OVERRIDE in kinds:
        return _of_override(draft, hook, rule, ways)
    if ActionKind.NOTIFY_ENFORCER in kinds and draft.enforcer:
        if _is_elsewhere(draft, hook):
            reason = f"no enforcer is on `{hook.function}`: the next call that has one is hit"
            return Enforcement(method=None, guarantee=Guarantee.NONE, reason=reason, bypasses=ways)
        worst = max((call.enforcement for call in draft.enforcer), key=lambda one: _ORDER.index(one.guarantee))
        if draft.machine.preemptible and any(one.kind is AttachKind.FENTRY for one in hook.attaches):
            reason = "this kernel is preemptible: the program that leaves the note can be skipped"
            worst = msgspec.structs.replace(worst, guarantee=Guarantee.BEST_EFFORT, reason=reason)
        return msgspec.structs.replace(worst, bypasses=(*ways, *worst.bypasses))
    if ActionKind.SET in kinds:
        if lack := draft.machine.lacks("bpf_probe_write_user"):
            draft.problems.add("cannot-enforce", hook.at, f"this kernel lets nobody write a program's memory: {lack}")
        return Enforcement(method=None, guarantee=Guarantee.BEST_EFFORT, reason="the program may write it again")
    if lack := _signals_by_cgroup(draft, hook):
        return Enforcement(method=None, guarantee=Guarantee.NONE, reason=lack, bypasses=ways)
    return _of_signal(draft, hook, actions, ways)


def _signals_by_cgroup(draft: Draft, hook: HookDraft) -> str:
    """Why a hook of cgroup programs sends no signals on this kernel, reported; empty if it is none, or sends them."""
    targets = [one.target for one in hook.attaches if one.kind is AttachKind.CGROUP]
    lack = draft.machine.lacks("cgroup signal") if targets else ""
    if any(target.startswith("egress") for target in targets):
        lack = "a packet does not say whose it is"
    if lack:
        code = "weak-guarantee" if draft.option("enforcement") == "best-effort" else "cannot-enforce"
        message = f"`{hook.function}` is seen by cgroup programs, which send no signals here: {lack}"
        draft.problems.add(code, hook.at, message, hint="`Override` alone denies it")
    return lack


def _is_elsewhere(draft: Draft, hook: HookDraft) -> bool:
    """A system call leaves a note that only other system calls act on; a `security_…` function may lie on its way."""
    functions = [call.function for call in draft.enforcer]
    inner = any(function.startswith("security_") for function in functions)
    return hook.kind is HookKind.SYSCALL and hook.function not in functions and not inner


def _of_override(draft: Draft, hook: HookDraft, rule: Rule, ways: tuple[str, ...]) -> Enforcement:
    if hook.kind is HookKind.UPROBE:
        return _registers(draft, hook)
    method = next((one.kind for one in hook.attaches if one.kind in _METHODS), None)
    if method is None:
        reason = "nothing on this kernel can deny it"
        return Enforcement(method=None, guarantee=Guarantee.NONE, reason=reason, bypasses=ways)
    found = _by_method(draft, method, ways)
    if {action.kind for action in rule.actions} & _SIGNALS:
        _signals_by_cgroup(draft, hook)
    weaker = _racy(hook, rule) or _other_ways(draft, hook)
    if weaker and found.guarantee is Guarantee.PREVENTED:
        return msgspec.structs.replace(found, guarantee=Guarantee.BEST_EFFORT, reason=weaker)
    return found


def _by_method(draft: Draft, method: AttachKind, ways: tuple[str, ...]) -> Enforcement:
    row = guarantees.denying(method.value, draft.machine.preemptible)
    if method is AttachKind.OVERRIDE:
        ways = (*ways, _TRAMPOLINES)
    return Enforcement(method=method, guarantee=Guarantee(row.guarantee), reason=row.reason, bypasses=ways)


def _racy(hook: HookDraft, rule: Rule) -> str:
    """A condition on memory that the process can change after the check."""
    user = {value.read.slot: value for value in hook.values if value.read.user}
    raced = [user[one.slot] for one in rule.filters if one.subject is Subject.SLOT and one.slot in user]
    return f"argument {raced[0].part.index} is the caller's memory, which can change after the check" if raced else ""


def _other_ways(draft: Draft, hook: HookDraft) -> str:
    """One way is denied, others to the same effect are not."""
    known = deny.operation(hook)
    others = around.other_calls(draft, hook, known)
    if others:
        return f"the same can be done by {', or by '.join(others)}"
    if around.looks_at_what_is_asked(hook):
        return f"the same can be had by {around.PERSONALITY}"
    hooks = around.other_hooks(draft, hook, known)
    named = " and ".join(f"`{name}`" for name in hooks)
    return f"the same can be done through {named}, which the policy does not deny" if hooks else ""


def _of_signal(draft: Draft, hook: HookDraft, actions: tuple[Action, ...], ways: tuple[str, ...]) -> Enforcement:
    known = deny.operation(hook)
    kills = any(action.kind is ActionKind.SIGKILL or action.signal == _SIGKILL for action in actions)
    skipped = draft.machine.preemptible and any(one.kind in _SKIPPED for one in hook.attaches)
    row = guarantees.of_signal(kills, known is None or known.outside, skipped)
    reason = row.reason.format(operation=known.name if known else "")
    return Enforcement(method=None, guarantee=Guarantee(row.guarantee), reason=reason, bypasses=ways)


def _registers(draft: Draft, hook: HookDraft) -> Enforcement:
    lack = draft.machine.lacks("uprobe registers")
    if lack:
        message = f"this kernel does not let uprobes change registers: {lack}"
        draft.problems.add("cannot-enforce", hook.at, message)
    return Enforcement(
        method=AttachKind.UPROBE,
        guarantee=Guarantee.BEST_EFFORT,
        reason=guarantees.denying("uprobe", False).reason,
    )


def _preventing(draft: Draft, hook: HookDraft) -> str:
    """What could prevent what a signal comes too late for; empty if this kernel has nothing."""
    can = hook.kind is HookKind.LSM
    if hook.kind in (HookKind.FUNCTION, HookKind.SYSCALL):
        can = any(not lack for _, lack, _, _ in deny.ways(draft, hook))
    if can:
        return "add `Override` to prevent it"
    named = around.lsm_hint(draft, deny.operation(hook))
    return named or ("" if draft.machine.lacks("lsm") else "an LSM hook, where there is one for it, can prevent it")


def _report(draft: Draft, hook: HookDraft, found: Enforcement) -> None:
    problems = draft.problems
    if found.guarantee is Guarantee.KILLED_MAY_HAVE_HAPPENED:
        known = deny.operation(hook)
        what = f"`{known.name}` may still happen" if known else "what it was doing may still happen"
        message = f"the process is killed, but {what}"
        problems.add("kill-without-deny", hook.at, message, hint=_preventing(draft, hook))
    elif found.guarantee is Guarantee.NONE and draft.enforcer:
        problems.add("weak-guarantee", hook.at, found.reason, hint="add it to the `calls` of `enforcers`")
    elif found.guarantee is Guarantee.BEST_EFFORT and found.method in _GUARDED and draft.machine.preemptible:
        weak(draft, hook, found)
    elif found.guarantee is Guarantee.BEST_EFFORT and found.method in _METHODS:
        missing = around.other_hooks(draft, hook, deny.operation(hook))
        hint = around.lsm_hint(draft, deny.operation(hook)) if not missing else f"hook `{missing[0]}` too"
        message = f"`{hook.function}` is denied as a best effort: {found.reason}"
        problems.add("weak-guarantee", hook.at, message, hint=hint)


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
        other = machine.function(written) is not None
        what = "is neither a system call nor a hook of" if other else "does not exist on"
        message = f"`{written[:100]}` {what} {machine.facts.release}"
        draft.problems.add("unknown-function", hook.at, message, expected="system calls, or `security_…` functions")
        return None
    entry = deny.choose(draft, hook)
    if not entry:
        return None
    made = _by_method(draft, entry[0].kind, ())
    if made.guarantee is Guarantee.BEST_EFFORT:
        weak(draft, hook, made)
    attaches = tuple(
        Attach(kind=one.kind, target=one.target, purpose=Purpose.ENFORCE, number=one.number, reason=one.reason)
        for one in entry
    )
    return EnforcerCall(function=hook.function, attaches=attaches, enforcement=made)
