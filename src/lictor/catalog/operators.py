"""Operators of conditions on values: what each compares, with what, and on which families of types."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lictor.catalog.types import Family


class Operand(StrEnum):
    """What the values of an operator are."""

    NOTHING = "nothing"
    EQUAL = "numbers or texts, as the type has it"
    NUMBERS = "numbers"
    RANGES = "numbers or min:max"
    TEXTS = "texts"
    ADDRESSES = "addresses or networks"
    PORTS = "ports or min:max"
    PROTOCOLS = "protocols"
    FAMILIES = "address families"
    STATES = "TCP states"
    FILE_TYPES = "kinds of files"
    EXPRESSION = "one expression"


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """`base` is the operator without its Not-: rules have that and a flag. `longest`: bytes of a value at most."""

    name: str
    operand: Operand
    families: frozenset[Family]
    base: str
    negated: bool = False
    longest: int = 4096


_NUMBERS = frozenset({Family.NUMBER, Family.SYSCALL, Family.CAPABILITIES})
_TEXTS = frozenset({Family.TEXT, Family.PATH, Family.UNIX_ADDRESS})
_SOCKETS = frozenset({Family.SOCKET, Family.PACKET})
_SOURCES = _SOCKETS | {Family.ADDRESS}


def _pair(
    name: str,
    operand: Operand,
    families: frozenset[Family],
    opposite: str = "",
    base: str = "",
    longest: int = 4096,
) -> tuple[OperatorRow, OperatorRow]:
    base = base or name
    return (
        OperatorRow(name, operand, families, base, longest=longest),
        OperatorRow(opposite or f"Not{name}", operand, families, base, True, longest),
    )


def _single(name: str, operand: Operand, families: frozenset[Family], longest: int = 4096) -> OperatorRow:
    return OperatorRow(name, operand, families, name, longest=longest)


_ROWS = (
    *_pair("Equal", Operand.EQUAL, _NUMBERS | _TEXTS),
    *_pair("Prefix", Operand.TEXTS, _TEXTS),
    *_pair("Postfix", Operand.TEXTS, _TEXTS),
    _single("GreaterThan", Operand.NUMBERS, _NUMBERS),
    _single("LessThan", Operand.NUMBERS, _NUMBERS),
    OperatorRow("GT", Operand.NUMBERS, _NUMBERS, "GreaterThan"),
    OperatorRow("LT", Operand.NUMBERS, _NUMBERS, "LessThan"),
    _single("Mask", Operand.NUMBERS, _NUMBERS),
    *_pair("SPort", Operand.PORTS, _SOURCES),
    *_pair("SPortPriv", Operand.NOTHING, _SOURCES, "NotSportPriv"),
    *_pair("DPort", Operand.PORTS, _SOCKETS),
    *_pair("DPortPriv", Operand.NOTHING, _SOCKETS),
    *_pair("SAddr", Operand.ADDRESSES, _SOURCES),
    *_pair("DAddr", Operand.ADDRESSES, _SOCKETS),
    _single("Protocol", Operand.PROTOCOLS, _SOCKETS),
    _single("Family", Operand.FAMILIES, _SOURCES | {Family.UNIX_ADDRESS}),
    _single("State", Operand.STATES, frozenset({Family.SOCKET})),
    *_pair("InMap", Operand.RANGES, _NUMBERS),
    _single("CapabilitiesGained", Operand.NOTHING, frozenset({Family.CAPABILITIES})),
    *_pair("InRange", Operand.RANGES, _NUMBERS),
    _single("SubString", Operand.TEXTS, _TEXTS, 255),
    _single("SubStringIgnCase", Operand.TEXTS, _TEXTS, 255),
    _single("CelExpr", Operand.EXPRESSION, frozenset({Family.NUMBER})),
    *_pair("FileType", Operand.FILE_TYPES, frozenset({Family.PATH})),
)
OPERATORS = {row.name: row for row in _ROWS}

# Other spellings that Tetragon's parser, or its documentation, has.
ALIASES = {name.lower(): name for name in OPERATORS} | {
    "eq": "Equal",
    "neq": "NotEqual",
    "gt": "GreaterThan",
    "lt": "LessThan",
    "NotSPortPriv": "NotSportPriv",
    "SubStringIgnoreCase": "SubStringIgnCase",
    "substringignorecase": "SubStringIgnCase",
}
