"""Policies as bytes: packers for the shapes of bpf/include/policy.h, made from the loaded object's BTF."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from lictor.wire.btf import Btf
from lictor.wire.layout import compile_layout

_ACTIONS = ("bits", "code", "error", "signal", "rate_ns", "rate_scope", "note_error", "note_signal")
_FIELDS = {
    "engine_state": ("generation", "predicates", "conjunctions", "flags", "seed*2"),
    "rule_group": (
        "next", "policy", "instance", "hook", "first", "count", "flags", "wanted", "wanted_return",
        "timed",
    ),
    "selector": (
        "first_filter", "filters", "return_filters", "scope",
        *(f"act_{name}" for name in _ACTIONS), *(f"at_return_{name}" for name in _ACTIONS),
    ),
    "selector_stats": ("matches", "posts", "limited", "dropped", "monitored", "failed_reads", "last_post"),
    "filter": (
        "subject", "op", "how", "slot", "slot2", "flags", "count", "kinds", "set", "set6", "numbers*8",
    ),
    "read_spec": (
        "type", "source", "flags", "size_index", "index", "size", "max_bytes", "steps", "bits", "shift", "step*16",
    ),
    "cel_step": ("value", "op"),
    "policy_state": (
        "instance", "mode", "lost", "unjoined", "failed_reads", "until", "after", "limit", "minute", "denials",
        "suspended", "overwritten", "unused",
    ),
    "operand_set": ("kind", "first", "count", "least", "starts*4"),
    "number_key": ("set", "number"),
    "number_range": ("least", "greatest"),
    "network_key": ("set", "bits", "address*2"),
    "predicate": ("kind", "op", "sticky", "bit", "twin", "set", "born"),
    "conjunction": ("bit", "positive", "negative", "term*12"),
}  # fmt: skip


class Shapes:
    """`pack` and `unpack` by the C name of a shape; `offset` of a member; numbers of an enum by name."""

    def __init__(self, btf: Btf) -> None:
        self._btf = btf
        self._layouts: dict[str, struct.Struct] = {
            name: compile_layout(btf, name, fields) for name, fields in _FIELDS.items()
        }

    def pack(self, shape: str, *values: int | bytes) -> bytes:
        return self._layouts[shape].pack(*values)

    def unpack(self, shape: str, raw: bytes) -> tuple[int, ...]:
        return self._layouts[shape].unpack(raw)

    def members(self, shape: str, raw: bytes, names: Sequence[str]) -> tuple[int, ...]:
        """Some members of an element, by name."""
        values = dict(zip(_FIELDS[shape], self.unpack(shape, raw), strict=True))
        return tuple(values[name] for name in names)

    def offset(self, shape: str, member: str) -> int:
        return next(one.offset for one in self._btf.struct(shape) if one.name == member)

    def enum(self, name: str) -> dict[str, int]:
        return self._btf.enum(name)
