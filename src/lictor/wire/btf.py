"""A reader of BTF, the kernel's compact type description (Documentation/bpf/btf.rst), for blobs in memory.

Used for the small blobs of our own objects (`wire.layout`, `kernel.objects`) and for the kernel's, which has more than
a hundred thousand types: one quick pass finds where each type begins and which name it has, eight bytes a type;
everything else is decoded when it is asked for, and names are found by searching the blob: an agent keeps this in
memory. `wire.ctype` gives its types a face. Pure: bytes in, values out.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = 0xEB9F
(
    INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT,
    FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64,
) = range(1, 20)  # fmt: skip
TRANSPARENT = frozenset({TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG})
_EXTRA = {INT: 1, ARRAY: 3, VAR: 1, DECL_TAG: 1}
_EXTRA_PER_ITEM = {STRUCT: 3, UNION: 3, ENUM: 2, FUNC_PROTO: 2, DATASEC: 3, ENUM64: 3}
_FIXED = tuple(3 + _EXTRA.get(kind, 0) for kind in range(32))
_PER_ITEM = tuple(_EXTRA_PER_ITEM.get(kind, 0) for kind in range(32))
_POINTER_BYTES = 8
_NESTING = 64  # typedefs and qualifiers around a type; no kernel comes near


class BtfError(ValueError):
    """The blob is not BTF, or is cut short, or does not have what is asked for."""


@dataclass(frozen=True, slots=True)
class Type:
    """One entry of the type section. `size` doubles as the referred type id, as in the format. `flag`: members of a
    struct tell bit field sizes, values of an enum are signed, a forward declaration is a union's."""

    id: int
    name: str
    kind: int
    count: int
    size: int
    flag: bool


@dataclass(frozen=True, slots=True)
class Member:
    """A struct member of an object's layout: byte `offset`, byte `size` in all, and `count` elements (1: no array)."""

    name: str
    offset: int
    size: int
    count: int
    signed: bool
    struct: str  # the name of the struct it is, or empty


@dataclass(frozen=True, slots=True)
class Field:
    """A member of a struct or union as BTF has it; `bits` is 0 unless it is a bit field. Anonymous: no name."""

    name: str
    type_id: int
    bit_offset: int
    bits: int


class Btf:
    """All types of a blob. Type id 0 is void. A module's blob goes on where its `base`, the kernel's, ends."""

    def __init__(self, blob: bytes, base: Btf | None = None) -> None:
        magic, _, _, header, type_at, type_len, string_at, string_len = struct.unpack_from("<HBBIIIII", blob)
        if magic != MAGIC:
            raise BtfError(f"magic {magic:#x} instead of {MAGIC:#x}")
        self._strings = blob[header + string_at : header + string_at + string_len]
        if len(self._strings) != string_len or len(blob) < header + type_at + type_len or type_len % 4:
            raise BtfError("cut short")
        self.base = base
        self._words = memoryview(blob)[header + type_at : header + type_at + type_len].cast("I")
        self._first_id: int = base.end if base else 1
        self._first_string: int = base.end_of_strings if base else 0
        self._starts, self._labels = _index(self._words)
        self.end: int = self._first_id + len(self._starts)
        self.end_of_strings: int = self._first_string + string_len

    def type(self, type_id: int) -> Type:
        """One type. Raises BtfError for an id that is out of range."""
        if type_id == 0:
            return Type(0, "", 0, 0, 0, False)
        words, at = self._entry(type_id)
        info = words[at + 1]
        return Type(type_id, self._string(words[at]), info >> 24 & 0x1F, info & 0xFFFF, words[at + 2], bool(info >> 31))

    def bare(self, type_id: int) -> Type:
        """The type under typedefs and qualifiers."""
        found = self.type(type_id)
        for _ in range(_NESTING):
            if found.kind not in TRANSPARENT:
                return found
            found = self.type(found.size)
        raise BtfError(f"type {type_id} stands for itself")

    def find(self, name: str, *kinds: int) -> Type | None:
        """The first type of a name that is of one of these kinds; a module's own before the kernel's."""
        for type_id in self._ids(name):
            found = self.type(type_id)
            if found.kind in kinds:
                return found
        return self.base.find(name, *kinds) if self.base else None

    def names(self, kind: int, prefix: str = "") -> list[str]:
        """The names of all own types of a kind that begin with `prefix`."""
        words, wanted = self._words, self._strings_from(prefix.encode()) if prefix else None
        found: dict[int, None] = {}
        for number, label in enumerate(memoryview(self._labels).cast("I")):
            named = bool(label) if wanted is None else label in wanted
            if named and words[self._starts[number] + 1] >> 24 & 0x1F == kind:
                found[label] = None
        return [self._string(label) for label in found]

    def fields(self, found: Type) -> list[Field]:
        """The members of a struct or union, in order."""
        fields = []
        for label, type_id, place in self._triples(found):
            bits = place >> 24 if found.flag else 0
            fields.append(Field(self._string(label), type_id, place & 0xFFFFFF if found.flag else place, bits))
        return fields

    def parameters(self, found: Type) -> list[tuple[str, int]]:
        """Names and type ids of a prototype's parameters; a variadic one ends with type 0."""
        words, at = self._entry(found.id)
        pairs = words[at + 3 : at + 3 + found.count * 2].tolist()
        return [(self._string(pairs[i]), pairs[i + 1]) for i in range(0, len(pairs), 2)]

    def array(self, found: Type) -> tuple[int, int]:
        """Element type id and number of elements."""
        words, at = self._entry(found.id)
        return words[at + 3], words[at + 5]

    def size(self, type_id: int) -> int:
        """Bytes of a value; 0 for void, functions and what is only declared."""
        found = self.bare(type_id)
        if found.kind == ARRAY:
            element, count = self.array(found)
            return self.size(element) * count
        if found.kind == PTR:
            return _POINTER_BYTES
        return found.size if found.kind in (INT, STRUCT, UNION, ENUM, ENUM64, FLOAT) else 0

    def signed(self, type_id: int) -> bool:
        """Whether an integer or an enum has a sign."""
        found = self.bare(type_id)
        if found.kind == INT:
            words, at = self._entry(found.id)
            return bool(words[at + 3] >> 24 & 1)
        return found.kind in (ENUM, ENUM64) and found.flag

    def struct(self, name: str) -> list[Member]:
        """The members of a struct for a layout, in order. Raises BtfError when there is none of that name."""
        return [
            self._member(one.name, one.type_id, one.bit_offset // 8) for one in self.fields(self._need(name, STRUCT))
        ]

    def size_of(self, name: str) -> int:
        """Bytes of a struct."""
        return self._need(name, STRUCT).size

    def enum(self, name: str) -> dict[str, int]:
        """The values of an enum by name."""
        found = self._need(name, ENUM)
        words, at = self._entry(found.id)
        pairs = struct.iter_unpack("<Ii", words[at + 3 : at + 3 + found.count * 2])
        return {self._string(label): value for label, value in pairs}

    def variables(self, section: str) -> dict[str, tuple[int, int]]:
        """The variables of a data section: name to (offset, size in bytes)."""
        found = self.find(section, DATASEC)
        if found is None:
            return {}
        return {self.type(type_id).name: (offset, size) for type_id, offset, size in self._triples(found)}

    def _strings_from(self, prefix: bytes) -> frozenset[int]:
        """The places of all own strings that begin so."""
        found = []
        at = self._strings.find(b"\0" + prefix)
        while at >= 0:
            found.append(self._first_string + at + 1)
            at = self._strings.find(b"\0" + prefix, at + 1)
        return frozenset(found)

    def _offset(self, name: bytes) -> int | None:
        """The place of a string; it is there once, with the kernel if it is there."""
        found = self.base._offset(name) if self.base else None
        if found is not None:
            return found
        if self._strings.startswith(name + b"\0"):
            return self._first_string
        at = self._strings.find(b"\0" + name + b"\0")
        return self._first_string + at + 1 if at >= 0 else None

    def _ids(self, name: str) -> Iterator[int]:
        offset = self._offset(name.encode()) if name else None
        if offset is None:
            return
        label = struct.pack("=I", offset)
        at = self._labels.find(label)
        while at >= 0:
            if at % 4 == 0:
                yield self._first_id + at // 4
            at = self._labels.find(label, at + 1)

    def _need(self, name: str, kind: int) -> Type:
        found = self.find(name, kind)
        if found is None:
            raise BtfError(f"no {'struct' if kind == STRUCT else 'enum'} {name}")
        return found

    def _triples(self, found: Type) -> list[tuple[int, int, int]]:
        words, at = self._entry(found.id)
        values = words[at + 3 : at + 3 + found.count * 3].tolist()
        return [(values[i], values[i + 1], values[i + 2]) for i in range(0, len(values), 3)]

    def _member(self, name: str, type_id: int, offset: int) -> Member:
        found = self.bare(type_id)
        count = 1
        if found.kind == ARRAY:
            element, count = self.array(found)
            found = self.bare(element)
        size = _POINTER_BYTES if found.kind == PTR else found.size
        signed = found.kind == INT and self.signed(found.id)
        return Member(name, offset, size * count, count, signed, found.name if found.kind == STRUCT else "")

    def _entry(self, type_id: int) -> tuple[memoryview[int], int]:
        if type_id < self._first_id and self.base:
            return self.base._entry(type_id)
        if not self._first_id <= type_id < self.end:
            raise BtfError(f"there is no type {type_id}")
        return self._words, self._starts[type_id - self._first_id]

    def _string(self, offset: int) -> str:
        if offset < self._first_string and self.base:
            return self.base._string(offset)
        offset -= self._first_string
        return self._strings[offset : self._strings.index(b"\0", offset)].decode()


def parse(blob: bytes, base: Btf | None = None) -> Btf:
    """Read a BTF blob (little endian). Raises BtfError."""
    try:
        return Btf(blob, base)
    except (struct.error, IndexError, ValueError) as error:
        raise BtfError(f"not readable as BTF: {error}") from error


def _index(words: memoryview[int]) -> tuple[array[int], bytes]:
    """Where each type begins, and the place of each one's name, four bytes a type."""
    starts, labels = array("I"), array("I")
    begins, named = starts.append, labels.append
    at, end = 0, len(words)
    while at < end:
        begins(at)
        named(words[at])
        info = words[at + 1]
        kind = info >> 24 & 0x1F
        if not INT <= kind <= ENUM64:
            raise BtfError(f"kind {kind} is not known")
        at += _FIXED[kind] + _PER_ITEM[kind] * (info & 0xFFFF)
    if at != end:
        raise BtfError("cut short")
    return starts, labels.tobytes()
