"""Arguments, data and return values: what is read where, as which type."""

from __future__ import annotations

from dataclasses import replace

from lictor.catalog.hooks import MOST_ARGUMENTS, HookKind
from lictor.catalog.types import TYPES, Family, TypeRow
from lictor.host.formats import FormatField
from lictor.policy import document, fields, plan
from lictor.policy.diagnostics import one_of
from lictor.policy.draft import Draft, HookDraft, Value
from lictor.policy.passes import origins
from lictor.policy.passes.origins import Origin
from lictor.policy.passes.resolve import ended, follow
from lictor.policy.plan import Read

MAX_BYTES, MAX_DATA_BYTES, MAX_STRING = 4096, 327_360, 4096
_RETURN_ACTIONS = ("TrackSock", "UntrackSock")
_IN_PROGRAMS = (HookKind.UPROBE, HookKind.USDT)


def run(draft: Draft) -> None:
    for hook in draft.live():
        places = [("args", number, part) for number, part in enumerate(hook.part.args)]
        places += [("data", number, part) for number, part in enumerate(getattr(hook.part, "data", ()))]
        given = getattr(hook.part, "return_arg", None)
        _check_return_action(draft, hook)
        if given is not None:
            if hook.returns:
                places.append(("returnArg", 0, given))
            else:
                at = hook.part.at("returnArg")
                draft.problems.add("no-effect", at, "`returnArg` without `return: true` is not read")
        found = [_value(draft, hook, field, number, part, slot) for slot, (field, number, part) in enumerate(places)]
        hook.values = tuple(value for value in found if value is not None)
        hook.broken |= len(hook.values) < len(found)


def _value(draft: Draft, hook: HookDraft, field: str, number: int, part: document.Argument, slot: int) -> Value | None:
    if part.wrong:
        return None
    origin = origins.find(draft, hook, field, part)
    if origin is not None and part.resolve and part.source != "pt_regs":
        origin = _resolved(draft, hook, part, origin)
    row = _row(draft, hook, part, origin) if origin else None
    if origin is None or row is None:
        return None
    read = Read(
        slot=slot,
        type=row.name,
        source=origin.source,
        index=origin.index,
        written_index=part.index,
        size=origin.ctype.size if origin.steps and origin.ctype and row.bits else origin.size,
        steps=ended(origin.steps, origin.ctype, row),
        size_index=_size_index(draft, hook, field, part, row),
        bits=origin.bits,
        shift=origin.shift,
        element=_element(origin, row),
        inline=_is_inline(origin, row),
        dynamic=origin.dynamic,
        relative=origin.relative,
        max_bytes=_most_bytes(part, row),
        user=_is_user(hook, row, field, part, origin),
        at_return=field == "returnArg" or _return_copy(draft, hook, part),
        label=part.label,
        resolve=part.resolve,
    )
    return Value(part, field, number, row, read)


def _check_return_action(draft: Draft, hook: HookDraft) -> None:
    part = hook.part
    if not isinstance(part, document.KProbe) or not part.has("returnArgAction"):
        return
    at = part.at("returnArgAction")
    if part.return_arg_action == "Post":  # what older policies have
        draft.problems.add("no-effect", at, "`Post` is what happens anyway", hint="remove it")
    elif part.return_arg_action not in _RETURN_ACTIONS:
        message = f"`{part.return_arg_action[:40]}` is not possible here"
        draft.problems.add("unknown-value", at, message, expected=one_of(_RETURN_ACTIONS))
    elif part.return_arg is None or part.return_arg.type not in ("sock", "socket"):
        message = f"`{part.return_arg_action}` needs a `returnArg` that is a socket"
        draft.problems.add("conflict", at, message, expected="`returnArg` of type `sock` or `socket`")


def _resolved(draft: Draft, hook: HookDraft, part: document.Argument, origin: origins.Origin) -> Origin | None:
    walked = follow(draft, hook, part, origin.ctype)
    if walked is None:
        return None
    ctype, steps, bits, shift = walked
    return replace(origin, ctype=ctype, c="", steps=steps, bits=bits, shift=shift)


def _row(draft: Draft, hook: HookDraft, part: document.Argument, origin: Origin) -> TypeRow | None:
    """The value's type: as declared, if that fits, or as the kernel has it."""
    problems = draft.problems
    if part.type == "auto":
        name = _inferred(draft, origin)
        if not name:
            known = _kernels_word(origin)
            message = f"which type `{known}` is cannot be told" if known else "the kernel's type is not known here"
            problems.add("type-needed", part.at("type"), message, expected="`type` of this value")
            return None
        return TYPES[name]
    row = TYPES[part.type]
    if hook.kind is HookKind.TRACEPOINT and not row.tracepoint:
        message = f"`{row.name}` is not a type of a tracepoint's field"
        problems.add("type-not-here", part.at("type"), message, hint="with `raw: true` arguments have all types")
        return None
    grave, why = _misfit(draft, row, origin)
    if why:
        name = _inferred(draft, origin)
        hint = f"use `{name}`" if name else ""
        problems.add("type-mismatch" if grave else "type-differs", part.at("type"), why, hint=hint)
    return None if grave else row


def _inferred(draft: Draft, origin: Origin) -> str:
    if origin.ctype is not None:
        return draft.machine.inferred(origin.ctype)
    return fields.of_c_text(origin.c) if isinstance(origin.c, str) else fields.of_field(origin.c)


def _misfit(draft: Draft, row: TypeRow, origin: Origin) -> tuple[bool, str]:
    if origin.ctype is not None:
        return draft.machine.misfit(row, origin.ctype)
    if isinstance(origin.c, str):
        return fields.c_misfit(row, origin.c) if origin.c else (False, "")
    return fields.field_misfit(row, origin.c)


def _kernels_word(origin: Origin) -> str:
    if origin.ctype is not None:
        return origin.ctype.text
    return origin.c if isinstance(origin.c, str) else origin.c.text


def _size_index(draft: Draft, hook: HookDraft, field: str, part: document.Argument, row: TypeRow) -> int | None:
    """Which argument holds the byte count; policies count from 1, 0 is none."""
    if not part.size_arg_index:
        counted = part.return_copy or part.resolve or field != "args"
        if row.name == "char_buf" and hook.kind is not HookKind.TRACEPOINT and not counted:
            message = "how long a `char_buf` is must be said: nothing is read of it"
            draft.problems.add("no-effect", part.node, message, hint="add `sizeArgIndex`, or take it for a `string`")
        return None
    if not row.sized:
        draft.problems.add("no-effect", part.at("sizeArgIndex"), f"`{row.name}` takes no size")
        return None
    if hook.kind is HookKind.TRACEPOINT:
        draft.problems.add("no-effect", part.at("sizeArgIndex"), "fields of a tracepoint know their size")
        return None
    count = len(hook.prototype.parameters) if hook.prototype and hook.kind is not HookKind.SYSCALL else MOST_ARGUMENTS
    if part.size_arg_index > count:
        at = part.at("sizeArgIndex")
        draft.problems.add("bad-index", at, f"there is no argument {part.size_arg_index}", expected=f"1 to {count}")
        return None
    return part.size_arg_index - 1


def _most_bytes(part: document.Argument, row: TypeRow) -> int:
    if row.family is Family.BYTES or row.name == "char_buf":
        return MAX_DATA_BYTES if part.max_data else MAX_BYTES
    return MAX_STRING if row.family is Family.TEXT else 0


def _is_user(hook: HookDraft, row: TypeRow, field: str, part: document.Argument, origin: Origin) -> bool:
    """Whether the value lies in memory of the process."""
    by_process = hook.kind is HookKind.SYSCALL or hook.kind in _IN_PROGRAMS
    if field == "data" or not (row.memory or (part.resolve and by_process)):
        return False
    if hook.kind is HookKind.TRACEPOINT:  # only the records of system calls point there
        return hook.function.startswith("syscalls/") and isinstance(origin.c, FormatField) and origin.c.type[-1:] == "*"
    return by_process


def _is_inline(origin: Origin, row: TypeRow) -> bool:
    return isinstance(origin.c, FormatField) and not row.bits and origin.c.is_array and not origin.c.dynamic


def _element(origin: Origin, row: TypeRow) -> int:
    """Arrays of `long` are shown number by number."""
    if row.name != "const_buf" or not isinstance(origin.c, FormatField) or origin.c.dynamic:
        return 0
    return 8 if origin.c.type.split()[-1] == "long" and origin.c.size == 8 * origin.c.count else 0


def _return_copy(draft: Draft, hook: HookDraft, part: document.Argument) -> bool:
    if part.return_copy and not hook.returns:
        at = part.at("returnCopy")
        draft.problems.add("no-return", at, "`returnCopy` needs the hook's return", hint="add `return: true`")
    return part.return_copy


def reads(hook: HookDraft) -> tuple[plan.Read, ...]:
    return tuple(value.read for value in hook.values)


def return_action(hook: HookDraft) -> str:
    """What happens with the socket that is returned; empty if nothing does."""
    found = getattr(hook.part, "return_arg_action", "")
    return found if found in _RETURN_ACTIONS else ""
