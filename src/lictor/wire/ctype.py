"""C types as BTF describes them: how they are spelled, what they are, and walks along their members.

A `CType` is a handle (blob and type id), so nothing is decoded before it is asked for. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from lictor.wire import btf as format_
from lictor.wire.btf import Btf, Field, Type

_WORDS = {
    format_.STRUCT: "struct ",
    format_.UNION: "union ",
    format_.ENUM: "enum ",
    format_.ENUM64: "enum ",
}
_QUALIFIERS = {format_.CONST: "const", format_.VOLATILE: "volatile", format_.RESTRICT: "restrict"}
_COMPOSITE = (format_.STRUCT, format_.UNION)
_COMPONENT = re.compile(r"([A-Za-z_]\w*)((?:\[\d+\])*)")


class CType:
    """One type of a blob."""

    def __init__(self, btf: Btf, type_id: int) -> None:
        self.btf = btf
        self.id = type_id

    def __repr__(self) -> str:
        return f"<CType {self.text}>"

    @cached_property
    def text(self) -> str:
        """As C spells it, e.g. `const struct path *`."""
        return _spell(self.btf, self.id)

    @property
    def name(self) -> str:
        """The name of the struct, union, enum or integer under typedefs; empty for others and anonymous ones."""
        return self._bare.name if self._bare.kind not in (format_.FUNC, format_.FUNC_PROTO) else ""

    @property
    def size(self) -> int:
        """Bytes of a value of it; 0 for void and what is only declared."""
        return self.btf.size(self.id)

    @property
    def signed(self) -> bool:
        return self.btf.signed(self.id)

    @property
    def is_void(self) -> bool:
        return self._bare.id == 0

    @property
    def is_pointer(self) -> bool:
        return self._bare.kind == format_.PTR

    @property
    def is_integer(self) -> bool:
        """Integers, enums and bool."""
        return self._bare.kind in (format_.INT, format_.ENUM, format_.ENUM64)

    @property
    def is_struct(self) -> bool:
        """Structs and unions whose members are known."""
        return self._bare.kind in _COMPOSITE

    @property
    def is_array(self) -> bool:
        return self._bare.kind == format_.ARRAY

    @property
    def is_char(self) -> bool:
        return self._bare.kind == format_.INT and self._bare.size == 1

    @property
    def length(self) -> int:
        """Elements of an array, else 0. A flexible array has none."""
        return self.btf.array(self._bare)[1] if self.is_array else 0

    @property
    def target(self) -> CType | None:
        """What a pointer points to, or an array is of."""
        if self.is_pointer:
            return CType(self.btf, self._bare.size)
        return CType(self.btf, self.btf.array(self._bare)[0]) if self.is_array else None

    @property
    def points_to(self) -> str:
        """The name of the struct or union that it points to, directly; else empty."""
        target = self.target if self.is_pointer else None
        return target.name if target is not None and target._bare.kind in (*_COMPOSITE, format_.FWD) else ""

    @property
    def members(self) -> tuple[Place, ...]:
        """Every member that can be named, those of anonymous members included."""
        return tuple(_places(self.btf, self._bare)) if self.is_struct else ()

    def member(self, name: str) -> Place | None:
        """One member by name; anonymous members are searched."""
        return next((place for place in _places(self.btf, self._bare) if place.name == name), None)

    @cached_property
    def _bare(self) -> Type:
        return self.btf.bare(self.id)


@dataclass(frozen=True, slots=True)
class Place:
    """A member as seen from the struct it is found in. `bits` is 0 unless it is a bit field, which then begins
    `bit_offset` bits from the struct's beginning."""

    name: str
    type: CType
    bit_offset: int
    bits: int = 0

    @property
    def offset(self) -> int:
        """Bytes from the beginning of the struct."""
        return self.bit_offset // 8


@dataclass(frozen=True, slots=True)
class Hop:
    """Add `offset` bytes, then follow the pointer that lies there if `dereference`."""

    offset: int
    dereference: bool = False


@dataclass(frozen=True, slots=True)
class Walk:
    """Where a path leads: after `hops` one stands at the address of a value of `type`; the last hop never
    dereferences. A bit field is `bits` wide and begins `shift` bits into that address."""

    hops: tuple[Hop, ...]
    type: CType
    bits: int = 0
    shift: int = 0


class WalkError(ValueError):
    """A path that leads nowhere: component number `at` (from 0) is wrong; `near` is what could stand there."""

    def __init__(self, message: str, at: int, component: str, near: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.at = at
        self.component = component
        self.near = near


def walk(start: CType, path: str) -> Walk:
    """Follow a dotted path such as `mm.owner.comm` or `fdt.fd[3].f_path`. The value at hand is the address of a struct:
    `start` is the struct, or a pointer to it. Pointers on the way are followed. Raises WalkError."""
    hops: list[Hop] = []
    here, offset = start, 0
    while here.is_pointer and here.target is not None:
        here = here.target
        if here.is_pointer:
            hops.append(Hop(0, True))
    bits = shift = 0
    for at, component in enumerate(path.split(".")):
        parsed = _COMPONENT.fullmatch(component)
        if parsed is None:
            raise WalkError(f"`{component}` is not a member name, with an index in brackets or without", at, component)
        if at and here.is_pointer:
            hops.append(Hop(offset, True))
            here, offset = _pointee(here, at, component), 0
        place = _step(here, parsed[1], at, component)
        here, offset, bits, shift = place.type, offset + place.offset, place.bits, place.bit_offset % 8
        for index in re.findall(r"\d+", parsed[2]):
            if here.is_pointer:
                hops.append(Hop(offset, True))
                offset = 0
            here, more = _element(here, int(index), at, component)
            offset += more
    return Walk((*hops, Hop(offset)), here, bits, shift)


def _pointee(here: CType, at: int, component: str) -> CType:
    target = here.target
    if target is None or target.is_pointer or not target.is_struct:
        raise WalkError(f"`{here.text}` does not point to a struct whose members are known", at, component)
    return target


def _step(here: CType, name: str, at: int, component: str) -> Place:
    if not here.is_struct:
        raise WalkError(f"`{here.text}` has no members", at, component)
    place = here.member(name)
    if place is None:
        raise WalkError(f"`{here.text}` has no member `{name}`", at, component, tuple(one.name for one in here.members))
    return place


def _element(here: CType, index: int, at: int, component: str) -> tuple[CType, int]:
    target = here.target
    if target is None:
        raise WalkError(f"`{here.text}` is not an array", at, component)
    if here.is_array and here.length and index >= here.length:
        raise WalkError(f"`{here.text}` has {here.length} elements, the last is [{here.length - 1}]", at, component)
    if not target.size:
        raise WalkError(f"elements of `{here.text}` have no known size", at, component)
    return target, index * target.size


def _places(btf: Btf, found: Type, base: int = 0) -> list[Place]:
    places = []
    for field in btf.fields(found):
        inner = btf.bare(field.type_id)
        if field.name:
            places.append(_place(btf, field, base))
        elif inner.kind in _COMPOSITE:
            places += _places(btf, inner, base + field.bit_offset)
    return places


def _place(btf: Btf, field: Field, base: int) -> Place:
    return Place(field.name, CType(btf, field.type_id), base + field.bit_offset, field.bits)


def _spell(btf: Btf, type_id: int) -> str:
    found = btf.type(type_id)
    if found.id == 0:
        return "void"
    if found.kind == format_.PTR:
        inner = _spell(btf, found.size)
        if inner.endswith(")") and btf.bare(found.size).kind == format_.FUNC_PROTO:
            return inner.replace("()", "(*)", 1)
        return f"{inner}*" if inner.endswith("*") else f"{inner} *"
    if found.kind in _QUALIFIERS:
        inner = _spell(btf, found.size)
        word = _QUALIFIERS[found.kind]
        return f"{inner} {word}" if inner.endswith("*") else f"{word} {inner}"
    if found.kind == format_.TYPE_TAG:
        return _spell(btf, found.size)
    if found.kind == format_.ARRAY:
        element, count = btf.array(found)
        inner = _spell(btf, element)
        text, bracket, rest = inner.partition("[")
        return f"{text}[{count}]{bracket}{rest}"
    if found.kind == format_.FUNC_PROTO:
        given = ", ".join(_spell(btf, one) if one else "..." for _, one in btf.parameters(found))
        return f"{_spell(btf, found.size)} ()({given or 'void'})"
    if found.kind == format_.FWD:
        return f"{'union' if found.flag else 'struct'} {found.name}"
    return f"{_WORDS.get(found.kind, '')}{found.name or '{…}'}"
