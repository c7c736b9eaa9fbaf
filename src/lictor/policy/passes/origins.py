"""Where the values of a hook come from: arguments, fields of a record, the current task, registers."""

from __future__ import annotations

from dataclasses import dataclass

from lictor.catalog import syscalls
from lictor.catalog.hooks import MOST_ARGUMENTS, HookKind
from lictor.host.formats import FormatField
from lictor.policy import document, plan
from lictor.policy.diagnostics import one_of
from lictor.policy.draft import Draft, HookDraft
from lictor.policy.plan import Source
from lictor.wire.ctype import CType


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from. `ctype` is its type by BTF, `c` what else says it: a field of a tracepoint's record, or
    a system call's parameter as text. `size` and what follows as in a Read."""

    source: Source
    index: int = 0
    ctype: CType | None = None
    c: FormatField | str = ""
    size: int = 0
    steps: tuple[plan.Step, ...] = ()
    bits: int = 0
    shift: int = 0
    dynamic: bool = False
    relative: bool = False


def find(draft: Draft, hook: HookDraft, field: str, part: document.Argument) -> Origin | None:
    if field == "data" or part.source:
        return _data(draft, field, part)
    if field == "returnArg":
        if hook.kind is HookKind.SYSCALL:
            return Origin(Source.RETURN, c="long" if part.type == "auto" else "")  # calls are declared as int too
        returns = hook.prototype.returns.type if hook.prototype else None
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
    if not part.source:
        problems.add("missing-field", part.node, "`data` needs a `source`", expected=one_of(known))
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
    return Origin(Source.FIELD, found.offset, c=found, size=found.size, dynamic=found.dynamic, relative=found.relative)
