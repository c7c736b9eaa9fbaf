"""CelExpr: expressions over the hook's numbers, with positions inside the text."""

from __future__ import annotations

from lictor.catalog.types import Family
from lictor.policy import cel
from lictor.policy.draft import Draft, HookDraft
from lictor.policy.plan import CelStep
from lictor.policy.source import Node, inside


def compile_expression(draft: Draft, hook: HookDraft, text: str, at: Node) -> tuple[CelStep, ...]:
    """The code of an expression; empty if it is wrong, which was then reported."""
    try:
        return cel.lower(text, _variables(hook))
    except cel.CelError as error:
        draft.problems.add("bad-expression", inside(at, text, error.offset), str(error), hint=error.hint)
        return ()


def _variables(hook: HookDraft) -> dict[str, cel.Variable]:
    """`arg0` is the first entry of the hook's `args`, whatever its index."""
    found = {}
    for value in hook.values:
        if value.field == "args" and value.row.family is Family.NUMBER:
            bits = 64 if value.row.bits == 64 else 32
            found[f"arg{value.position}"] = cel.Variable(value.read.slot, bits, value.row.signed)
    return found
