"""What happens when a selector matches: actions with their parameters."""

from __future__ import annotations

import re
from collections.abc import Callable

from lictor.catalog.actions import ACTIONS
from lictor.catalog.hooks import HookKind
from lictor.catalog.types import Family
from lictor.policy import document
from lictor.policy.diagnostics import one_of
from lictor.policy.draft import Draft, HookDraft
from lictor.policy.plan import Action, ActionKind, RateScope

_RATE = re.compile(r"([0-9]{1,10})([smhSMH]?)\Z")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_REGISTER = r"%?[a-z][a-z0-9]*"
_ASSIGNMENT = re.compile(rf"{_REGISTER}=(-?(0x[0-9a-fA-F]+|\d+)|(-?(0x[0-9a-fA-F]+|\d+))?(%\w+|\(%\w+\)))\Z")
_GREATEST_ERRNO, _GREATEST_SIGNAL = 4095, 64
_LONGEST_INTERVAL_S = 1 << 33  # in nanoseconds it must fit 63 bits
IMA_HOOKS = frozenset(
    (
        "bprm_check_security", "bprm_committed_creds", "bprm_committing_creds", "bprm_creds_for_exec",
        "bprm_creds_from_file", "file_ioctl", "file_lock", "file_open", "file_post_open", "file_receive", "mmap_file",
    )
)  # fmt: skip


def compile_action(draft: Draft, hook: HookDraft, part: document.MatchAction, at_return: bool) -> Action | None:
    """One action; None if something is wrong with it, which was then reported."""
    row = ACTIONS.get(part.action)
    if row is None or part.wrong:
        return None
    if hook.section not in row.sections or (at_return and not row.at_return):
        where = "at return" if hook.section in row.sections else f"on a {hook.kind}"
        able = [
            one.name for one in ACTIONS.values() if hook.section in one.sections and (one.at_return or not at_return)
        ]
        message = f"`{part.action}` is not possible {where}"
        draft.problems.add("action-not-here", part.at("action"), message, expected=one_of(able))
        return None
    allowed = {"action", *row.required, *row.optional}
    for name in part.spots:
        if name not in allowed and name in document.MatchAction.FIELDS:
            draft.problems.add("no-effect", part.spots[name], f"`{part.action}` does not use `{name}`")
    absent = [name for name in row.required if not part.has(name)]
    for name in absent:
        draft.problems.add("action-parameter", part.node, f"`{part.action}` needs `{name}`", expected=f"`{name}`")
    if absent:
        return None
    before = draft.problems.errors
    found = _MAKERS[ActionKind(part.action)](draft, hook, part)
    return found if draft.problems.errors == before else None


def _plain(_draft: Draft, _hook: HookDraft, part: document.MatchAction) -> Action:
    return Action(kind=ActionKind(part.action))


def _post(draft: Draft, hook: HookDraft, part: document.MatchAction) -> Action:
    functions = (HookKind.FUNCTION, HookKind.SYSCALL)
    for name in ("kernelStackTrace", "userStackTrace"):
        if part.has(name) and hook.kind not in functions:
            draft.problems.add("no-effect", part.at(name), f"a {hook.kind} has no stack traces")
    if part.ima_hash:
        _check_ima(draft, hook, part)
    return Action(
        kind=ActionKind.POST,
        rate_interval_ns=_interval(draft, part),
        rate_scope=_rate_scope(draft, part),
        kernel_stack=part.kernel_stack_trace and hook.kind in functions,
        user_stack=part.user_stack_trace and hook.kind in functions,
        ima_hash=part.ima_hash,
    )


def _check_ima(draft: Draft, hook: HookDraft, part: document.MatchAction) -> None:
    if hook.kind is not HookKind.LSM or hook.function not in IMA_HOOKS:
        message = "this hook has no file for an IMA hash"
        draft.problems.add("action-not-here", part.at("imaHash"), message, expected=one_of(sorted(IMA_HOOKS)))
    elif why := draft.machine.lacks("lsm.s (IMA hash)"):
        draft.problems.add("cannot-attach", part.at("imaHash"), f"this kernel gives no IMA hash: {why}")


def _interval(draft: Draft, part: document.MatchAction) -> int:
    if not part.has("rateLimit"):
        return 0
    match = _RATE.match(part.rate_limit.strip())
    seconds = int(match[1]) * _SECONDS[match[2].lower()] if match else 0
    if not match or seconds > _LONGEST_INTERVAL_S:
        message = f"`{part.rate_limit[:40]}` is no time"
        draft.problems.add("action-parameter", part.at("rateLimit"), message, expected="as `5`, `5s`, `1m` or `1h`")
        return 0
    return seconds * 1_000_000_000


def _rate_scope(draft: Draft, part: document.MatchAction) -> RateScope:
    if not part.has("rateLimitScope"):
        return RateScope.THREAD
    at = part.at("rateLimitScope")
    if not part.has("rateLimit"):
        draft.problems.add("no-effect", at, "`rateLimitScope` without `rateLimit`")
    try:
        return RateScope(part.rate_limit_scope.lower())
    except ValueError:
        message = f"no scope `{part.rate_limit_scope[:40]}`"
        draft.problems.add("action-parameter", at, message, expected=one_of(RateScope))
        return RateScope.THREAD


def _error(draft: Draft, part: document.MatchAction) -> int:
    if not part.has("argError"):
        return 0
    if not -_GREATEST_ERRNO <= part.arg_error < 0:
        hint = f"did you mean {-part.arg_error}?" if 0 < part.arg_error <= _GREATEST_ERRNO else ""
        message = f"{part.arg_error} is no negative errno"
        expected = f"-1 to -{_GREATEST_ERRNO}, as -1 for EPERM"
        draft.problems.add("action-parameter", part.at("argError"), message, expected=expected, hint=hint)
    return part.arg_error


def _signal_number(draft: Draft, part: document.MatchAction) -> int:
    if part.has("argSig") and not 1 <= part.arg_sig <= _GREATEST_SIGNAL:
        message = f"{part.arg_sig} is no signal"
        draft.problems.add("action-parameter", part.at("argSig"), message, expected=f"1 to {_GREATEST_SIGNAL}")
    return part.arg_sig


def _override(draft: Draft, hook: HookDraft, part: document.MatchAction) -> Action:
    registers = [name for name in ("argRegs", "argNewSymbol", "argNewAddr", "argNewOffset") if part.has(name)]
    if hook.kind is HookKind.UPROBE:
        return _override_registers(draft, part)
    for name in registers:
        draft.problems.add("action-parameter", part.at(name), f"`{name}` is for uprobes", expected="`argError`")
    if not part.has("argError"):
        draft.problems.add("action-parameter", part.node, "`Override` needs `argError`", expected="`argError: -1`")
    returns = hook.prototype.returns.type if hook.prototype and hook.kind is not HookKind.SYSCALL else None
    if returns is not None and returns.is_void:
        message = f"`{hook.function}` returns nothing: there is no error to stand in for"
        draft.problems.add("action-not-here", part.at("action"), message)
    return Action(kind=ActionKind.OVERRIDE, error=_error(draft, part))


def _override_registers(draft: Draft, part: document.MatchAction) -> Action:
    for number, text in enumerate(part.arg_regs):
        if not _ASSIGNMENT.match(text.replace(" ", "")):
            expected = "`rax=1`, `rax=%rdi`, `rsp=8%rsp`, `rip=(%rsp)` or `rax=16(%rbp)`"
            message = f"`{text[:60]}` assigns nothing"
            draft.problems.add("action-parameter", part.item("argRegs", number), message, expected=expected)
    target = f"symbol:{part.arg_new_symbol}" if part.has("argNewSymbol") else ""
    target = f"address:{part.arg_new_addr:#x}" if part.has("argNewAddr") else target
    target = f"offset:{part.arg_new_offset:#x}" if part.has("argNewOffset") else target
    if not (part.arg_regs or target or part.has("argError")):
        message = "`Override` needs what to change"
        draft.problems.add("action-parameter", part.node, message, expected="`argError`, `argRegs` or `argNew…`")
    registers = tuple(text.replace(" ", "") for text in part.arg_regs)
    if part.has("argError"):  # return at once, with that value
        registers = (f"rax={part.arg_error}", "rip=(%rsp)", "rsp=8%rsp", *registers)
    return Action(kind=ActionKind.OVERRIDE, registers=registers, text=target)


def _signal(draft: Draft, _hook: HookDraft, part: document.MatchAction) -> Action:
    return Action(kind=ActionKind.SIGNAL, signal=_signal_number(draft, part))


def _notify(draft: Draft, _hook: HookDraft, part: document.MatchAction) -> Action:
    if not draft.spec.enforcers:
        message = "`NotifyEnforcer` needs `spec.enforcers`"
        draft.problems.add("no-enforcer", part.at("action"), message, hint="add `enforcers: [{calls: […]}]`")
    if not (part.has("argError") or part.has("argSig")):
        message = "`NotifyEnforcer` needs what to do"
        draft.problems.add("action-parameter", part.node, message, expected="`argError`, `argSig` or both")
    return Action(kind=ActionKind.NOTIFY_ENFORCER, error=_error(draft, part), signal=_signal_number(draft, part))


def _socket(draft: Draft, hook: HookDraft, part: document.MatchAction) -> Action:
    for value in hook.values:
        if value.field == "args" and value.part.index == part.arg_sock and value.row.family is Family.SOCKET:
            return Action(kind=ActionKind(part.action), argument=value.read.slot)
    message = f"argument {part.arg_sock} is no socket that the hook reads"
    expected = "`index` of a `sock` or `socket` in `args`"
    draft.problems.add("action-parameter", part.at("argSock"), message, expected=expected)
    return Action(kind=ActionKind(part.action))


def _text(_draft: Draft, _hook: HookDraft, part: document.MatchAction) -> Action:
    return Action(kind=ActionKind(part.action), text=part.arg_url or part.arg_fqdn)


def _set(draft: Draft, _hook: HookDraft, part: document.MatchAction) -> Action:
    if not 0 <= part.arg_index < 12:
        message = f"a probe has no argument {part.arg_index}"
        draft.problems.add("action-parameter", part.at("argIndex"), message, expected="0 to 11")
    return Action(kind=ActionKind.SET, argument=part.arg_index, value=part.arg_value)


_MAKERS: dict[ActionKind, Callable[[Draft, HookDraft, document.MatchAction], Action]] = {
    ActionKind.POST: _post,
    ActionKind.NO_POST: _plain,
    ActionKind.SIGKILL: _plain,
    ActionKind.SIGNAL: _signal,
    ActionKind.OVERRIDE: _override,
    ActionKind.NOTIFY_ENFORCER: _notify,
    ActionKind.CLEANUP_ENFORCER_NOTIFICATION: _plain,
    ActionKind.TRACK_SOCK: _socket,
    ActionKind.UNTRACK_SOCK: _socket,
    ActionKind.GET_URL: _text,
    ActionKind.DNS_LOOKUP: _text,
    ActionKind.SET: _set,
}
