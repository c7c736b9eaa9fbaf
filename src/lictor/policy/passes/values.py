"""Arguments, data and return values: what is read where, as which type."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lictor.catalog import syscalls
from lictor.catalog.hooks import MOST_ARGUMENTS, HookKind
from lictor.catalog.types import TYPES, Family, TypeRow
from lictor.host.formats import FormatField
from lictor.policy import ctypes, document, plan
from lictor.policy.diagnostics import one_of
from lictor.policy.draft import Draft, HookDraft, Value
from lictor.policy.passes.resolve import follow
from lictor.policy.plan import Read, Source
from lictor.wire.ctype import CType

MAX_BYTES, MAX_DATA_BYTES, MAX_STRING = 4096, 327_360, 4096
_IN_PROGRAMS = (HookKind.UPROBE, HookKind.USDT)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from. `ctype` is its type by BTF, `c` what else says it: a field of a tracepoint's record, or
    a system call's parameter as text. `size`, `steps`, `bits`, `shift`, `relative` as in a Read."""

    source: Source
    index: int = 0
    ctype: CType | None = None
    c: FormatField | str = ""
    size: int = 0
    steps: tuple[plan.Step, ...] = ()
    bits: int = 0
    shift: int = 0
    relative: bool = False


def run(draft: Draft) -> None:
    for hook in draft.live():
        places = [("args", number, part) for number, part in enumerate(hook.part.args)]
        places += [("data", number, part) for number, part in enumerate(getattr(hook.part, "data", ()))]
        given = getattr(hook.part, "return_arg", None)
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
    if "type" in part.spots and part.type not in TYPES:
        return None
    origin = _source(draft, hook, field, part)
    if origin is not None and part.resolve and part.source != "pt_regs":
        origin = _resolved(draft, part, origin)
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
        steps=origin.steps,
        size_index=_size_index(draft, hook, part, row),
        bits=origin.bits,
        shift=origin.shift,
        relative=origin.relative,
        max_bytes=_most_bytes(part, row),
        user=_is_user(hook, row, field, part),
        at_return=field == "returnArg" or _return_copy(draft, hook, part),
        label=part.label,
        resolve=part.resolve,
    )
    return Value(part, field, number, row, read)


def _resolved(draft: Draft, part: document.Argument, origin: Origin) -> Origin | None:
    walked = follow(draft, part, origin.ctype)
    if walked is None:
        return None
    ctype, steps, bits, shift = walked
    return replace(origin, ctype=ctype, c="", steps=steps, bits=bits, shift=shift)


def _source(draft: Draft, hook: HookDraft, field: str, part: document.Argument) -> Origin | None:
    if field == "data" or part.source:
        return _data(draft, field, part)
    if field == "returnArg":
        returns = hook.prototype.returns.type if hook.prototype and hook.kind is HookKind.FUNCTION else None
        if returns is not None and returns.is_void:
            draft.problems.add("type-mismatch", part.node, f"`{hook.function}` returns nothing", hint="remove `return`")
            return None
        return Origin(Source.RETURN, ctype=returns)
    if hook.kind is HookKind.TRACEPOINT:
        return _field(draft, hook, part)
    if hook.kind is HookKind.SYSCALL:
        return _syscall_argument(draft, hook, part)
    if hook.kind is HookKind.USDT:
        return Origin(Source.USDT, part.index)
    return _argument(draft, hook, part)


def _data(draft: Draft, field: str, part: document.Argument) -> Origin | None:
    problems, machine = draft.problems, draft.machine
    known = ("current_task", "pt_regs")
    if field != "data":
        problems.add("conflict", part.at("source"), "only `data` has a `source`", hint="move it to `data`")
        return None
    if part.source not in known:
        problems.add("unknown-value", part.at("source"), f"source `{part.source}` is not known", expected=one_of(known))
        return None
    if not part.resolve:
        problems.add("missing-field", part.node, f"`source: {part.source}` needs `resolve`", expected="`resolve`")
        return None
    if part.source == "pt_regs":
        register = machine.facts.register(part.resolve)
        if register is None:
            problems.add("bad-resolve", part.at("resolve"), f"no register `{part.resolve}`", expected="as `rdi`")
            return None
        return Origin(Source.REGISTER, register.offset)
    return Origin(Source.CURRENT_TASK, ctype=machine.type("struct task_struct"))


def _argument(draft: Draft, hook: HookDraft, part: document.Argument) -> Origin | None:
    index, problems = part.index, draft.problems
    parameters = hook.prototype.parameters if hook.prototype else None
    if parameters is not None and index >= len(parameters):
        shown = ", ".join(f"{one.text} {one.name}".strip() for one in parameters)
        expected = f"0 to {len(parameters) - 1}" if parameters else "no argument"
        message = f"`{hook.function}` has no argument {index}: ({shown})"
        problems.add("bad-index", part.at("index"), message, expected=expected)
        return None
    if index >= MOST_ARGUMENTS:
        message = f"argument {index} is not in a register"
        problems.add("bad-index", part.at("index"), message, expected=f"0 to {MOST_ARGUMENTS - 1}")
        return None
    return Origin(Source.ARGUMENT, index, parameters[index].type if parameters else None)


def _syscall_argument(draft: Draft, hook: HookDraft, part: document.Argument) -> Origin | None:
    known = syscalls.find(hook.abi, hook.syscall)
    given = known.parameters if known else None
    event = known.entry.removeprefix("sys_") if known else hook.syscall
    record = draft.machine.tracepoint("syscalls", f"sys_enter_{event}")
    if record is not None:  # this kernel's own word, after the common four and the number
        given = tuple((one.name, one.text) for one in record.fields[5:] if not one.dynamic)
    most = len(given) if given is not None else MOST_ARGUMENTS
    if part.index >= most:
        shown = f" ({', '.join(f'{kind} {name}' for name, kind in given)})" if given else ""
        message = f"`{hook.syscall}` has no argument {part.index}{shown}"
        draft.problems.add("bad-index", part.at("index"), message, expected=f"0 to {most - 1}")
        return None
    return Origin(Source.SYSCALL, part.index, c=given[part.index][1] if given else "")


def _field(draft: Draft, hook: HookDraft, part: document.Argument) -> Origin | None:
    tracepoint = hook.part
    assert isinstance(tracepoint, document.Tracepoint)
    record = draft.machine.tracepoint(tracepoint.subsystem, tracepoint.event)
    fields = record.fields if record else ()
    if part.index >= len(fields):
        shown = ", ".join(f"{number} {one.name}" for number, one in enumerate(fields))
        message = f"`{hook.function}` has no field {part.index}"
        draft.problems.add("bad-index", part.at("index"), message, expected=f"one of: {shown}")
        return None
    found = fields[part.index]
    return Origin(Source.FIELD, found.offset, c=found, size=found.size, relative=found.relative)


def _row(draft: Draft, hook: HookDraft, part: document.Argument, origin: Origin) -> TypeRow | None:
    """The value's type: as declared, if that fits, or as the kernel has it."""
    problems, ctype, c = draft.problems, origin.ctype, origin.c
    if part.type == "auto":
        name = draft.machine.inferred(ctype) if ctype is not None else _inferred(c)
        if not name:
            known = ctype.text if ctype else c if isinstance(c, str) else c.text
            message = f"which type `{known}` is cannot be told" if known else "the kernel's type is not known here"
            problems.add("type-needed", part.at("type"), message, expected="`type` of this value")
            return None
        return TYPES[name]
    row = TYPES[part.type]
    if hook.kind is HookKind.TRACEPOINT and not row.tracepoint:
        message = f"`{row.name}` is not a type of a tracepoint's field"
        problems.add("type-not-here", part.at("type"), message, hint="with `raw: true` arguments have all types")
        return None
    if ctype is None:
        return row
    grave, why = draft.machine.misfit(row, ctype)
    if why:
        name = draft.machine.inferred(ctype)
        hint = f"use `{name}`" if name else ""
        problems.add("type-mismatch" if grave else "type-differs", part.at("type"), why, hint=hint)
        if grave:
            return None
    return row


def _inferred(c: FormatField | str) -> str:
    if isinstance(c, FormatField):
        return _of_field(c)
    return ctypes.of_c_text(c)


def _of_field(field: FormatField) -> str:
    character = field.type in ("char", "unsigned char", "u8", "__u8")
    if field.dynamic:
        return "data_loc" if field.type == "char" else "const_buf"
    if field.is_array:
        return "string" if character and field.type == "char" else "const_buf"
    if field.type.endswith("char *"):
        return "string"
    if field.type.endswith("*"):
        return "uint64"
    widths = {1: "int8", 2: "int16", 4: "int32", 8: "int64"}
    name = widths.get(field.size, "")
    return name if field.signed or not name else f"u{name}"


def _size_index(draft: Draft, hook: HookDraft, part: document.Argument, row: TypeRow) -> int | None:
    """Which argument holds the byte count; policies count from 1, 0 is none."""
    if not part.size_arg_index:
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


def _is_user(hook: HookDraft, row: TypeRow, field: str, part: document.Argument) -> bool:
    """Whether the value lies in memory of the process."""
    if not row.memory or field == "data" or part.resolve:
        return False
    return hook.kind is HookKind.SYSCALL or hook.kind in _IN_PROGRAMS


def _return_copy(draft: Draft, hook: HookDraft, part: document.Argument) -> bool:
    if part.return_copy and not hook.returns:
        at = part.at("returnCopy")
        draft.problems.add("no-return", at, "`returnCopy` needs the hook's return", hint="add `return: true`")
    return part.return_copy


def reads(hook: HookDraft) -> tuple[plan.Read, ...]:
    return tuple(value.read for value in hook.values)
