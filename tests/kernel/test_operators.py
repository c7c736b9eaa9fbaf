"""Every operator, on system calls: the same rows on every kernel. Each does what matches and what does not."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from engine import Bench
from live import Expected, Row, check, rows

from lictor.policy.machine import Machine

pytestmark = pytest.mark.kernel
OFFSETS = (1, 7, 8, 100, 4096, -5)


def on_offset(operator: str, values: str, kind: str = "int64") -> str:
    return f"""
        kprobes:
        - call: sys_lseek
          args: [{{index: 1, type: {kind}}}]
          selectors:
          - matchPIDs: [{{operator: In, values: [SELF]}}]
            matchArgs: [{{index: 1, operator: {operator}, values: [{values}]}}]
        """


def seek(directory: Path) -> None:
    fd = os.open(directory / "wanted", os.O_RDONLY)
    for offset in OFFSETS:
        try:
            os.lseek(fd, offset, os.SEEK_SET)
        except OSError:
            assert offset < 0
    os.close(fd)


def offsets(*wanted: int) -> Callable[[Path], list[Expected]]:
    return lambda _: [{"args": [{"long_arg": str(one)}]} for one in wanted]


NUMBERS = [
    ("Equal", '"7", "8"', (7, 8)),
    ("Equal", '"1", "2", "3", "4", "5", "6", "7", "9", "10", "11"', (1, 7)),
    ("NotEqual", '"7", "8"', (1, 100, 4096, -5)),
    ("Equal", '"-5", "0x1000"', (4096, -5)),
    ("GreaterThan", '"8"', (100, 4096)),
    ("LessThan", '"7"', (1, -5)),
    ("GT", '"99"', (100, 4096)),
    ("LT", '"2"', (1, -5)),
    ("Mask", '"4"', (7, 100)),
    ("InRange", '"7:100", "-10:-1"', (7, 8, 100, -5)),
    ("NotInRange", '"7:100"', (1, 4096, -5)),
    ("InMap", '"7", "90:110"', (7, 100)),
    ("InMap", ", ".join(f'"{n}:{n + 1}"' for n in range(4, 64, 4)), (8,)),
    ("NotInMap", '"1", "7", "8", "100", "4096"', (-5,)),
]
WORDS = ("alpha.txt", "beta.conf", "ALPHABET.log", "x")


def on_path(operator: str, values: str) -> str:
    return f"""
        kprobes:
        - call: sys_unlink
          args: [{{index: 0, type: string}}]
          selectors:
          - matchPIDs: [{{operator: In, values: [SELF]}}]
            matchArgs: [{{index: 0, operator: {operator}, values: [{values}]}}]
        """


def unlink(directory: Path) -> None:
    for word in WORDS:
        (directory / word).touch()
        os.unlink(directory / word)


def words(*wanted: str) -> Callable[[Path], list[Expected]]:
    return lambda directory: [{"args": [{"string_arg": str(directory / one)}]} for one in wanted]


TEXTS = [
    ("Equal", "DIR/x, DIR/alpha.txt", ("alpha.txt", "x")),
    ("NotEqual", "DIR/x, DIR/alpha.txt", ("beta.conf", "ALPHABET.log")),
    ("Prefix", "DIR/al, DIR/beta.conf, /nowhere", ("alpha.txt", "beta.conf")),
    ("NotPrefix", "DIR/al", ("beta.conf", "ALPHABET.log", "x")),
    ("Postfix", ".txt, .log, /x", ("alpha.txt", "ALPHABET.log", "x")),
    ("NotPostfix", ".txt", ("beta.conf", "ALPHABET.log", "x")),
    ("SubString", "lpha., eta.c", ("alpha.txt", "beta.conf")),
    ("SubStringIgnCase", "/alphA", ("alpha.txt", "ALPHABET.log")),
]


def on_address(operator: str, values: str) -> str:
    listed = f", values: [{values}]" if values else ""
    return f"""
        kprobes:
        - call: sys_connect
          args: [{{index: 1, type: sockaddr}}]
          selectors:
          - matchPIDs: [{{operator: In, values: [SELF]}}]
            matchArgs: [{{index: 1, operator: {operator}{listed}}}]
        """


ADDRESSES = (("127.0.0.1", 4711), ("127.1.2.3", 80), ("::1", 4712))


def connect(_directory: Path) -> None:
    for host, port in ADDRESSES:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            one.connect((host, port))


def addresses(*wanted: int) -> Callable[[Path], list[Expected]]:
    return lambda _: [
        {"args": [{"sockaddr_arg": {"addr": ADDRESSES[one][0], "port": ADDRESSES[one][1]}}]} for one in wanted
    ]


SOCKETS = [
    ("SAddr", "127.0.0.1", (0,)),
    ("SAddr", '127.0.0.0/8, "::/64"', (0, 1, 2)),
    ("NotSAddr", "127.0.0.0/16", (1, 2)),
    ("SPort", '"4700:4711", "80"', (0, 1)),
    ("NotSPort", '"80"', (0, 2)),
    ("SPortPriv", "", (1,)),
    ("NotSportPriv", "", (0, 2)),
    ("Family", "AF_INET6", (2,)),
]
ROWS = [
    *(Row(f"{name} {values[:20]}", on_offset(name, values), seek, offsets(*found)) for name, values, found in NUMBERS),
    *(Row(f"{name} {values[:20]}", on_path(name, values), unlink, words(*found)) for name, values, found in TEXTS),
    *(
        Row(f"{name} {values[:20]}", on_address(name, values), connect, addresses(*found))
        for name, values, found in SOCKETS
    ),
    Row(
        "FileType",
        """
        kprobes:
        - call: sys_fchdir
          args: [{index: 0, type: fd}]
          selectors: [{matchArgs: [{index: 0, operator: FileType, values: [dir]}]}]
        """,
        lambda directory: change_to(directory, directory / "wanted"),
        lambda directory: [{"args": [{"file_arg": {"path": str(directory)}}]}],
    ),
]


ROWS.append(
    Row(
        "NotFileType",
        """
        kprobes:
        - call: sys_fchdir
          args: [{index: 0, type: fd}]
          selectors: [{matchArgs: [{index: 0, operator: NotFileType, values: [dir]}]}]
        """,
        lambda directory: change_to(directory, directory / "wanted"),
        lambda directory: [{"args": [{"file_arg": {"path": str(directory / "wanted")}}]}],
    )
)


def change_to(*places: Path) -> None:
    before = os.getcwd()
    for place in places:
        fd = os.open(place, os.O_RDONLY)
        try:
            os.fchdir(fd)
        except NotADirectoryError:
            assert not place.is_dir()
        os.close(fd)
    os.chdir(before)


@rows(ROWS)
def test_operator(row: Row, bench: Bench, machine: Machine, place: Path) -> None:
    check(row, bench, machine, place)
