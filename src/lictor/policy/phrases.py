"""Words for what a plan holds: operators, operands, actions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from lictor.catalog.files import FILE_TYPES
from lictor.catalog.sockets import FAMILIES, PROTOCOLS, TCP_STATES
from lictor.catalog.types import TYPES
from lictor.policy.plan import Action, ActionKind, Filter, OperandSet, Plan, RateScope, Read, SetKind

# operator -> (as it is, negated)
OPERATORS = {
    "Equal": ("is", "is not"),
    "InRange": ("is", "is not"),
    "Mask": ("has a bit of", "has no bit of"),
    "Prefix": ("begins with", "does not begin with"),
    "Postfix": ("ends with", "does not end with"),
    "SubString": ("contains", "does not contain"),
    "SubStringIgnCase": ("contains, in whatever case,", "does not contain, in whatever case,"),
    "SPort": ("has source port", "has not source port"),
    "DPort": ("has destination port", "has not destination port"),
    "SAddr": ("has source address", "has not source address"),
    "DAddr": ("has destination address", "has not destination address"),
    "Protocol": ("has protocol", "has not protocol"),
    "Family": ("is of family", "is not of family"),
    "State": ("is in state", "is not in state"),
    "FileType": ("is a", "is not a"),
}
_MOST = 6


def listed(words: Iterable[str]) -> str:
    """`a, b or c`, cut where there are many."""
    shown = list(words)
    if len(shown) > _MOST:
        return f"{', '.join(shown[:_MOST])} or {len(shown) - _MOST} more"
    return " or ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))


def text(one: str) -> str:
    """A text of a set, which has a byte as each character."""
    return one.encode("latin-1", "replace").decode("utf-8", "backslashreplace")


def operand(plan: Plan, one: Filter, read: Read) -> str:
    """What a filter compares with."""
    if one.operator in ("SAddr", "DAddr"):
        return listed(one.written)
    names = _NAMES.get(one.operator)
    show: Callable[[int], str] = (lambda number: names.get(number, str(number))) if names else _number(read)
    if one.operator == "Mask":
        return f"{one.numbers[0]:#x}"
    kept = plan.sets[one.set] if one.set is not None else OperandSet(kind=SetKind.NUMBERS)
    if kept.texts:
        return listed(islice((text(word) for word in kept.texts), 2000))
    ranges = one.ranges or kept.ranges
    if ranges:
        return listed(_range(low, high, show, read) for low, high in ranges)
    return listed(show(number) for number in one.numbers or kept.numbers)


def _number(read: Read) -> Callable[[int], str]:
    return hex if read.type.startswith(("cap_", "kernel_cap")) else str


def _range(low: int, high: int, show: Callable[[int], str], read: Read) -> str:
    row = TYPES[read.type]
    if low == high:
        return show(low)
    if row.bits and low == -(1 << row.bits - 1) * row.signed:
        return f"at most {show(high)}"
    if row.bits and high == (1 << row.bits - row.signed) - 1:
        return f"at least {show(low)}"
    return f"{show(low)} to {show(high)}"


def _by_number(names: dict[str, int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for name, number in names.items():
        found.setdefault(number, name)
    return found


_NAMES = {
    "Protocol": _by_number(PROTOCOLS),
    "Family": _by_number(FAMILIES),
    "State": _by_number(TCP_STATES),
    "FileType": _by_number(FILE_TYPES),
}


def action(one: Action) -> str:
    """An action with what matters of its parameters."""
    details = []
    if one.kind is ActionKind.OVERRIDE and not one.registers:
        details.append(f"with error {one.error}")
    if one.kind is ActionKind.NOTIFY_ENFORCER:
        details += [f"error {one.error}"] if one.error else []
        details += [f"signal {one.signal}"] if one.signal else []
    if one.kind is ActionKind.SIGNAL:
        details.append(str(one.signal))
    if one.rate_interval_ns:
        whose = {RateScope.GLOBAL: "of all", RateScope.PROCESS: "per process", RateScope.THREAD: "per thread"}
        details.append(f"at most once in {one.rate_interval_ns // 1_000_000_000} s {whose[one.rate_scope]}")
    for flag, word in ((one.kernel_stack, "kernel stack"), (one.user_stack, "user stack"), (one.ima_hash, "IMA hash")):
        if flag:
            details.append(f"with the {word}")
    details += [*one.registers, one.text]
    return " ".join(filter(None, (one.kind.value, *details)))
