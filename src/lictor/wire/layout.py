"""Record layouts, made from BTF: the C headers in `bpf/include` are the only place where shapes are written.

A decoder names the fields it wants; the place and size of each come from the object that is loaded. A nested
struct is flattened (`parent_tgid`), or taken as raw bytes where the decoder asks for it by its own name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from lictor.wire.btf import Btf, BtfError, Member

_CODES = {(1, False): "B", (2, False): "H", (4, False): "I", (8, False): "Q"} | {
    (1, True): "b", (2, True): "h", (4, True): "i", (8, True): "q",
}  # fmt: skip


class LayoutError(ValueError):
    """The loaded object and this program do not speak of the same record."""


def compile_layout(btf: Btf, name: str, fields: Sequence[str]) -> struct.Struct:
    """A `struct.Struct` that unpacks `fields`, in that order, from the fixed part of struct `name`.

    Fields must be wanted in the order in which they lie. An array gives one value per element and is wanted
    once as `name*COUNT`, so that a change of its length is noticed too.
    """
    places = dict(_places(btf, name))
    codes = ["<"]
    at = 0
    for field in fields:
        label, _, count = field.partition("*")
        place = places.get(label)
        if place is None:
            raise LayoutError(f"{name} has no field {label}: the BPF objects are of another version")
        member, offset = place
        if offset < at:
            raise LayoutError(f"{name}.{label} lies before the field wanted ahead of it")
        if count and int(count) != member.count:
            raise LayoutError(f"{name}.{label} has {member.count} elements, not {count}")
        codes.append(f"{offset - at}x" if offset > at else "")
        codes.append(_code(member, bool(count)))
        at = offset + member.size
    total = btf.size_of(name)
    codes.append(f"{total - at}x" if total > at else "")
    return struct.Struct("".join(codes))


def _code(member: Member, expand: bool) -> str:
    if member.struct or (member.count > 1 and not expand):
        return f"{member.size}s"
    code = _CODES[member.size // member.count, member.signed]
    return f"{member.count}{code}" if expand else code


def _places(btf: Btf, name: str, prefix: str = "", base: int = 0) -> Iterator[tuple[str, tuple[Member, int]]]:
    """Every member with its absolute offset; members of nested structs are also reachable one by one."""
    try:
        members = btf.struct(name)
    except BtfError as error:
        raise LayoutError(f"the object does not describe {name}") from error
    for member in members:
        label = f"{prefix}{member.name}"
        yield label, (member, base + member.offset)
        if member.struct:
            # The header's own fields are so common that they go without a prefix.
            inner = prefix if member.name == "header" else f"{label}_"
            yield from _places(btf, member.struct, inner, base + member.offset)
