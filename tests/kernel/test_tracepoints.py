"""Tracepoints: fields of every size and sign as the format has them, and what pointers in records lead to."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine import Bench
from live import Expected, Row, check, learned, rows
from test_network_values import Ends, bound, names, send, send_behind_extensions

from lictor.policy.machine import Machine

pytestmark = pytest.mark.kernel
LIBC = ctypes.CDLL(None, use_errno=True)
NEEDS = ("tracepoint",)
SI_TKILL = -6
GETPPID, GETPPID_OF_32_BITS = 110, 64


def fields(subsystem: str, event: str, *arguments: str, match: str = "", raw: bool = False) -> str:
    listed = ", ".join(f"{{{one}}}" for one in arguments)
    return f"""
        tracepoints:
        - subsystem: {subsystem}
          event: {event}
          raw: {str(raw).lower()}
          args: [{listed}]
          selectors:
          - matchPIDs: [{{operator: In, values: [SELF]}}]
            {match}
        """


def rename(_: Path) -> None:
    before = Path("/proc/self/comm").read_bytes().strip()
    LIBC.prctl(15, b"sixteen letters!", 0, 0, 0)
    LIBC.prctl(15, before, 0, 0, 0)


def signalled(_: Path) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


def open_file(directory: Path) -> None:
    os.close(os.open(directory / "wanted", os.O_RDONLY | os.O_NOATIME))


def open_nothing(_: Path) -> None:
    """Addresses that no process has: in no page of it, and of the kernel."""
    for address in (16, 0xFFFFFFFF81000000):
        assert LIBC.open(ctypes.c_void_p(address), 0) == -1
        assert ctypes.get_errno() == 14


def call_by_both(_: Path) -> None:
    """getppid by the 64-bit and by the 32-bit gate."""
    os.getppid()
    code = bytes([0xB8, GETPPID_OF_32_BITS, 0, 0, 0, 0xCD, 0x80, 0xC3])  # mov eax, 64; int 0x80; ret
    with mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as page:
        page.write(code)
        place = ctypes.c_char.from_buffer(page)
        assert ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(place))() == os.getppid()
        del place


def connect(_: Path) -> Ends:
    with bound(socket.AF_INET, socket.SOCK_STREAM) as server, bound(socket.AF_INET, socket.SOCK_STREAM) as client:
        server.listen()
        client.connect(server.getsockname())
        return Ends(client.getsockname()[1], server.getsockname()[1])


def packet(family: int, action: Callable[[Path], Ends]) -> Row:
    name, host = names(family)
    return learned(
        f"pointer to a packet, {name}, {action.__name__}",
        fields(
            "net", "net_dev_queue", "index: 4, type: skb", "index: 5, type: uint32", "index: 6",
            match="matchArgs: [{index: 4, operator: Protocol, values: [IPPROTO_UDP]}]",
        ),
        action,
        lambda ends: [
            {
                "args": [
                    {
                        "skb_arg": {
                            "family": name,
                            "saddr": host,
                            "daddr": host,
                            "sport": ends.source,
                            "dport": ends.destination,
                            "protocol": "IPPROTO_UDP",
                        }
                    },
                    {"uint_arg": lambda size: size > 100},
                    {"string_arg": "lo"},
                ]
            }
        ],
        NEEDS,
    )  # fmt: skip


def send4(_: Path) -> Ends:
    return send(socket.AF_INET)


def send6(_: Path) -> Ends:
    return send(socket.AF_INET6)


def comm() -> str:
    return Path("/proc/self/comm").read_text().strip()


def new_state(ends: Any) -> list[Expected]:
    return [
        {
            "args": [
                {
                    "sock_arg": {
                        "family": "AF_INET",
                        "protocol": "IPPROTO_TCP",
                        "saddr": "127.0.0.1",
                        "sport": ends.source,
                        "dport": ends.destination,
                    }
                },
                {"int_arg": 7},
                {"int_arg": 2},
                {"uint_arg": ends.source},
                {"uint_arg": ends.destination},
                {"uint_arg": socket.AF_INET},
                {"uint_arg": socket.IPPROTO_TCP},
                {"bytes_arg": "fwAAAQ=="},
            ]
        }
    ]


ROWS = [
    Row(
        "arrays of characters, without a NUL too, and numbers",
        fields(
            "task", "task_rename", "index: 4", "index: 5", "index: 6", "index: 7",
            match="matchArgs: [{index: 6, operator: Prefix, values: [sixteen]}]",
        ),
        rename,
        lambda _: [
            {
                "args": [
                    {"int_arg": os.getpid()},
                    {"string_arg": comm()},
                    {"string_arg": "sixteen letters"},
                    {"int_arg": int(Path("/proc/self/oom_score_adj").read_text())},
                ]
            }
        ],
        NEEDS,
    ),
    Row(
        "negative numbers",
        fields(
            "signal", "signal_generate", "index: 4", "index: 6", "index: 7, type: string", "index: 8, type: int64",
            match='matchArgs: [{index: 6, operator: LessThan, values: ["0"]}]',
        ),
        signalled,
        lambda _: [
            {
                "args": [
                    {"int_arg": signal.SIGUSR1},
                    {"int_arg": SI_TKILL},
                    {"string_arg": comm()},
                    {"long_arg": str(os.getpid())},
                ]
            }
        ],
        NEEDS,
    ),
    Row(
        "the head of a record: the thread is known, nothing else",
        fields(
            "task", "task_rename", "index: 3", "index: 0",
            match="matchArgs: [{index: 3, operator: Equal, values: ['SELF']}]",
        ),
        rename,
        lambda _: [{"args": [{"int_arg": os.getpid()}, {"error_arg": {}}]}] * 2,
        NEEDS,
    ),
    Row(
        "system calls: the number, and an array of numbers",
        fields(
            "raw_syscalls", "sys_enter", "index: 4, type: syscall64", "index: 5",
            match="matchArgs: [{index: 4, operator: InMap, values: ['8']}]",
        ),
        lambda _: LIBC.lseek(-7, ctypes.c_long(4711), 1),
        lambda _: [
            {
                "args": [
                    {"syscall_id": {"id": 8, "abi": "x64"}},
                    {"size_arg": lambda fd: int(fd) & 0xFFFFFFFF == 2**32 - 7},
                    {"size_arg": "4711"},
                    {"size_arg": "1"},
                    {},
                    {},
                    {},
                ]
            }
        ],
        NEEDS,
    ),
    Row(
        "system calls by both gates",
        fields(
            "raw_syscalls", "sys_enter", "index: 4, type: syscall64",
            match="matchArgs: [{index: 4, operator: Equal, values: [sys_getppid, i386/sys_getppid]}]",
        ),
        call_by_both,
        lambda _: [
            {"args": [{"syscall_id": {"id": GETPPID, "abi": "x64"}}]},
            {"args": [{"syscall_id": {"id": GETPPID_OF_32_BITS, "abi": "i386"}}]},
            {"args": [{"syscall_id": {"id": GETPPID, "abi": "x64"}}]},
        ],
        NEEDS,
        function="__ia32_sys_getppid",
    ),
    Row(
        "a pointer to text of the process",
        fields(
            "syscalls", "sys_enter_openat", "index: 6", "index: 7, type: int",
            match="matchArgs: [{index: 6, operator: Equal, values: [DIR/wanted]}]",
        ),
        open_file,
        lambda d: [{"args": [{"string_arg": str(d / "wanted")}, {"int_arg": os.O_NOATIME | os.O_CLOEXEC}]}],
        NEEDS,
    ),
    Row(
        "a pointer that leads nowhere, or into the kernel",
        fields(
            "syscalls", "sys_enter_openat", "index: 6",
            match="matchArgs: [{index: 6, operator: NotEqual, values: [x]}]",
        ),
        open_nothing,
        lambda _: [],
        NEEDS,
    ),
    Row(
        "what a pointer into the kernel leads to is not told",
        fields(
            "syscalls", "sys_enter_openat", "index: 4, type: int", "index: 6",
            match="matchArgs: [{index: 4, operator: Equal, values: ['257']}]",
        ),
        open_nothing,
        lambda _: [{"args": [{}, {"error_arg": {"Message": os.strerror(14)}}]}] * 2,
        NEEDS,
    ),
    learned(
        "a pointer to a socket, numbers of 16 bits, arrays of bytes",
        fields(
            "sock", "inet_sock_set_state", "index: 4, type: sock", *(f"index: {n}" for n in range(5, 12)),
            match="matchArgs: [{index: 6, operator: Equal, values: ['2']}]",
        ),
        connect,
        new_state,
        NEEDS,
    ),
    learned(
        "a socket of a raw tracepoint",
        fields(
            "sock", "inet_sock_set_state", "index: 0", "index: 1", "index: 2", raw=True,
            match="matchArgs: [{index: 2, operator: Equal, values: ['2']}, "
            "{index: 0, operator: SAddr, values: [127.0.0.1]}]",
        ),
        connect,
        lambda ends: [{"args": [{"sock_arg": {"sport": ends.source, "dport": ends.destination}}, {"int_arg": 7}, {}]}],
    ),
    packet(socket.AF_INET, send4),
    packet(socket.AF_INET6, send6),
    packet(socket.AF_INET6, send_behind_extensions),
]  # fmt: skip


@rows(ROWS)
def test_value(row: Row, bench: Bench, machine: Machine, tmp_path: Path) -> None:
    check(row, bench, machine, tmp_path)
