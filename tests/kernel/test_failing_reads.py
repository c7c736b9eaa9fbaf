"""Every type that is read where an address leads, with addresses that lead nowhere: an error each time, and a condition
never holds. The address is the argument of a system call, so it is whatever the test wants."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest
from engine import Bench
from live import Row, check, rows

from lictor.catalog.types import TYPES, Family
from lictor.policy.machine import Machine

pytestmark = pytest.mark.kernel
LIBC = ctypes.CDLL(None, use_errno=True)
SYS_WRITE, SYS_LSEEK = 1, 8
# Nothing; a page that no process has; not canonical; the last page of the kernel's half.
ADDRESSES = (0, 16, 1 << 63, 2**64 - 4096)
NO_POINTERS = (Family.NUMBER, Family.SYSCALL, Family.NOTHING)
# Read another way: a descriptor's number, parts of a tracepoint's record.
LEFT_OUT = ("auto", "fd", "data_loc", "const_buf")
POINTERS = [row for row in TYPES.values() if row.family not in NO_POINTERS and row.name not in LEFT_OUT]
CONDITIONS = {
    Family.TEXT: "operator: NotEqual, values: [x]",
    Family.PATH: "operator: NotPrefix, values: [/x]",
    Family.SOCKET: "operator: NotSAddr, values: [10.0.0.0/8]",
    Family.PACKET: "operator: NotDPort, values: ['1']",
    Family.ADDRESS: "operator: NotSAddr, values: [10.0.0.0/8]",
    Family.UNIX_ADDRESS: "operator: NotEqual, values: [x]",
    Family.CAPABILITIES: "operator: NotEqual, values: [CAP_SYS_NICE]",
}


def go_nowhere(_: Path) -> None:
    for number in (SYS_WRITE, SYS_LSEEK):
        for address in ADDRESSES:
            LIBC.syscall(ctypes.c_long(number), -1, ctypes.c_ulong(address), ctypes.c_long(64))


def on_call(kind: str, more: str = "", condition: str = "") -> str:
    """On a call whose argument is a pointer where the type is of the process's memory, else a number."""
    filtered = f"matchArgs: [{{index: 1, {condition}}}]" if condition else ""
    return f"""
        kprobes:
        - call: {"sys_write" if TYPES[kind].memory else "sys_lseek"}
          args: [{{index: 1, type: {kind}{more}}}]
          selectors:
          - matchPIDs: [{{operator: In, values: [SELF]}}]
            {filtered}
        """


def errors(_: Path) -> list[dict[str, object]]:
    return [{"args": [{"error_arg": {"Message": os.strerror(14)}}]}] * len(ADDRESSES)


ROWS = [
    *(
        Row(one.name, on_call(one.name, ", sizeArgIndex: 3" if one.sized else ""), go_nowhere, errors)
        for one in POINTERS
    ),
    *(
        Row(f"{one.name}, a negated condition", on_call(one.name, "", CONDITIONS[one.family]), go_nowhere, lambda _: [])
        for one in POINTERS
        if one.family in CONDITIONS
    ),
    Row(
        "fd that is not open",
        on_call("fd"),
        lambda _: [LIBC.syscall(8, -1, number, 0) for number in (-1, 1 << 20, 1 << 31)],
        lambda _: [{"args": [{"error_arg": {"Message": os.strerror(9)}}]}] * 3,
    ),
]


@rows(ROWS)
def test_read(row: Row, bench: Bench, machine: Machine, tmp_path: Path) -> None:
    check(row, bench, machine, tmp_path)
