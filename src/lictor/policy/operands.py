"""Operands: the values of a condition, read for the type they are compared with, in their smallest form."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from lictor.catalog.capabilities import ALIASES as CAPABILITY_ALIASES
from lictor.catalog.capabilities import CAPABILITIES
from lictor.catalog.types import TypeRow
from lictor.policy.diagnostics import did_you_mean
from lictor.policy.plan import OperandSet, SetKind
from lictor.policy.source import integer

Ranges = tuple[tuple[int, int], ...]


class BadValueError(ValueError):
    """A value that cannot be read: `expected` says what could be, `hint` what to try."""

    def __init__(self, message: str, expected: str = "", hint: str = "", code: str = "bad-value") -> None:
        super().__init__(message)
        self.expected = expected
        self.hint = hint
        self.code = code


@dataclass(frozen=True, slots=True)
class Limits:
    """What numbers a type can have."""

    least: int
    greatest: int
    signed: bool

    def check(self, number: int, shown: str) -> int:
        if self.least <= number <= self.greatest:
            return number
        expected = f"{self.least} to {self.greatest}"
        raise BadValueError(f"{shown} does not fit the type", expected, code="out-of-range")


def limits(row: TypeRow) -> Limits:
    if row.signed:
        return Limits(-(1 << row.bits - 1), (1 << row.bits - 1) - 1, True)
    return Limits(0, (1 << row.bits) - 1, False)


PORTS = Limits(0, 65535, False)


def number(text: str, within: Limits, names: dict[str, int] | None = None) -> int:
    """One number: decimal, 0x…, 0… (octal), or a name where there are names. Raises BadValueError."""
    found = integer(text.strip())
    if found is None and names is not None:
        found = names.get(text.strip().upper())
    if found is None:
        kinds = "a number" if names is None else "a number or a name"
        raise BadValueError(f"`{text[:60]}` is no number", f"{kinds}: decimal, 0x… or octal 0…")
    if within.signed and found > within.greatest and found < 2 * (within.greatest + 1) and _is_bits(text):
        found -= 2 * (within.greatest + 1)  # 0xffffffff for -1
    return within.check(found, text.strip())


def _is_bits(text: str) -> bool:
    """Hex and octal spell bits, not amounts."""
    return text.strip().startswith(("0x", "0o", "00", "0"))


def span(text: str, within: Limits) -> tuple[int, int]:
    """`min:max`, both included, or one number. Raises BadValueError."""
    first, colon, last = text.partition(":")
    low = number(first, within)
    high = number(last, within) if colon else low
    if low > high:
        raise BadValueError(f"`{text[:60]}` begins behind its end", "min:max", f"did you mean `{last}:{first}`?")
    return low, high


def mask_of_capabilities(text: str) -> int:
    """`CAP_A,CAP_B`, or a number. Raises BadValueError."""
    found = integer(text.strip())
    if found is not None:
        return Limits(0, (1 << 64) - 1, False).check(found, text)
    mask = 0
    for word in text.split(","):
        mask |= 1 << capability(word)
    return mask


def capability(text: str) -> int:
    """The number of one capability. Raises BadValueError."""
    name = text.strip().upper()
    name = CAPABILITY_ALIASES.get(name, name)
    if name in CAPABILITIES:
        return CAPABILITIES[name]
    raise BadValueError(
        f"no capability `{text.strip()[:60]}`", "a name as CAP_SYS_ADMIN", did_you_mean(name, CAPABILITIES)
    )


def named(text: str, names: dict[str, int], word: str, greatest: int = 255) -> int:
    """A number by name or as it is. Raises BadValueError."""
    upper = text.strip()
    if upper in names:
        return names[upper]
    found = integer(upper)
    if found is not None:
        return Limits(0, greatest, False).check(found, text)
    raise BadValueError(
        f"no {word} `{upper[:60]}`", f"a name as {next(iter(names))}, or a number", did_you_mean(upper, names)
    )


def network(text: str) -> tuple[int, int, int]:
    """IP version, address as a number, prefix length, of an address or a network. Raises BadValueError."""
    try:
        found = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError as error:
        raise BadValueError(
            f"`{text[:60]}` is no address", "an IPv4 or IPv6 address, or a network as 10.0.0.0/8"
        ) from error
    return found.version, int(found.network_address), found.prefixlen


def networks(found: Iterable[tuple[int, int, int]]) -> tuple[OperandSet | None, OperandSet | None]:
    """The sets for IPv4 and IPv6; networks inside others are left out."""
    sets: list[OperandSet | None] = []
    for version, kind in ((4, SetKind.ADDRESSES4), (6, SetKind.ADDRESSES6)):
        bits = 32 if version == 4 else 128
        kept: list[tuple[int, int]] = []
        for address, length in sorted({one[1:] for one in found if one[0] == version}):
            if not kept or not _inside(address, kept[-1], bits):
                kept.append((address, length))
        sets.append(OperandSet(kind=kind, networks=tuple(kept)) if kept else None)
    return sets[0], sets[1]


def _inside(address: int, network: tuple[int, int], bits: int) -> bool:
    """Networks in order: one that begins inside another is inside."""
    shift = bits - network[1]
    return address >> shift == network[0] >> shift


def joined(spans: Iterable[tuple[int, int]]) -> Ranges:
    """Ranges in order, those that touch made one."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return tuple(found)


def text_set(kind: SetKind, values: Iterable[str]) -> OperandSet:
    """Texts as bytes, one character each. A prefix behind a shorter one adds nothing, nor does such a postfix."""
    found = {value.encode("utf-8", "surrogateescape").decode("latin-1") for value in values}
    if kind is SetKind.SUBSTRINGS_IGNORE_CASE:
        found = {value.lower() for value in found}
    ordered = sorted(found)
    if kind is SetKind.PREFIXES:
        ordered = _shortest(ordered)
    elif kind is SetKind.POSTFIXES:
        ordered = sorted(one[::-1] for one in _shortest(sorted(one[::-1] for one in ordered)))
    return OperandSet(kind=kind, texts=tuple(ordered))


def _shortest(ordered: list[str]) -> list[str]:
    kept: list[str] = []
    for one in ordered:
        if not kept or not one.startswith(kept[-1]):
            kept.append(one)
    return kept
