"""A reader of BTF, the kernel's compact type description (Documentation/bpf/btf.rst), for one blob in memory.

Used for the small blobs of our own objects: the layouts of records (`wire.layout`) and the places of constants
(`kernel.objects`). Pure: bytes in, values out.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property

MAGIC = 0xEB9F
(
    INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT,
    FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64,
) = range(1, 20)  # fmt: skip
_TRANSPARENT = frozenset({TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG})
_EXTRA = {INT: 4, ARRAY: 12, VAR: 4, DECL_TAG: 4}
_EXTRA_PER_ITEM = {STRUCT: 12, UNION: 12, ENUM: 8, FUNC_PROTO: 8, DATASEC: 12, ENUM64: 12}


class BtfError(ValueError):
    """The blob is not BTF, or is cut short."""


@dataclass(frozen=True, slots=True)
class Type:
    """One entry of the type section. `size` doubles as the referred type id, as in the format."""

    name: str
    kind: int
    count: int
    size: int
    extra: bytes


@dataclass(frozen=True, slots=True)
class Member:
    """A struct member: byte `offset`, byte `size` in all, and `count` elements (1 if it is no array)."""

    name: str
    offset: int
    size: int
    count: int
    signed: bool
    struct: str  # the name of the struct it is, or empty


class Btf:
    """All types of a blob. Type id 0 is void."""

    def __init__(self, types: list[Type], strings: bytes) -> None:
        self.types = types
        self._strings = strings

    def struct(self, name: str) -> list[Member]:
        """The members of a struct, in order. Raises BtfError when there is none of that name."""
        found = self._named.get((STRUCT, name))
        if found is None:
            raise BtfError(f"no struct {name}")
        members = []
        for at in range(0, len(found.extra), 12):
            label, type_id, bits = struct.unpack_from("<III", found.extra, at)
            members.append(self._member(self._string(label), type_id, (bits & 0xFFFFFF) // 8))
        return members

    def size_of(self, name: str) -> int:
        """Bytes of a struct."""
        found = self._named.get((STRUCT, name))
        if found is None:
            raise BtfError(f"no struct {name}")
        return found.size

    def enum(self, name: str) -> dict[str, int]:
        """The values of an enum by name."""
        found = self._named.get((ENUM, name))
        if found is None:
            raise BtfError(f"no enum {name}")
        pairs = struct.iter_unpack("<Ii", found.extra)
        return {self._string(label): value for label, value in pairs}

    def variables(self, section: str) -> dict[str, tuple[int, int]]:
        """The variables of a data section: name to (offset, size in bytes)."""
        found = self._named.get((DATASEC, section))
        if found is None:
            return {}
        places = struct.iter_unpack("<III", found.extra)
        return {self.types[type_id].name: (offset, size) for type_id, offset, size in places}

    @cached_property
    def _named(self) -> dict[tuple[int, str], Type]:
        return {(t.kind, t.name): t for t in self.types if t.name}

    def _member(self, name: str, type_id: int, offset: int) -> Member:
        found = self._bare(type_id)
        count = 1
        if found.kind == ARRAY:
            element, _, count = struct.unpack("<III", found.extra)
            found = self._bare(element)
        size = 8 if found.kind == PTR else found.size
        signed = found.kind == INT and bool(found.extra[3] & 1)
        return Member(name, offset, size * count, count, signed, found.name if found.kind == STRUCT else "")

    def _bare(self, type_id: int) -> Type:
        found = self.types[type_id]
        while found.kind in _TRANSPARENT:
            found = self.types[found.size]
        return found

    def _string(self, offset: int) -> str:
        return self._strings[offset : self._strings.index(b"\0", offset)].decode()


def parse(blob: bytes) -> Btf:
    """Read a BTF blob (little endian)."""
    try:
        return _parse(blob)
    except (struct.error, IndexError, ValueError) as error:
        raise BtfError(f"not readable as BTF: {error}") from error


def _parse(blob: bytes) -> Btf:
    magic, _, _, header, type_at, type_len, string_at, string_len = struct.unpack_from("<HBBIIIII", blob)
    if magic != MAGIC:
        raise BtfError(f"magic {magic:#x} instead of {MAGIC:#x}")
    strings = blob[header + string_at : header + string_at + string_len]
    if len(strings) != string_len or len(blob) < header + type_at + type_len:
        raise BtfError("cut short")
    types = [Type("", 0, 0, 0, b"")]
    at, end = header + type_at, header + type_at + type_len
    while at < end:
        name, info, size = struct.unpack_from("<III", blob, at)
        kind, count = info >> 24 & 0x1F, info & 0xFFFF
        if not INT <= kind <= ENUM64:
            raise BtfError(f"kind {kind} is not known")
        extra = _EXTRA.get(kind, 0) + _EXTRA_PER_ITEM.get(kind, 0) * count
        text = strings[name : strings.index(b"\0", name)].decode()
        types.append(Type(text, kind, count, size, blob[at + 12 : at + 12 + extra]))
        at += 12 + extra
    return Btf(types, strings)
