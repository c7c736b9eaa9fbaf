"""How each hook is attached on this machine, and why so: design of the choice in docs/adr/0004-attach-choice.md."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from lictor.catalog.hooks import NEVER_RETURN, HookKind
from lictor.catalog.operations import BY_LSM, BY_SYSCALL
from lictor.policy import document
from lictor.policy.draft import Draft, HookDraft
from lictor.policy.passes import deny
from lictor.policy.plan import Attach, AttachKind, Purpose, Source

_FEW = 8  # with more functions, one program for all of them is worth more than a cheap one for each
_FAMILIES = {
    AttachKind.KPROBE_MULTI: "kprobe",
    AttachKind.OVERRIDE: "kprobe",
    AttachKind.SYS_ENTER: "syscall",
    AttachKind.RAW_TRACEPOINT: "raw_tp",
    AttachKind.UPROBE_MULTI: "uprobe",
}


def run(draft: Draft) -> None:
    for hook in draft.live():
        hook.attaches = _ATTACH[hook.kind](draft, hook)
        if hook.attaches:
            first = hook.attaches[0]
            hook.name = f"{_FAMILIES.get(first.kind, first.kind.value)}:{first.target}"
        else:
            hook.broken = True


def _function(draft: Draft, hook: HookDraft) -> tuple[Attach, ...]:
    if deny.denies(hook):
        entry = deny.choose(draft, hook)
        if entry:
            return (*entry, *_returns(draft, hook, entry[0].kind))
        if draft.option("enforcement") != "best-effort":
            return ()
    ways = _ways(draft, hook)
    for kind, lack, reason in ways:
        if lack:
            continue
        if kind is AttachKind.SYS_ENTER:
            return _by_number(hook, reason)
        return (Attach(kind=kind, target=hook.function, reason=reason), *_returns(draft, hook, kind))
    _refuse(draft, hook, [(kind, lack) for kind, lack, _ in ways])
    return ()


def _ways(draft: Draft, hook: HookDraft) -> list[tuple[AttachKind, str, str]]:
    """Ways to attach at a function's beginning, the best first: (kind, why it cannot be or empty, why it is good)."""
    machine = draft.machine
    symbol = hook.symbol
    no_symbol = "" if symbol else "the kernel has no such function"
    fentry = no_symbol or (symbol.fentry if symbol else "")
    kprobe = no_symbol or (symbol.kprobe if symbol else "")
    if hook.kind is HookKind.FUNCTION and any(value.read.source is Source.REGISTER for value in hook.values):
        fentry = fentry or "the policy reads registers, and fentry has none"
    multi = kprobe or machine.lacks("kprobe.multi")
    if draft.option("disable-kprobe-multi") in ("1", "true"):
        multi = multi or "the option disable-kprobe-multi says so"
    guard = "a task that is preempted inside makes others skip it" if machine.preemptible else ""
    safe_return = bool(guard) and not machine.counts_returns
    if hook.siblings < 2 and not (hook.returns and safe_return):
        multi = multi or "there is one function only"
    by_fentry = (AttachKind.FENTRY, fentry, "the cheapest; nothing preempts it on this kernel")
    steady = "never skipped for another task, unlike fentry" if guard else "fentry is not for so many functions"
    by_kprobe = (AttachKind.KPROBE, kprobe, f"fentry cannot be had: {fentry}" if fentry else steady)
    one_link = (
        f"one link for {hook.siblings} functions" if hook.siblings > 1 else f"{steady}; waits for any number of calls"
    )
    by_multi = (AttachKind.KPROBE_MULTI, multi, one_link)
    if hook.section == "fentries":
        return [(AttachKind.FENTRY, fentry, "the policy says so"), by_kprobe]
    if hook.returns and hook.siblings <= _FEW:
        lack = fentry or ("" if hook.function in NEVER_RETURN else machine.lacks("fexit"))
        with_fexit = (AttachKind.FENTRY, lack, "with fexit, which loses no return of a call that waits long")
        ways = [by_multi, with_fexit, by_kprobe] if safe_return else [with_fexit, by_multi, by_kprobe]
    elif hook.siblings > _FEW:
        ways = [by_multi, by_kprobe, by_fentry]
    elif guard:
        ways = [by_multi, by_kprobe, (AttachKind.FENTRY, fentry, f"there are no kprobes; {guard}")]
    else:
        ways = [by_fentry, by_multi, by_kprobe]
    if hook.kind is HookKind.SYSCALL:
        lack = machine.lacks("raw_tp") or ("" if hook.number >= 0 else f"`{hook.syscall}` has no number here")
        ways.append((AttachKind.SYS_ENTER, lack, "there is no other way here; runs at every system call"))
    return ways


def _by_number(hook: HookDraft, reason: str) -> tuple[Attach, ...]:
    target = f"{hook.abi}:{hook.syscall}"
    late = [value for value in hook.values if value.read.user]
    found = [Attach(kind=AttachKind.SYS_ENTER, target=target, number=hook.number, reason=reason)]
    if hook.returns or late:
        why = "the return" if hook.returns else "user memory that was not resident is read again"
        found.append(
            Attach(kind=AttachKind.SYS_EXIT, target=target, purpose=Purpose.RETURN, number=hook.number, reason=why)
        )
    return tuple(found)


def _returns(draft: Draft, hook: HookDraft, entry: AttachKind) -> tuple[Attach, ...]:
    if not hook.returns or hook.function in NEVER_RETURN:
        return ()
    symbol, lacks = hook.symbol, draft.machine.lacks
    ways = [
        (AttachKind.FEXIT, lacks("fexit") or (symbol.fentry if symbol else ""), "loses no return of a long call"),
        (AttachKind.KRETPROBE_MULTI, lacks("kprobe.multi"), "as the entry"),
        (AttachKind.KRETPROBE, lacks("kretprobe") or (symbol.kprobe if symbol else ""), "as the entry"),
    ]
    if entry is AttachKind.KPROBE_MULTI:
        ways = ways[1:]
    elif entry in (AttachKind.KPROBE, AttachKind.OVERRIDE):
        ways = ways[2:]
    else:
        ways = [ways[0], ways[2]]
    for kind, lack, reason in ways:
        if not lack:
            return (Attach(kind=kind, target=hook.function, purpose=Purpose.RETURN, reason=reason),)
    _refuse(draft, hook, [(kind, lack) for kind, lack, _ in ways], "the return of ")
    return ()


def _refuse(draft: Draft, hook: HookDraft, lacks: list[tuple[AttachKind, str]], what: str = "") -> None:
    reasons: dict[str, list[str]] = {}
    for kind, lack in lacks:
        reasons.setdefault(lack, []).append(kind.value)
    why = "; ".join(f"{', '.join(dict.fromkeys(kinds))}: {lack}" for lack, kinds in reasons.items())
    message = f"{what}`{hook.function}` cannot be hooked on this kernel ({why})"
    draft.problems.add("cannot-attach", hook.at, message, hint=_instead(draft, hook))
    hook.broken = True


def _instead(draft: Draft, hook: HookDraft) -> str:
    """What could be used in place of a hook that cannot be had."""
    machine, bare = draft.machine, hook.function.removeprefix("security_")
    operation = BY_LSM.get(bare) or BY_SYSCALL.get(hook.syscall)
    if not machine.lacks("lsm"):
        named = [name for name in (bare, *(operation.lsm if operation else ())) if machine.lsm_hook(name)]
        if named:
            return f"use `lsmhooks` with `hook: {named[0]}`"
    if operation and not machine.lacks("raw_tp") and hook.kind is not HookKind.SYSCALL:
        calls = " or ".join(f"`sys_{name}`" for name in operation.syscalls[:3])
        if deny.denies(hook):
            return f"nothing here denies it; on the system call, {calls}, `Sigkill` works, after the fact"
        return f"use the system call, {calls}, which is seen without kprobes here"
    if not machine.lacks("raw_tp"):
        return "use a raw tracepoint (`tracepoints` with `raw: true`), or a system call"
    return ""


def _lsm(draft: Draft, hook: HookDraft) -> tuple[Attach, ...]:
    lack = draft.machine.lacks("lsm")
    if not lack:
        return (Attach(kind=AttachKind.LSM, target=hook.function, reason="the policy says so"),)
    cgroup = deny.by_cgroup(draft, hook, f"BPF LSM: {lack}")
    if not cgroup:
        _refuse(draft, hook, [(AttachKind.LSM, lack)])
    return cgroup


def _tracepoint(draft: Draft, hook: HookDraft) -> tuple[Attach, ...]:
    return _one(draft, hook, AttachKind.TRACEPOINT, "tracepoint", hook.function)


def _raw(draft: Draft, hook: HookDraft) -> tuple[Attach, ...]:
    return _one(draft, hook, AttachKind.RAW_TRACEPOINT, "raw_tp", hook.function.partition("/")[2])


def _one(draft: Draft, hook: HookDraft, kind: AttachKind, ability: str, target: str) -> tuple[Attach, ...]:
    lack = draft.machine.lacks(ability)
    if lack:
        _refuse(draft, hook, [(kind, lack)])
        return ()
    return (Attach(kind=kind, target=target, reason="the policy says so"),)


def _uprobe(draft: Draft, hook: HookDraft) -> tuple[Attach, ...]:
    multi = hook.siblings > 1 and draft.option("disable-uprobe-multi") not in ("1", "true")
    multi = multi and not draft.machine.lacks("uprobe.multi")
    kind = AttachKind.UPROBE_MULTI if multi else AttachKind.UPROBE
    found = tuple(_in_file(hook, one) for one in _one(draft, hook, kind, "uprobe", hook.function))
    if found and hook.returns:
        back = AttachKind.URETPROBE_MULTI if multi else AttachKind.URETPROBE
        found += (Attach(kind=back, target=hook.function, purpose=Purpose.RETURN, reason="the return"),)
    return found


def _in_file(hook: HookDraft, attach: Attach) -> Attach:
    """With what is to be known of the file."""
    part = hook.part
    assert isinstance(part, document.UProbe)
    return msgspec.structs.replace(
        attach,
        digests=part.binary_digests,
        ignore_digest=bool(part.ignore and part.ignore.digest_verification_failure),
        semaphore=part.ref_ctr_offsets[hook.place] if hook.place < len(part.ref_ctr_offsets) else 0,
    )


def _usdt(draft: Draft, hook: HookDraft) -> tuple[Attach, ...]:
    return _one(draft, hook, AttachKind.USDT, "uprobe", hook.function)


def _loader(_draft: Draft, hook: HookDraft) -> tuple[Attach, ...]:
    return (Attach(kind=AttachKind.LOADER, target=hook.function, reason="the policy says so"),)


_ATTACH: dict[HookKind, Callable[[Draft, HookDraft], tuple[Attach, ...]]] = {
    HookKind.FUNCTION: _function,
    HookKind.SYSCALL: _function,
    HookKind.LSM: _lsm,
    HookKind.TRACEPOINT: _tracepoint,
    HookKind.RAW_TRACEPOINT: _raw,
    HookKind.UPROBE: _uprobe,
    HookKind.USDT: _usdt,
    HookKind.LOADER: _loader,
}
