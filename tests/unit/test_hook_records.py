"""Decoding records of hooks: whole ones come back as they were; what is none is a RecordError, and nothing else."""

from __future__ import annotations

import contextlib
import struct
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lictor.catalog.types import TYPES
from lictor.kernel.objects import Object, object_path
from lictor.model.arguments import Argument
from lictor.policy.plan import Read, Source
from lictor.track.values import Arguments
from lictor.wire.btf import Btf
from lictor.wire.hooks import Field, HookDecoder
from lictor.wire.layout import compile_layout
from lictor.wire.records import RecordError
from lictor.wire.values import ValueDecoder

FIXED = ("size", "kind", "time", "key_ktime", "key_tgid", "tid", "instance", "group", "selector", "flags", "fields")
VALUE_TYPES = sorted(set(TYPES) - {"auto", "nop"})
fields = st.dictionaries(
    st.integers(0, 15),
    st.tuples(st.integers(0, 255), st.integers(0, 65535), st.integers(0, 2**64 - 1), st.binary(max_size=100)),
    max_size=8,
)


@cache
def btf() -> Btf:
    with Object(object_path("scope")) as unloaded:
        return unloaded.btf


def packed(values: dict[int, tuple[int, int, int, bytes]]) -> bytes:
    layout = compile_layout(btf(), "field", ("slot", "type", "flags", "len", "extra"))
    body = b""
    for slot, (kind, flags, extra, data) in values.items():
        body += layout.pack(slot, kind, flags, len(data), extra) + data + bytes(-len(data) % 8)
    fixed = compile_layout(btf(), "hook_record", FIXED)
    return fixed.pack(fixed.size + len(body), 5, 11, 22, 33, 44, 55, 66, 0, 0, len(body)) + body


@given(fields)
def test_whole_records(values: dict[int, tuple[int, int, int, bytes]]) -> None:
    record = packed(values)
    found = HookDecoder(btf()).decode(b"before  " + record, 8, len(record))
    assert (found.time, found.ktime, found.tgid, found.tid, found.instance, found.group) == (11, 22, 33, 44, 55, 66)
    assert found.values == {slot: Field(*value) for slot, value in values.items()}


@given(fields, st.data())
def test_truncated_records(values: dict[int, tuple[int, int, int, bytes]], data: st.DataObject) -> None:
    record = packed(values)
    size = data.draw(st.integers(0, len(record) - 1))
    with pytest.raises(RecordError):
        HookDecoder(btf()).decode(record[:size], 0, size)


@given(fields, st.data())
def test_damaged_records(values: dict[int, tuple[int, int, int, bytes]], data: st.DataObject) -> None:
    record = bytearray(packed(values))
    for place, byte in data.draw(st.lists(st.tuples(st.integers(0, len(record) - 1), st.integers(0, 255)), max_size=6)):
        record[place] = byte
    size = data.draw(st.sampled_from([len(record), len(record) + 8]))
    try:
        found = HookDecoder(btf()).decode(bytes(record), 0, size)
    except RecordError:
        return
    assert all(slot < 16 and len(value.data) <= len(record) for slot, value in found.values.items())


@given(st.sampled_from(VALUE_TYPES), st.integers(0, 65535), st.integers(0, 2**64 - 1), st.binary(max_size=200))
def test_any_bytes_as_any_type(name: str, flags: int, extra: int, data: bytes) -> None:
    read = Read(slot=0, type=name, source=Source.ARGUMENT, label="label")
    try:
        made = Arguments(ValueDecoder(btf())).make(read, Field(0, flags, extra, data))
    except RecordError:
        return
    assert isinstance(made, Argument)


def test_a_value_that_was_not_read() -> None:
    read = Read(slot=0, type="int", source=Source.ARGUMENT)
    made = Arguments(ValueDecoder(btf())).make(read, None)
    assert "not read" in str(made)


@given(st.binary(max_size=400))
def test_noise_in_the_map_of_calls(noise: bytes) -> None:
    decoder = HookDecoder(btf())
    size = btf().size_of("kept_call")
    value = (noise * (size // max(len(noise), 1) + 1))[:size].ljust(size, b"\0")
    with contextlib.suppress(RecordError):
        decoder.kept(struct.pack("<QQII", 1, 2, 3, 0), value)
