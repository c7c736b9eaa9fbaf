"""Lictor's types against fields of a tracepoint's record, and against parameters of system calls as C spells them."""

from __future__ import annotations

from lictor.catalog.types import TYPES, Family, TypeRow
from lictor.host.formats import FormatField

_WIDTHS = {1: "int8", 2: "int16", 4: "int32", 8: "int64"}
_TEXTS = (Family.TEXT, Family.BYTES, Family.UNIX_ADDRESS)


def of_field(field: FormatField) -> str:
    """The type that `auto` means for a field; empty if none."""
    if field.dynamic:
        return "data_loc" if field.type == "char" else "const_buf"
    if field.is_array:
        return "string" if field.type == "char" else "const_buf"
    if field.type.endswith("char *"):
        return "string"
    if field.type.endswith("*"):
        return "uint64"
    name = _WIDTHS.get(field.size, "")
    return name if field.signed or not name else f"u{name}"


def field_misfit(row: TypeRow, field: FormatField) -> tuple[bool, str]:
    """(grave, why) where a declared type does not fit a field; (False, "") where it does."""
    pointer = field.type.endswith("*")
    if row.family is Family.NOTHING:
        return False, ""
    if row.bits:
        if field.is_array:
            return False, f"`{field.text}` is an array, `{row.name}` reads the beginning of it"
        if row.bits < field.size * 8:
            return False, f"`{field.text}` has {field.size * 8} bits here, `{row.name}` keeps {row.bits}"
        return False, ""
    if row.family in _TEXTS and (pointer or field.is_array):
        return False, ""
    if row.structs and pointer:
        return _struct_misfit(row, field.type)
    return True, f"`{field.text}` cannot be read as `{row.name}`"


def _struct_misfit(row: TypeRow, c: str) -> tuple[bool, str]:
    words = c.replace("const ", "").rstrip("* ").split()
    if words[0] != "struct" or len(words) != 2:
        return False, ""
    return (False, "") if words[1] in row.structs else (True, f"`{c}` is another struct than `struct {row.structs[0]}`")


def of_c_text(text: str) -> str:
    """The type meant by a parameter of a system call; empty if none is."""
    plain = " ".join(word for word in text.replace("*", " * ").split() if word not in ("const", "__user"))
    if plain == "char *":
        return "string"
    if plain == "struct sockaddr *":
        return "sockaddr"
    return "" if plain.endswith("*") else _C_NUMBERS.get(plain, "")


def c_misfit(row: TypeRow, text: str) -> tuple[bool, str]:
    """(grave, why) where a declared type does not fit a system call's parameter; (False, "") where it does."""
    pointer = text.rstrip().endswith("*")
    if row.memory and not pointer and of_c_text(text):
        return True, f"`{text}` is no pointer"
    if row.bits and row.bits < 64 and pointer:
        return False, f"`{text}` is an address of 64 bits"
    if row.bits and (name := of_c_text(text)) and row.bits < TYPES[name].bits:
        return False, f"`{text}` has {TYPES[name].bits} bits, `{row.name}` keeps {row.bits}"
    return False, ""


_C_NUMBERS = {
    "int": "int32", "unsigned int": "uint32", "unsigned": "uint32", "long": "int64", "unsigned long": "uint64",
    "size_t": "size_t", "umode_t": "uint16", "pid_t": "int32", "uid_t": "uint32", "gid_t": "uint32", "off_t": "int64",
    "loff_t": "int64", "u32": "uint32", "__u32": "uint32", "u64": "uint64", "__u64": "uint64", "__s32": "int32",
    "clockid_t": "int32", "key_serial_t": "int32", "qid_t": "uint32", "rwf_t": "int32", "mqd_t": "int32",
    "timer_t": "int32", "enum bpf_cmd": "bpf_cmd",
}  # fmt: skip
assert set(_C_NUMBERS.values()) <= set(TYPES)
