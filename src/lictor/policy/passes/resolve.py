"""`resolve`: a path of members becomes offsets and dereferences."""

from __future__ import annotations

from lictor.catalog.hooks import HookKind
from lictor.catalog.types import TypeRow
from lictor.errors import LictorError
from lictor.policy import document
from lictor.policy.diagnostics import did_you_mean, one_of
from lictor.policy.draft import Draft, HookDraft
from lictor.policy.plan import Step
from lictor.policy.source import inside
from lictor.wire.btf import STRUCT, UNION
from lictor.wire.ctype import CType, Walk, WalkError

Walked = tuple[CType, tuple[Step, ...], int, int]


def follow(draft: Draft, hook: HookDraft, part: document.Argument, ctype: CType | None) -> Walked | None:
    """The type at the end of the path, the steps to it, and where a bit field lies in it (bits, shift)."""
    in_program = hook.kind in (HookKind.UPROBE, HookKind.USDT) and part.source != "current_task"
    start = _of_program(draft, hook, part) if in_program else _start(draft, part, ctype)
    if start is None:
        return None
    try:
        found = draft.machine.walk(start, part.resolve)
    except WalkError as error:
        hint = did_you_mean(error.component, error.near)
        expected = one_of(error.near, 12) if error.near and not hint else ""
        offset = len(".".join(["", *part.resolve.split(".")[: error.at]]))
        at = inside(part.at("resolve"), part.resolve, offset)
        draft.problems.add("bad-resolve", at, str(error), expected=expected, hint=hint)
        return None
    return found.type, _steps(found), found.bits, found.shift


def _start(draft: Draft, part: document.Argument, ctype: CType | None) -> CType | None:
    if part.btf_type:
        found = draft.machine.type(part.btf_type, part.btf_type_module)
        if found is None:
            where = f"module `{part.btf_type_module}`" if part.btf_type_module else draft.machine.facts.release
            near = draft.machine.facts.near_types(part.btf_type, part.btf_type_module)
            hint = f"did you mean {' or '.join(f'`{name}`' for name in near)}?" if near else ""
            message = f"{where} has no type `{part.btf_type}`"
            if part.btf_type_module and not draft.machine.facts.module_btf(part.btf_type_module):
                message = f"{where} is not loaded on {draft.machine.facts.release}, or describes no types"
            draft.problems.add("bad-resolve", part.at("btfType"), message, hint=hint)
        return found
    if ctype is None:
        message = "the kernel's type of this value is not known"
        draft.problems.add("bad-resolve", part.at("resolve"), message, hint="give `btfType`")
    return ctype


def _of_program(draft: Draft, hook: HookDraft, part: document.Argument) -> CType | None:
    """A type of the file that `btfPath` names."""
    owner = hook.part
    assert isinstance(owner, (document.UProbe, document.Usdt))
    if not owner.btf_path or not part.btf_type:
        message = "`resolve` in a program needs `btfPath` and `btfType`"
        draft.problems.add("missing-field", part.at("resolve"), message, expected="both")
        return None
    try:
        types = draft.machine.program(owner.btf_path)
    except LictorError as error:
        draft.problems.add("facts-missing", owner.at("btfPath"), error.message, hint=error.remedy)
        return None
    found = types.find(part.btf_type.removeprefix("struct "), STRUCT, UNION)
    if found is None:
        hint = did_you_mean(part.btf_type, types.names(STRUCT))
        message = f"`{owner.btf_path}` has no type `{part.btf_type}`"
        draft.problems.add("bad-resolve", part.at("btfType"), message, hint=hint)
        return None
    return CType(types, found.id)


def _steps(found: Walk) -> tuple[Step, ...]:
    return tuple(Step(offset=hop.offset, dereference=hop.dereference) for hop in found.hops)


def ended(steps: tuple[Step, ...], ctype: CType | None, row: TypeRow) -> tuple[Step, ...]:
    """A path that ends at a pointer is followed once more, unless the pointer itself is wanted, as a number."""
    wanted = row.bits and not row.structs
    if not steps or ctype is None or not ctype.is_pointer or wanted:
        return steps
    return (*steps[:-1], Step(offset=steps[-1].offset, dereference=True))
