"""Text to nodes: positions, faults, and nothing that it chokes on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lictor.policy.source import Mapping, Scalar, Sequence, Source, integer, read


def codes(source: Source) -> list[str]:
    return [fault.code for fault in source.faults]


def test_every_node_knows_its_place() -> None:
    root = read(b"# comment\na: 1\nlist:\n- x\n- 'y'\n").root
    assert isinstance(root, Mapping)
    listed = root.entries["list"]
    assert isinstance(listed, Sequence)
    assert [(one.line, one.column) for one in listed.items] == [(4, 3), (5, 3)]
    assert (root.keys["a"].line, root.keys["a"].column) == (2, 1)
    assert (root.entries["a"].line, root.entries["a"].column) == (2, 4)


def test_kinds_of_plain_and_quoted_scalars() -> None:
    words = ["~", "yes", "No", "0x10", "010", "-7", "1.5", ".inf", "abc", "1e3", "12:30"]
    assert [Scalar(1, 1, word, True).kind for word in words] == [
        "nothing", "boolean", "boolean", "integer", "integer", "integer", "number", "number", "string", "number",
        "string",
    ]  # fmt: skip
    assert Scalar(1, 1, "7", False).kind == "string"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0x10", 16),
        ("010", 8),
        ("0o10", 8),
        ("-0xf", -15),
        ("+5", 5),
        ("1_000", 1000),
        ("0b101", 5),
        ("0", 0),
        ("00", 0),
    ],
)
def test_integers(text: str, value: int) -> None:
    assert integer(text) == value


@pytest.mark.parametrize("text", ["", "-", "0x", "0b", "08", "1.0", "1e3", "abc", "--1", "0o", " 1"])
def test_not_integers(text: str) -> None:
    assert integer(text) is None


def test_a_key_twice() -> None:
    source = read(b"a: 1\nb: 2\na: 3\n")
    (fault,) = source.faults
    assert (fault.code, fault.at.line, fault.hint) == ("duplicate-key", 3, "first: line 1")
    assert isinstance(source.root, Mapping)
    assert list(source.root.entries) == ["a", "b"]


def test_a_second_document_is_pointed_at() -> None:
    source = read(b"a: 1\n---\nb: 2\n")
    assert [(fault.code, fault.at.line) for fault in source.faults] == [("several-documents", 3)]
    assert codes(read(b"---\na: 1\n---\n")) == []


def test_anchors_and_merge_keys() -> None:
    root = read(b"base: &b {x: 1, y: 2}\nmore:\n  <<: *b\n  y: 3\n").root
    assert isinstance(root, Mapping)
    more = root.entries["more"]
    assert isinstance(more, Mapping)
    assert {key: value.text for key, value in more.entries.items() if isinstance(value, Scalar)} == {"y": "3", "x": "1"}


def test_aliases_cannot_grow_without_bound() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "too-large" in codes(read("\n".join(lines).encode()))


@pytest.mark.parametrize(
    ("data", "line", "column"),
    [
        (b"a: [1, 2\nb: 3\n", 2, 2),
        (b"a:\n\tb: 1\n", 2, 1),
        (b"a: b: c\n", 1, 5),
        (b"a: \x00\n", 1, 4),
        (b"ab: \xff\n", 1, 5),
        (b"a: *nowhere\n", 1, 4),
        (b"? [x]\n: 1\n", 1, 3),
    ],
)
def test_syntax_errors_have_a_place(data: bytes, line: int, column: int) -> None:
    first = read(data).faults[0]
    assert (first.code, first.at.line, first.at.column) == ("yaml-syntax", line, column)


def test_tags_have_no_meaning() -> None:
    assert codes(read(b"a: !!python/object:os.system x\n")) == ["yaml-tag"]
    assert codes(read(b"a: !!str 1\n")) == []


def test_depth_and_size_are_bounded() -> None:
    assert codes(read(b"[" * 50_000)) == ["yaml-syntax"]
    assert codes(read(b"- " * 50_000)) == ["yaml-syntax"]
    assert codes(read(b"a" * ((4 << 20) + 1))) == ["too-large"]


def test_other_encodings() -> None:
    assert isinstance(read("a: é".encode("utf-16")).root, Mapping)
    assert isinstance(read(b"\xef\xbb\xbfa: 1").root, Mapping)


@given(st.binary(max_size=300))
def test_bytes_never_crash_it(data: bytes) -> None:
    for fault in read(data).faults:
        assert fault.at.line >= 1
        assert fault.at.column >= 1


@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@` \n\t?,~<", max_size=200))
def test_yaml_like_text_never_crashes_it(text: str) -> None:
    for fault in read(text.encode()).faults:
        assert fault.at.line <= text.count("\n") + 2
