"""Layouts come from the built objects; whatever bytes arrive, a decoder gives a record or a RecordError."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lictor.kernel.objects import Object, object_path
from lictor.wire import btf, layout, records

with Object(object_path("process")) as _object:
    BTF = _object.btf
DECODER = records.Decoder(BTF)


@pytest.mark.parametrize(
    ("enum", "mirror"),
    [
        ("record_kind", records.Kind),
        ("process_flag", records.ProcessFlag),
        ("exec_flag", records.ExecFlag),
        ("exec_field", records.Field),
    ],
)
def test_enums_are_those_of_the_headers(enum: str, mirror: type[records.Kind]) -> None:
    ours = {member.name: int(member) for member in mirror}
    theirs = {name.partition("_")[2]: value for name, value in BTF.enum(enum).items()}
    if enum == "exec_field":
        theirs = {k: v for k, v in BTF.enum(enum).items() if k.startswith("FIELD_") and k != "FIELD_SLOTS"}
        theirs = {name.removeprefix("FIELD_"): value for name, value in theirs.items()}
    assert ours == theirs


def test_a_missing_field_is_a_layout_error() -> None:
    with pytest.raises(layout.LayoutError, match="no field nonsense"):
        layout.compile_layout(BTF, "exec_record", ("size", "nonsense"))
    with pytest.raises(layout.LayoutError, match="does not describe"):
        layout.compile_layout(BTF, "no_such_record", ("size",))


@given(st.binary(max_size=600), st.integers(0, 700))
def test_random_bytes_never_break_a_decoder(raw: bytes, size: int) -> None:
    for decode in (DECODER.clone, DECODER.exit, DECODER.exec, DECODER.chunk):
        if size > len(raw):
            continue  # the reader has checked that before
        with contextlib.suppress(records.RecordError):
            decode(raw, 0, size)


def test_fields_beyond_the_record_are_refused() -> None:
    size = BTF.size_of("exec_record")
    raw = bytearray(size)
    place = next(m for m in BTF.struct("exec_record") if m.name == "inline_len")
    struct.pack_into("<H", raw, place.offset, 5)
    with pytest.raises(records.RecordError, match="reach beyond"):
        DECODER.exec(bytes(raw), 0, size)


@given(st.binary(max_size=200))
def test_bad_btf_is_a_btf_error(blob: bytes) -> None:
    with pytest.raises(btf.BtfError):
        btf.parse(blob)
