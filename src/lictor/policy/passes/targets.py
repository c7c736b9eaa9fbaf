"""What each hook is on: functions, system calls, tracepoints, LSM hooks, places in programs; and whether the kernel has
them."""

from __future__ import annotations

import re

from lictor.catalog import syscalls
from lictor.catalog.hooks import HookKind
from lictor.host.nearest import nearest
from lictor.policy import document
from lictor.policy import syscall as naming
from lictor.policy.diagnostics import one_of
from lictor.policy.draft import Draft, HookDraft
from lictor.policy.passes import lists
from lictor.policy.plan import MAX_HOOKS
from lictor.policy.source import Node

# Hex digits of each; a build id has as many as the linker gave it.
_DIGESTS = {"sha1": 40, "sha256": 64, "sha384": 96, "sha512": 128, "build-id": 0}


def run(draft: Draft) -> None:
    spec = draft.spec
    for section in ("kprobes", "fentries"):
        for index, probe in enumerate(getattr(spec, section)):
            _functions(draft, section, index, probe)
    for index, tracepoint in enumerate(spec.tracepoints):
        _tracepoint(draft, index, tracepoint)
    for index, hook in enumerate(spec.lsmhooks):
        _lsm(draft, index, hook)
    for index, uprobe in enumerate(spec.uprobes):
        _uprobe(draft, index, uprobe)
    for index, usdt in enumerate(spec.usdts):
        name = f"{usdt.path}:{usdt.provider}:{usdt.name}"
        draft.hooks.append(HookDraft(usdt, "usdts", index, HookKind.USDT, name, usdt.at("name")))
    if spec.loader:
        part = document.Hook()
        part.node, part.spots = spec.node, {}
        draft.hooks.append(HookDraft(part, "loader", 0, HookKind.LOADER, "loader", spec.at("loader")))
    _messages(draft)
    _files(draft)


def _files(draft: Draft) -> None:
    parts: tuple[document.UProbe | document.Usdt, ...] = (*draft.spec.uprobes, *draft.spec.usdts)
    for part in parts:
        if part.path and not part.path.startswith("/"):
            message = f"`{part.path[:60]}` is no absolute path; the agent does not search for programs"
            draft.problems.add("relative-path", part.at("path"), message)


def _messages(draft: Draft) -> None:
    for section in document.SECTIONS:
        for part in getattr(draft.spec, section):
            if len(part.message) > 256:
                message = f"the message has {len(part.message)} characters, events get 256"
                draft.problems.add("cut-text", part.at("message"), message)


def _functions(draft: Draft, section: str, index: int, probe: document.KProbe) -> None:
    at = probe.at("call")
    names: tuple[str, ...] = (probe.call,) if probe.call else ()
    places: document.ValueList | None = None
    is_syscall, generated = probe.syscall, False
    if probe.call.startswith(lists.PREFIX):
        found = lists.find(draft, probe.call, at)
        names = tuple(dict.fromkeys(draft.names[found.name])) if found else ()
        if found and found.type:
            is_syscall, generated = found.type != "generated_ftrace", found.type.startswith("generated")
        places = None if generated else found
    if len(names) > MAX_HOOKS:
        expected = f"up to {MAX_HOOKS}"
        draft.problems.add("too-many", at, f"the list has {len(names)} functions on this kernel", expected=expected)
        return
    for name in names:
        place = places.item("values", places.values.index(name)) if places else at
        hook = HookDraft(probe, section, index, HookKind.FUNCTION, name, place, siblings=len(names))
        if is_syscall:
            _as_syscall(draft, hook, name, generated)
        else:
            hook.symbol = draft.machine.function(name)
            if hook.symbol is None:
                _unknown_function(draft, hook, name)
        if hook.symbol is not None:
            hook.prototype = hook.symbol.prototype
        if not (hook.missing and generated):
            draft.hooks.append(hook)


def _as_syscall(draft: Draft, hook: HookDraft, written: str, generated: bool) -> None:
    found = naming.find(draft.machine, written)
    hook.kind, hook.function, hook.syscall, hook.abi = HookKind.SYSCALL, found.symbol, found.name, found.abi
    hook.number = -1 if found.number is None else found.number
    hook.symbol = draft.machine.function(found.symbol)
    if hook.symbol is not None:
        return
    if generated:  # the table has calls that this kernel is built without
        hook.missing = True
    elif draft.machine.function(written) is not None:
        hook.broken = True
        message = f"`{written}` is a kernel function, not a system call"
        draft.problems.add("not-a-syscall", hook.at, message, hint="add `syscall: false`")
    else:
        _unknown_function(draft, hook, written)


def _unknown_function(draft: Draft, hook: HookDraft, written: str) -> None:
    probe = hook.part
    ignore = probe.ignore if isinstance(probe, document.KProbe) else None
    if ignore and ignore.call_not_found:
        hook.missing = True
        draft.problems.add("function-left-out", hook.at, f"`{written}` does not exist on {draft.machine.facts.release}")
        return
    hook.broken = True
    hint = ""
    if hook.kind is HookKind.SYSCALL:
        near = [f"sys_{name}" for name in nearest(hook.syscall, syscalls.numbers(hook.abi))]
        functions = [] if near else draft.machine.facts.near_functions(written)
        if functions:
            hint = f"did you mean the function `{functions[0]}`, with `syscall: false`?"
        if hook.number >= 0:
            hint = "other kernels have it: `ignore: {callNotFound: true}` lets the policy load without"
    else:
        near = draft.machine.facts.near_functions(written)
        if f"{next(iter(draft.machine.prefixes.values()))}{written}" in near:
            near = [written]
    message = f"`{written[:100]}` does not exist on {draft.machine.facts.release}"
    draft.problems.add("unknown-function", hook.at, message, hint=hint or _near(near))


def _near(names: list[str] | tuple[str, ...]) -> str:
    return f"did you mean {' or '.join(f'`{name}`' for name in names)}?" if names else ""


def _tracepoint(draft: Draft, index: int, part: document.Tracepoint) -> None:
    machine, name = draft.machine, f"{part.subsystem}/{part.event}"
    kind = HookKind.RAW_TRACEPOINT if part.raw else HookKind.TRACEPOINT
    hook = HookDraft(part, "tracepoints", index, kind, name, part.at("event"))
    draft.hooks.append(hook)
    if not (part.subsystem and part.event):
        hook.broken = True
        return
    if part.raw:
        hook.prototype = machine.raw_tracepoint(part.event)
        known: list[str] = list(machine.facts.raw_tracepoints)
        found, word = hook.prototype is not None, part.event
    else:
        known = machine.facts.tracepoints()
        found, word = machine.tracepoint(part.subsystem, part.event) is not None, name
        if not found and _unread(draft, hook, "tracepoint formats"):
            return
    if not found:
        hook.broken = True
        message = f"tracepoint `{word[:100]}` does not exist on {machine.facts.release}"
        draft.problems.add("unknown-tracepoint", hook.at, message, hint=_near(nearest(word, known)))


def _unread(draft: Draft, hook: HookDraft, what: str) -> bool:
    """Whether facts could not be read; then that is the problem."""
    why = draft.machine.facts.missing.get(what, "")
    if why:
        hook.broken = True
        draft.problems.add("facts-missing", hook.at, f"the machine's {what} are not known ({why})")
    return bool(why)


def _lsm(draft: Draft, index: int, part: document.LsmHook) -> None:
    hook = HookDraft(part, "lsmhooks", index, HookKind.LSM, part.hook, part.at("hook"))
    draft.hooks.append(hook)
    hook.prototype = draft.machine.lsm_hook(part.hook) if part.hook else None
    if hook.prototype is not None:
        return
    hook.broken = True
    known = draft.machine.facts.lsm_hooks
    if not known:
        why = draft.machine.lacks("lsm") or "the kernel's BTF names none"
        draft.problems.add("cannot-attach", hook.at, f"this kernel has no BPF LSM hooks: {why}")
    elif part.hook:
        bare = part.hook.removeprefix("security_").removeprefix("bpf_lsm_")
        near = [bare] if bare in known else nearest(bare, known)
        message = f"LSM hook `{part.hook[:100]}` does not exist on {draft.machine.facts.release}"
        draft.problems.add("unknown-hook", hook.at, message, hint=_near(near))


def _uprobe(draft: Draft, index: int, part: document.UProbe) -> None:
    places: list[tuple[str, Node]] = []
    for field, show in (("symbols", str), ("offsets", hex), ("addrs", lambda at: f"@{at:#x}")):
        for number, value in enumerate(getattr(part, field)):
            places.append((f"{part.path}:{show(value)}", part.item(field, number)))
    if part.ref_ctr_offsets and len(part.ref_ctr_offsets) != len(places):
        message = f"{len(part.ref_ctr_offsets)} semaphores for {len(places)} functions"
        draft.problems.add("conflict", part.at("refCtrOffsets"), message, expected="one per function")
    for number, text in enumerate(part.binary_digests):
        _digest(draft, part, number, text)
    for number, (name, at) in enumerate(places):
        hook = HookDraft(part, "uprobes", index, HookKind.UPROBE, name, at, siblings=len(places), place=number)
        draft.hooks.append(hook)


def _digest(draft: Draft, part: document.UProbe, number: int, text: str) -> None:
    algorithm, _, digits = text.partition(":")
    size = _DIGESTS.get(algorithm)
    if size is None or not re.fullmatch(r"[0-9a-fA-F]+", digits) or len(digits) != (size or len(digits)):
        expected = f"algorithm:hex, with {one_of(_DIGESTS)}"
        draft.problems.add("bad-value", part.item("binaryDigests", number), "this is no digest", expected=expected)
