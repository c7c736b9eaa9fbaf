"""Conditions on values become filters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TypeVar

from lictor.catalog.capabilities import CAPABILITIES
from lictor.catalog.files import FILE_TYPES
from lictor.catalog.operators import OPERATORS, Operand, OperatorRow
from lictor.catalog.sockets import FAMILIES, PROTOCOLS, TCP_STATES
from lictor.catalog.types import Cost, Family, TypeRow
from lictor.policy import document, operands, syscall
from lictor.policy.diagnostics import one_of
from lictor.policy.draft import Draft, HookDraft, Value
from lictor.policy.operands import BadValueError
from lictor.policy.passes import expressions, lists
from lictor.policy.plan import INLINE, Filter, OperandSet, SetKind, Subject
from lictor.policy.source import Node, integer

_SETS = {
    "Equal": SetKind.STRINGS,
    "Prefix": SetKind.PREFIXES,
    "Postfix": SetKind.POSTFIXES,
    "SubString": SetKind.SUBSTRINGS,
    "SubStringIgnCase": SetKind.SUBSTRINGS_IGNORE_CASE,
}
_T = TypeVar("_T")
_PRIVILEGED = ((0, 1023),)
_COST_OF_SOCKETS = Cost.OBJECT


@dataclass(slots=True)
class Condition:
    """One entry of matchArgs, matchData or matchReturnArgs, and the value that it is about."""

    draft: Draft
    hook: HookDraft
    part: document.MatchArgs
    operator: OperatorRow
    value: Value

    def read(self, one: Callable[[str], _T]) -> list[_T]:
        """Every value by `one`; those that cannot be read are reported and left out."""
        found = []
        for number, text in enumerate(self.part.values):
            try:
                found.append(one(text))
            except BadValueError as error:
                at = self.part.item("values", number)
                self.draft.problems.add(error.code, at, str(error), expected=error.expected, hint=error.hint)
        return found

    def filter(self, operator: str, cost: Cost, **operand: object) -> Filter:
        return Filter(
            subject=Subject.SLOT,
            operator=operator,
            cost=cost,
            negated=self.operator.negated,
            slot=self.value.read.slot,
            written=self.part.values,
            **operand,  # type: ignore[arg-type]
        )


def compile_filter(draft: Draft, hook: HookDraft, field: str, part: document.MatchArgs) -> Filter | None:
    """The filter of one condition; None if something is wrong with it, which was then reported."""
    operator = OPERATORS.get(part.operator)
    if operator is None or part.wrong - {"values"}:
        return None
    value = _subject(draft, hook, field, part)
    if value is None:
        return None
    if value.row.family not in operator.families:
        _unfit(draft, part, operator, value.row)
        return None
    if not part.values and operator.operand is not Operand.NOTHING:
        if part.empty("values") or not part.has("values"):
            message = f"`{part.operator}` needs `values`"
            draft.problems.add("missing-field", part.at("values"), message, expected=operator.operand.value)
        return None
    if part.values and operator.operand is Operand.NOTHING:
        draft.problems.add("no-effect", part.at("values"), f"`{part.operator}` takes no values")
    if value.read.at_return and field != "matchReturnArgs":
        message = f"argument {value.part.index} is read when the function returns, this is asked before"
        draft.problems.add("never-matches", part.node, message, hint="leave out `returnCopy`, or read it twice")
    before = draft.problems.errors
    found = _COMPILERS[operator.operand](Condition(draft, hook, part, operator, value))
    return found if draft.problems.errors == before else None


def _subject(draft: Draft, hook: HookDraft, field: str, part: document.MatchArgs) -> Value | None:
    """The value that a condition is about: by place in the list, or by the argument's number."""
    home = {"matchArgs": "args", "matchData": "data", "matchReturnArgs": "returnArg"}[field]
    mine = [value for value in hook.values if value.field == home]
    if field == "matchReturnArgs":
        if not mine:
            message = "the hook does not read a return value"
            able = "return" in hook.part.FIELDS
            hint = "add `return: true` and `returnArg`" if able else "this kind of hook has none; functions have"
            draft.problems.add("no-return", part.node, message, hint=hint)
        return mine[0] if mine else None
    if part.has("args"):
        places = part.args
        if not places:
            draft.problems.add("missing-field", part.at("args"), "`args` is empty", expected="a place in the list")
            return None
        if places[0] < len(mine):
            return mine[places[0]]
        message = f"the hook's `{home}` has no place {places[0]}"
        expected = f"0 to {len(mine) - 1}" if mine else f"`{home}` in the hook"
        draft.problems.add("unknown-argument", part.item("args", 0), message, expected=expected)
        return None
    fitting = sorted((one for one in mine if one.part.index == part.index), key=lambda one: one.read.at_return)
    if home == "data" and len(fitting) != 1 and part.index < len(mine):
        return mine[part.index]  # data has no arguments' numbers: then it is the place
    if fitting:
        return fitting[0]
    known = one_of(dict.fromkeys(str(value.part.index) for value in mine))
    message = f"argument {part.index} is not among the hook's `{home}`"
    expected = f"index {known}" if known else f"`{home}` in the hook"
    draft.problems.add("unknown-argument", part.at("index"), message, expected=expected)
    return None


def _unfit(draft: Draft, part: document.MatchArgs, operator: OperatorRow, row: TypeRow) -> None:
    fitting = [name for name, one in OPERATORS.items() if row.family in one.families]
    message = f"`{operator.name}` does not work on `{row.name}`"
    expected = one_of(fitting, 40) if fitting else "none: values of this type cannot be compared"
    draft.problems.add("operator-type", part.at("operator"), message, expected=expected)


def _no_operand(condition: Condition) -> Filter | None:
    base = condition.operator.base
    if base == "CapabilitiesGained":
        return _gained(condition)
    return condition.filter(base.removesuffix("Priv"), _COST_OF_SOCKETS, ranges=_PRIVILEGED)


def _gained(condition: Condition) -> Filter | None:
    part, mine = condition.part, [value for value in condition.hook.values if value.field == "args"]
    if len(part.args) != 2 or part.args[1] >= len(mine) or mine[part.args[1]].row.family is not Family.CAPABILITIES:
        message = "`CapabilitiesGained` compares two sets of capabilities"
        condition.draft.problems.add("missing-field", part.at("args"), message, expected="`args: [old, new]`")
        return None
    return condition.filter("CapabilitiesGained", Cost.OBJECT, slot2=mine[part.args[1]].read.slot)


def _equal(condition: Condition) -> Filter | None:
    if condition.value.row.family in (Family.TEXT, Family.PATH, Family.UNIX_ADDRESS):
        return _texts(condition)
    return _numeric(condition, lambda text: _one(condition, text))


def _one(condition: Condition, text: str) -> list[tuple[int, int]]:
    row = condition.value.row
    if text.startswith(lists.PREFIX):
        return [(one, one) for one in _listed(condition, text)]
    if row.family is Family.CAPABILITIES:
        mask = operands.mask_of_capabilities(text)
        return [(mask, mask)]
    names = CAPABILITIES if row.name == "capability" else None
    if row.family is Family.SYSCALL and integer(text) is None:
        found = _syscall(condition, text)
        return [(found, found)]
    found = operands.number(text, operands.limits(row), names)
    return [(found, found)]


def _syscall(condition: Condition, text: str) -> int:
    found = syscall.find(condition.draft.machine, text)
    if found.id is None:
        raise BadValueError(f"no system call `{text[:60]}` ({found.abi})", "a number, or a name as `sys_openat`")
    return found.id


def _listed(condition: Condition, text: str) -> list[int]:
    at = condition.part.item("values", condition.part.values.index(text))
    found = lists.find(condition.draft, text, at)
    if found is None:
        return []
    row = condition.value.row
    flagged = row.family is Family.SYSCALL  # a plain number does not say of which ABI it is
    if condition.operator.base != "InMap" or not (flagged or row.bits == 64):
        raise BadValueError("a list is compared with `InMap`, and with a `syscall64` or a `uint64`", code="bad-list")
    numbers = []
    for name in condition.draft.names[found.name]:
        one = syscall.find(condition.draft.machine, name)
        if one.id is not None and one.number is not None:
            numbers.append(one.id if flagged else one.number)
        elif not found.type.startswith("generated"):
            raise BadValueError(f"`{name}` of list `{found.name}` is no system call of {one.abi or 'this machine'}")
    return numbers


def _ranges(condition: Condition) -> Filter | None:
    row = condition.value.row

    def one(text: str) -> list[tuple[int, int]]:
        return [operands.span(text, operands.limits(row))] if ":" in _unlisted(text) else _one(condition, text)

    return _numeric(condition, one)


def _unlisted(text: str) -> str:
    return "" if text.startswith(lists.PREFIX) else text


def _numbers(condition: Condition) -> Filter | None:
    row, base = condition.value.row, condition.operator.base
    bounds = operands.limits(row)
    if base == "Mask":
        masks = condition.read(lambda text: _one(condition, text)[0][0] & ((1 << row.bits) - 1))
        mask = reduce(or_, masks, 0)
        if not mask and not condition.draft.problems.errors:
            message = "a mask without bits matches nothing"
            condition.draft.problems.add("never-matches", condition.part.at("values"), message)
        return condition.filter("Mask", row.cost, numbers=(mask,))
    if base == "GreaterThan":
        return _numeric(condition, lambda text: [(operands.number(text, bounds) + 1, bounds.greatest)])
    return _numeric(condition, lambda text: [(bounds.least, operands.number(text, bounds) - 1)])


def _numeric(condition: Condition, one: Callable[[str], list[tuple[int, int]]]) -> Filter | None:
    """Equal or InRange, inline if there is little to compare with."""
    found = operands.joined(pair for pairs in condition.read(one) for pair in pairs if pair[0] <= pair[1])
    row = condition.value.row
    if not found and not condition.draft.problems.errors:
        message = f"no `{row.name}` satisfies this"
        condition.draft.problems.add("never-matches", condition.part.at("values"), message)
    return _spans(condition, found, row.cost, row.signed)


def _spans(condition: Condition, found: operands.Ranges, cost: Cost, signed: bool, operator: str = "") -> Filter:
    singles = sum(high - low + 1 for low, high in found)
    signs = {"signed": True} if signed else {}
    if singles <= INLINE or all(low == high for low, high in found):
        numbers = tuple(one for low, high in found for one in range(low, high + 1))
        if len(numbers) <= INLINE:
            return condition.filter(operator or "Equal", cost, numbers=numbers, **signs)
        kept = OperandSet(kind=SetKind.NUMBERS, numbers=numbers, **signs)  # type: ignore[arg-type]
        return condition.filter(operator or "Equal", _dearer(cost), set=condition.draft.sets.number(kept), **signs)
    if len(found) <= INLINE:
        return condition.filter(operator or "InRange", cost, ranges=found, **signs)
    kept = OperandSet(kind=SetKind.RANGES, ranges=found, **signs)  # type: ignore[arg-type]
    return condition.filter(operator or "InRange", _dearer(cost), set=condition.draft.sets.number(kept), **signs)


_ORDER = list(Cost)


def _dearer(cost: Cost) -> Cost:
    return max(cost, Cost.LOOKUP, key=_ORDER.index)


def _texts(condition: Condition) -> Filter | None:
    base, row = condition.operator.base, condition.value.row

    def one(text: str) -> str:
        size = len(text.encode("utf-8", "surrogateescape"))
        if size > condition.operator.longest:
            raise BadValueError(
                f"the text has {size} bytes", f"at most {condition.operator.longest} bytes", code="bad-length"
            )
        if not text and base != "Equal":
            raise BadValueError("an empty text is part of every text", "at least one character")
        return text

    values = condition.read(one)
    kept = operands.text_set(_SETS[base], values)
    cost = Cost.SEARCH if base.startswith("Sub") else row.cost
    return condition.filter(base, cost, set=condition.draft.sets.number(kept))


def _addresses(condition: Condition) -> Filter | None:
    found = condition.read(operands.network)
    four, six = operands.networks(found)
    number = condition.draft.sets.number
    return condition.filter(
        condition.operator.base, _COST_OF_SOCKETS, set=number(four) if four else None, set6=number(six) if six else None
    )


def _ports(condition: Condition) -> Filter | None:
    found = operands.joined(condition.read(lambda text: operands.span(text, operands.PORTS)))
    return _spans(condition, found, _COST_OF_SOCKETS, False, condition.operator.base)


def _by_name(names: dict[str, int], word: str, greatest: int = 255) -> Callable[[Condition], Filter | None]:
    def compile_(condition: Condition) -> Filter | None:
        found = condition.read(lambda text: operands.named(text, names, word, greatest))
        numbers = tuple(sorted(set(found)))
        return condition.filter(condition.operator.base, _COST_OF_SOCKETS, numbers=numbers)

    return compile_


def _file_types(condition: Condition) -> Filter | None:
    def one(text: str) -> int:
        found = FILE_TYPES.get(text.strip().lower())
        if found is None:
            raise BadValueError(f"no kind of file `{text[:60]}`", one_of(FILE_TYPES))
        return found

    numbers = tuple(sorted(set(condition.read(one))))
    return condition.filter("FileType", Cost.OBJECT, numbers=numbers)


def _expression(condition: Condition) -> Filter | None:
    part = condition.part
    if len(part.values) != 1:
        message = "`CelExpr` takes one expression"
        condition.draft.problems.add("bad-value", part.item("values", 1), message, hint="join them with `||`")
        return None
    at: Node = part.item("values", 0)
    steps = expressions.compile_expression(condition.draft, condition.hook, part.values[0], at)
    return condition.filter("CelExpr", Cost.REGISTER, expression=steps)


_COMPILERS: dict[Operand, Callable[[Condition], Filter | None]] = {
    Operand.NOTHING: _no_operand,
    Operand.EQUAL: _equal,
    Operand.NUMBERS: _numbers,
    Operand.RANGES: _ranges,
    Operand.TEXTS: _texts,
    Operand.ADDRESSES: _addresses,
    Operand.PORTS: _ports,
    Operand.PROTOCOLS: _by_name(PROTOCOLS, "protocol", 65535),
    Operand.FAMILIES: _by_name(FAMILIES, "address family", 65535),
    Operand.STATES: _by_name(TCP_STATES, "TCP state"),
    Operand.FILE_TYPES: _file_types,
    Operand.EXPRESSION: _expression,
}
