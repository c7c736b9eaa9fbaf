"""Arguments, paths and flags, case by case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lictor.track import text
from lictor.track.container import container_id, short_id
from lictor.wire.records import ExecFlag, ProcessFlag

ID = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("argv", "shown", "exact"),
    [
        ([b"x"], "", ()),
        ([b"x", b"a", b"b"], "a b", ()),
        ([b"x", b"a b", b"c"], '"a b" c', ()),
        ([b"x", b"", b"c", b""], '"" c ""', ()),
        ([b"x", b""], '""', ()),
        ([b"", b""], '""', ()),
        ([b"x", b"", b""], '"" ""', ()),
        ([b"x", b'say "hi"'], '"say "hi""', ('say "hi"',)),
        ([b"x", b"\xff"], "\ufffd", ("\\xff",)),
        ([b"x", "grüße".encode()], "grüße", ()),
        ([], "", ()),
    ],
)
def test_arguments(argv: list[bytes], shown: str, exact: tuple[str, ...]) -> None:
    assert text.arguments(b"".join(a + b"\0" for a in argv)) == (shown, exact)


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_arguments(raw: bytes, cut: bool) -> None:
    shown, _ = text.arguments(raw, cut)
    shown.encode()  # valid UTF-8, as protobuf strings must be


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters='\0" '), min_size=1)))
def test_plain_arguments_split_back(argv: list[str]) -> None:
    shown, exact = text.arguments(b"".join(a.encode() + b"\0" for a in ["x", *argv]))
    assert exact == ()
    assert shown == " ".join(argv)


@pytest.mark.parametrize(
    ("name", "interpreted", "wanted"),
    [
        ("/bin/sh", False, "/bin/sh"),
        ("./run", False, "/home/u/run"),
        ("../run", False, "/home/run"),
        ("/dev/fd/5", False, "/usr/bin/dash"),
        ("/dev/fd/5", True, "/dev/fd/5"),
        ("", False, "/usr/bin/dash"),
    ],
)
def test_binary_path(name: str, interpreted: bool, wanted: str) -> None:
    assert text.binary_path(name, "/usr/bin/dash", "/home/u", interpreted) == wanted


def test_flags_in_the_references_order() -> None:
    bits = int(ExecFlag.ARGS_TRUNCATED | ExecFlag.CWD_ERROR)
    process = int(ProcessFlag.CLONED | ProcessFlag.IN_INIT_TREE)
    assert text.exec_flags(bits, process, True) == "execve truncArgs rootcwd errorCWD clone inInitTree"


@pytest.mark.parametrize(
    ("device", "name"),
    [(0, ""), (136 << 20 | 3, "pts/3"), (137 << 20, "pts/256"), (4 << 20 | 64, "ttyS0"), (5 << 20 | 1, "console")],
)
def test_tty_names(device: int, name: str) -> None:
    assert text.tty_name(device) == name


def test_environment() -> None:
    found = text.environment(b"A=1\0B=x=y\0C\0")
    assert [(v.key, v.value) for v in found] == [("A", "1"), ("B", "x=y"), ("C", "")]


@pytest.mark.parametrize(
    "path",
    [
        f"/kubepods/burstable/pod1234/{ID}",
        f"/kubepods-burstable-pod12_34.slice:cri-containerd:{ID}",
        f"/libpod_parent/libpod-{ID}",
        f"/system.slice/docker-{ID}.scope",
        f"/docker/{ID}/system.slice/inner.service",
        f"/kubepods.slice/crio-{ID}.scope",
    ],
)
def test_container_ids(path: str) -> None:
    assert container_id(path) == ID
    assert short_id(ID) == ID[:31]


@pytest.mark.parametrize("path", ["/", "/user.slice", "/k8s.io/name", f"/libpod_parent/libpod-conmon-{ID}", f"/{ID}0"])
def test_no_container(path: str) -> None:
    assert container_id(path) == ""
