"""Every type of argument: read where it lives, told in full, and an error where it cannot be read."""

from __future__ import annotations

import base64
import ctypes
import mmap
import os
import socket
import struct
from pathlib import Path

import msgspec
import pytest
from engine import Bench
from live import Expected, Row, check, compiled, file_arg, rows, run

from lictor.policy.machine import Machine

pytestmark = pytest.mark.kernel
LIBC = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: str, returns: str = "", more: str = "") -> str:
    """A policy on a system call, or with a name that is none, on a function. Events of this process only."""
    is_call = "true" if name.startswith("sys_") else "false"
    back = f"return: true\n          returnArg: {{index: 0, type: {returns}}}" if returns else ""
    listed = ", ".join(f"{{{one}}}" for one in arguments)
    return f"""
        kprobes:
        - call: {name}
          syscall: {is_call}
          {back}
          args: [{listed}]
          selectors:
          - matchPIDs: [{{operator: In, values: [SELF]}}]
            {more}
        """


def lsm(hook: str, *arguments: str, more: str = "") -> str:
    listed = ", ".join(f"{{{one}}}" for one in arguments)
    return f"""
        lsmhooks:
        - hook: {hook}
          args: [{listed}]
          selectors:
          - matchPIDs: [{{operator: In, values: [SELF]}}]
            {more}
        """


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def write(directory: Path, *pieces: bytes) -> None:
    fd = os.open(directory / "wanted", os.O_RDWR)
    os.writev(fd, list(pieces))
    os.close(fd)


def write_long(directory: Path) -> None:
    fd = os.open(directory / "wanted", os.O_RDWR)
    os.write(fd, b"y" * 5000)
    os.close(fd)


def read(directory: Path) -> None:
    fd = os.open(directory / "wanted", os.O_RDONLY)
    os.read(fd, 50)
    os.close(fd)


def seek(directory: Path) -> None:
    fd = os.open(directory / "wanted", os.O_RDONLY)
    LIBC.syscall(8, fd, ctypes.c_long(-2), 0)
    os.close(fd)


def connect_to(family: int, kind: int, address: tuple[str, int] | str) -> None:
    with socket.socket(family, kind) as one:
        one.connect_ex(address)


def connect_unix(directory: Path) -> None:
    for name in (str(directory / "nobody"), "\0abstract"):
        connect_to(socket.AF_UNIX, socket.SOCK_STREAM, name)


def absent(directory: Path) -> None:
    """Opens a file whose name lies in a page that nothing has touched yet."""
    holder = directory / "holder"
    holder.write_bytes(str(directory / "wanted").encode() + bytes(4096))
    fd = os.open(holder, os.O_RDWR)
    with mmap.mmap(fd, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as pages:
        address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
        LIBC.syscall(2, ctypes.c_void_p(address), os.O_RDONLY)
    os.close(fd)


MAX_DATA = 327_360


def pattern(size: int) -> bytes:
    return b"".join(struct.pack("<I", n) for n in range(size // 4 + 1))[:size]


def write_pattern(directory: Path, size: int, times: int) -> None:
    fd = os.open(directory / "wanted", os.O_WRONLY)
    for _ in range(times):
        os.write(fd, pattern(size))
    os.close(fd)


def pattern_arg(size: int) -> Expected:
    if size <= MAX_DATA:
        return {"bytes_arg": encoded(pattern(size))}
    return {"truncated_bytes_arg": {"bytes_arg": encoded(pattern(MAX_DATA)), "orig_size": str(size)}}


NUMBERS: dict[str, Expected] = {
    **{name: {"int_arg": -2} for name in ("int", "sint32", "int32", "sint16", "int16", "sint8", "int8")},
    "uint32": {"uint_arg": 0xFFFFFFFE}, "uint16": {"uint_arg": 0xFFFE}, "uint8": {"uint_arg": 0xFE},
    "long": {"long_arg": "-2"}, "int64": {"long_arg": "-2"}, "sint64": {"long_arg": "-2"},
    **{name: {"size_arg": str(2**64 - 2)} for name in ("uint64", "ulong", "size_t")},
}  # fmt: skip


def args(*wanted: Expected, **more: Expected) -> list[Expected]:
    return [{"args": list(wanted)} | more]


def number(name: str, shown: Expected) -> Row:
    return Row(name, call("sys_lseek", f"index: 1, type: {name}"), seek, lambda _: args(shown))


def written(size: int, times: int) -> Row:
    return Row(
        f"char_buf, maxData, {times} times {size} bytes",
        call("sys_write", "index: 1, type: char_buf, sizeArgIndex: 3, maxData: true"),
        lambda directory: write_pattern(directory, size, times),
        lambda _: [{"args": [pattern_arg(size)]}] * times,
    )


ROWS = [
    *(number(name, shown) for name, shown in NUMBERS.items()),
    Row(
        "auto: as the call is declared",
        call("sys_lseek", "index: 0, type: auto", "index: 1, type: auto"),
        seek,
        lambda _: args({"uint_arg": lambda fd: fd > 2}, {"long_arg": "-2"}),
    ),
    Row(
        "nop: nothing is told",
        call("sys_lseek", "index: 0, type: nop", "index: 1, type: int"),
        seek,
        lambda _: args({"int_arg": -2}),
    ),
    Row(
        "string, label",
        call("sys_unlink", "index: 0, type: string, label: name"),
        lambda d: os.unlink(d / "other"),
        lambda d: args({"string_arg": str(d / "other"), "label": "name"}),
    ),
    Row(
        "string that is not there",
        call("sys_unlink", "index: 0, type: string"),
        lambda _: LIBC.syscall(87, ctypes.c_void_p(8)),
        lambda _: args({"error_arg": {"Message": "Bad address"}}),
    ),
    Row(
        "fd and char_buf",
        call("sys_writev", "index: 0, type: fd", "index: 1, type: char_iovec, sizeArgIndex: 3"),
        lambda d: write(d, b"abc", b"", b"defg"),
        lambda d: args(file_arg(d / "wanted"), {"bytes_arg": encoded(b"abcdefg")}),
    ),
    Row(
        "char_buf",
        call("sys_write", "index: 1, type: char_buf, sizeArgIndex: 3", "index: 2, type: size_t"),
        lambda d: os.write(os.open(d / "wanted", os.O_WRONLY), b"data\0data"),
        lambda _: args({"bytes_arg": encoded(b"data\0data")}, {"size_arg": "9"}),
    ),
    Row(
        "char_buf, longer than is kept",
        call("sys_write", "index: 1, type: char_buf, sizeArgIndex: 3"),
        write_long,
        lambda _: args({"truncated_bytes_arg": {"bytes_arg": encoded(b"y" * 4096), "orig_size": "5000"}}),
    ),
    *(written(*one) for one in ((4096, 1), (4097, 1), (50_000, 3), (MAX_DATA, 1), (400_000, 1))),
    Row(
        "returnCopy",
        call("sys_read", "index: 1, type: char_buf, returnCopy: true, sizeArgIndex: 3", returns="int"),
        read,
        lambda _: args({"bytes_arg": encoded(b"x" * 50)}, **{"return": {"int_arg": 50}}),
    ),
    Row(
        "sockaddr",
        call("sys_connect", "index: 1, type: sockaddr"),
        lambda _: connect_to(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 9)),
        lambda _: args({"sockaddr_arg": {"family": "AF_INET", "addr": "127.0.0.1", "port": 9}}),
    ),
    Row(
        "sockaddr_un",
        call("sys_connect", "index: 1, type: sockaddr_un"),
        connect_unix,
        lambda d: [
            {"args": [{"sockaddrun_arg": {"family": "AF_UNIX", "path": name}}]}
            for name in (str(d / "nobody"), "@abstract")
        ],
    ),
    Row(
        "bpf_cmd and bpf_attr",
        call("sys_bpf", "index: 0, type: bpf_cmd", "index: 1, type: bpf_attr"),
        lambda _: LIBC.syscall(321, 5, struct.pack("<II", 2, 7) + bytes(40) + b"probe".ljust(64, b"\0"), 112),
        lambda _: args(
            {"bpf_cmd_arg": "BPF_PROG_LOAD"},
            {"bpf_attr_arg": {"ProgType": "BPF_PROG_TYPE_KPROBE", "InsnCnt": 7, "ProgName": "probe"}},
        ),
    ),
    Row(
        "syscall64 and const_buf",
        """
        tracepoints:
        - subsystem: raw_syscalls
          event: sys_enter
          args: [{index: 4, type: syscall64}, {index: 5, type: const_buf}]
          selectors:
          - matchPIDs: [{operator: In, values: [SELF]}]
            matchArgs: [{index: 4, operator: Equal, values: [sys_sync]}]
        """,
        lambda _: os.sync(),
        lambda _: args({"syscall_id": {"id": 162, "abi": "x64"}}, *[{"size_arg": str.isdigit}] * 6),
        ("tracepoint",),
    ),
    Row(
        "text behind a pointer of a tracepoint's record",
        """
        tracepoints:
        - subsystem: syscalls
          event: sys_enter_openat
          args: [{index: 6}]
          selectors:
          - matchPIDs: [{operator: In, values: [SELF]}]
            matchArgs: [{index: 6, operator: Postfix, values: [wanted]}]
        """,
        lambda d: os.close(os.open(d / "wanted", os.O_RDONLY)),
        lambda d: args({"string_arg": str(d / "wanted")}),
        ("tracepoint",),
    ),
    Row(
        "text in a tracepoint's record",
        """
        tracepoints:
        - subsystem: task
          event: task_rename
          args: [{index: 6}]
          selectors:
          - matchPIDs: [{operator: In, values: [SELF]}]
        """,
        lambda _: Path("/proc/self/comm").write_text("renamed"),
        lambda _: args({"string_arg": "renamed"}),
        ("tracepoint",),
    ),
    Row(
        "memory that is not resident",
        call("sys_open", "index: 0, type: string", more="matchArgs: [{index: 0, operator: Postfix, values: [wanted]}]"),
        absent,
        lambda d: args({"string_arg": str(d / "wanted")}),
        ("raw_tp",),
        ("fentry", "fexit", "kprobe", "kretprobe", "kprobe.multi"),
    ),
    Row(
        "sock",
        """
        tracepoints:
        - subsystem: sock
          event: inet_sock_set_state
          raw: true
          args: [{index: 0, type: sock}, {index: 2, type: int}]
          selectors:
          - matchPIDs: [{operator: In, values: [SELF]}]
            matchArgs: [{index: 2, operator: Equal, values: ["2"]}]
        """,
        lambda _: connect_to(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 1)),
        lambda _: args(
            {
                "sock_arg": {
                    "family": "AF_INET",
                    "type": "SOCK_STREAM",
                    "protocol": "IPPROTO_TCP",
                    "daddr": "127.0.0.1",
                    "dport": 1,
                }
            },
            {"int_arg": 2},
        ),
    ),
    Row(
        "skb and net_device name",
        """
        tracepoints:
        - subsystem: net
          event: net_dev_queue
          raw: true
          args: [{index: 0, type: skb}]
          selectors:
          - matchPIDs: [{operator: In, values: [SELF]}]
            matchArgs: [{index: 0, operator: DPort, values: ["4799"]}]
        """,
        lambda _: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b"hello", ("::1", 4799)),
        lambda _: args(
            {
                "skb_arg": {
                    "saddr": "::1",
                    "daddr": "::1",
                    "dport": 4799,
                    "proto": 17,
                    "protocol": "IPPROTO_UDP",
                    "family": "AF_INET6",
                }
            }
        ),
    ),
]


@rows(ROWS)
def test_type(row: Row, bench: Bench, machine: Machine, place: Path) -> None:
    check(row, bench, machine, place)


def test_every_policy_gets_memory_that_is_read_again(bench: Bench, machine: Machine, place: Path) -> None:
    if machine.lacks("raw_tp"):
        pytest.skip(machine.lacks("raw_tp"))
    row = next(one for one in ROWS if one.name == "memory that is not resident")
    (place / "wanted").write_text("x")
    facts = machine.facts
    lacking = dict.fromkeys(row.without, "left out by the test")
    machine = Machine(msgspec.structs.replace(facts, abilities=facts.abilities | lacking))
    one, two = (compiled(row.spec.replace("SELF", str(os.getpid())), machine, name) for name in ("one", "two"))
    with bench.policy(two):
        found = bench.during(one, lambda: row.action(place))
    mine = [event for event in found if event["tid"] == os.getpid()]
    assert sorted(event["policy_name"] for event in mine) == ["one", "two"], found
    assert all(event["args"][0]["string_arg"] == str(place / "wanted") for event in mine), mine
    assert {event.extra.flags for event in bench.events if event.tid == os.getpid()} == {("readAgain",)}


_ = (lsm, run)
