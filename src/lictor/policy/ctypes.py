"""Lictor's types against the kernel's: which one `auto` means, and whether a declared one fits."""

from __future__ import annotations

from lictor.catalog.types import TYPE_OF_STRUCT, Family, TypeRow, number_type
from lictor.wire.ctype import CType

_STRING_POINTERS = ("string", "char_buf", "sockaddr_un")


def inferred(ctype: CType) -> str:
    """The type that a value of a C type has; empty if none is meant for it."""
    if ctype.text.endswith("size_t") and ctype.is_integer and not ctype.signed:
        return "size_t"
    if ctype.is_integer:
        return "bpf_cmd" if ctype.name == "bpf_cmd" else number_type(ctype.size, ctype.signed)
    if ctype.is_pointer:
        target = ctype.target
        if target is not None and target.is_char:
            return "string"
        return _of_struct(target)
    if ctype.is_array and (target := ctype.target) is not None and target.is_char:
        return "string"
    if ctype.is_struct:
        return _of_struct(ctype)
    return ""


def _of_struct(ctype: CType | None) -> str:
    """By the struct itself, or by the one that it begins with."""
    if ctype is not None and ctype.text.removeprefix("const ") == "kernel_cap_t":
        return "kernel_cap_t"
    for name in _beginnings(ctype):
        if name in TYPE_OF_STRUCT:
            return TYPE_OF_STRUCT[name]
    return ""


def _beginnings(ctype: CType | None) -> list[str]:
    """A struct's name and those of the structs at its beginning: `tcp_sock` begins with an `inet_connection_sock`, …"""
    names: list[str] = []
    while ctype is not None and len(names) < 8:
        names.append(ctype.name)
        first = ctype.members[0] if ctype.is_struct and ctype.members else None
        ctype = first.type if first and first.bit_offset == 0 and first.type.is_struct else None
    return names


def misfit(row: TypeRow, ctype: CType) -> tuple[bool, str]:
    """(grave, why) where a declared type does not fit; (False, "") where it does. Grave: it would be nonsense."""
    if row.family is Family.NOTHING:
        return False, ""
    if row.structs and not row.memory:
        return _struct_misfit(row, ctype)
    if row.bits:
        return _number_misfit(row, ctype)
    if row.name in _STRING_POINTERS and not (ctype.is_pointer or ctype.is_array):
        return True, f"`{ctype.text}` is no pointer"
    return False, ""


def _struct_misfit(row: TypeRow, ctype: CType) -> tuple[bool, str]:
    if not ctype.is_pointer:
        if ctype.is_struct and set(_beginnings(ctype)) & set(row.structs):
            return False, ""
        if row.name == "kernel_cap_t" and ctype.size == 8:
            return False, ""
        return True, f"`{ctype.text}` is no pointer to a struct"
    target = ctype.target
    if target is None or target.is_void or (row.name == "kernel_cap_t" and target.size == 8):
        return False, ""
    names = _beginnings(target)
    if set(names) & set(row.structs):
        return False, ""
    if not target.name:  # a pointer to a number, an array, another pointer
        return True, f"`{ctype.text}` does not point to `struct {row.structs[0]}`"
    return True, f"`{ctype.text}` is another struct than `struct {row.structs[0]}`"


def _number_misfit(row: TypeRow, ctype: CType) -> tuple[bool, str]:
    if ctype.is_pointer:
        return False, "" if row.bits == 64 else f"`{ctype.text}` is an address of 64 bits"
    if not ctype.is_integer:
        return True, f"`{ctype.text}` is no number"
    bits = ctype.size * 8
    if bits > row.bits:
        return False, f"`{ctype.text}` has {bits} bits, `{row.name}` keeps {row.bits}"
    if bits < row.bits:
        return False, f"`{ctype.text}` has {bits} bits, what `{row.name}` reads beyond is undefined"
    return False, ""
