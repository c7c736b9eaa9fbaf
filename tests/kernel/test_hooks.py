"""Every kind of hook: one policy, one trigger, the events."""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import struct
from pathlib import Path

import pytest
from engine import Bench
from live import POST, Row, check, file_arg, rows, run

from lictor.policy.machine import Machine

pytestmark = pytest.mark.kernel
NO_FENTRY = ("fentry", "fexit")
NO_MULTI = (*NO_FENTRY, "kprobe.multi")
ONLY_NUMBERS = (*NO_MULTI, "kprobe", "kretprobe")

PERMISSION = """
        kprobes:
        - call: security_file_permission
          syscall: false
          return: true
          args: [{index: 0, type: file}, {index: 1, type: int}]
          returnArg: {index: 0, type: int}
          selectors:
          - matchArgs:
            - {index: 0, operator: Equal, values: [DIR/wanted]}
            - {index: 1, operator: Equal, values: ["4"]}
        """
LSEEK = """
        kprobes:
        - call: sys_lseek
          return: true
          args: [{index: 0, type: int}, {index: 1, type: int64}]
          returnArg: {index: 0, type: int64}
          selectors: [{matchArgs: [{index: 1, operator: Equal, values: ["4711"]}]}]
        """
LIST = """
        lists: [{name: seekers, type: syscalls, values: [sys_lseek, sys_close]}]
        kprobes:
        - call: list:seekers
          args: [{index: 0, type: int}]
          selectors: [{matchPIDs: [{operator: In, values: [SELF]}]}]
        """


def read_wanted(directory: Path) -> None:
    for name in ("other", "wanted"):
        fd = os.open(directory / name, os.O_RDONLY)
        os.read(fd, 1)
        os.close(fd)


def seek(directory: Path) -> None:
    fd = os.open(directory / "wanted", os.O_RDONLY)
    os.lseek(fd, 4711, os.SEEK_SET)
    os.lseek(fd, 4712, os.SEEK_SET)
    os.close(fd)


def seek_and_close(directory: Path) -> None:
    fd = os.open(directory / "wanted", os.O_RDONLY)
    os.lseek(fd, 1, os.SEEK_SET)
    os.close(fd)


def run_own(directory: Path) -> None:
    """A program that nobody else runs."""
    shutil.copy("/bin/true", directory / "true")
    run(str(directory / "true"))


def permission(directory: Path) -> list[dict[str, object]]:
    return [
        {
            "function_name": "security_file_permission",
            "args": [file_arg(directory / "wanted"), {"int_arg": 4}],
            "return": {"int_arg": 0},
            "return_action": POST,
        }
    ]


def sought(_directory: Path) -> list[dict[str, object]]:
    return [
        {
            "function_name": lambda name: name.endswith("sys_lseek"),
            "args": [{"int_arg": lambda fd: fd > 2}, {"long_arg": "4711"}],
            "return": {"long_arg": "4711"},
        }
    ]


def listed(_directory: Path) -> list[dict[str, object]]:
    return [{"function_name": lambda name, which=which: name.endswith(which)} for which in ("sys_lseek", "sys_close")]


ROWS = [
    Row(
        "lsm",
        """
        lsmhooks:
        - hook: file_open
          message: opened
          tags: [observability.file]
          args: [{index: 0, type: file}]
          selectors:
          - matchArgs: [{index: 0, operator: Prefix, values: [DIR/wan, /nowhere]}]
        """,
        read_wanted,
        lambda d: [
            {
                "function_name": "file_open",
                "args": [file_arg(d / "wanted")],
                "message": "opened",
                "tags": ["observability.file"],
                "action": POST,
                "policy_name": "row",
            }
        ],
        ("lsm",),
    ),
    Row(
        "fentry, as the policy says",
        PERMISSION.replace("kprobes:", "fentries:"),
        read_wanted,
        permission,
        ("fentry",),
    ),
    Row("fentry and fexit", PERMISSION, read_wanted, permission, ("fentry",)),
    Row("kprobe and kretprobe", PERMISSION, read_wanted, permission, ("kprobe",), NO_MULTI),
    Row("syscall by function", LSEEK, seek, sought, ("kprobe",)),
    Row("syscall by kprobe", LSEEK, seek, sought, ("kprobe",), NO_MULTI),
    Row("syscall by number", LSEEK, seek, sought, ("raw_tp",), ONLY_NUMBERS),
    Row("list by kprobe.multi", LIST, seek_and_close, listed, ("kprobe.multi",), NO_FENTRY),
    Row("list by kprobes", LIST, seek_and_close, listed, ("kprobe",), NO_MULTI),
    Row("list by number", LIST, seek_and_close, listed, ("raw_tp",), ONLY_NUMBERS),
    Row(
        "tracepoint",
        """
        tracepoints:
        - subsystem: sched
          event: sched_process_exec
          args: [{index: 4, type: data_loc}, {index: 5, type: int}]
          selectors: [{matchArgs: [{index: 4, operator: Equal, values: [DIR/true]}]}]
        """,
        run_own,
        lambda d: [{"subsys": "sched", "event": "sched_process_exec", "args": [{"string_arg": f"{d}/true"}, {}]}],
        ("tracepoint",),
        everyone=True,
    ),
    Row(
        "raw tracepoint",
        """
        tracepoints:
        - subsystem: sched
          event: sched_process_exec
          raw: true
          args: [{index: 2, type: linux_binprm}]
          selectors: [{matchArgs: [{index: 2, operator: Equal, values: [DIR/true]}]}]
        """,
        run_own,
        lambda d: [{"args": [{"linux_binprm_arg": {"path": f"{d}/true", "permission": "-rwxr-xr-x"}}]}],
        everyone=True,
    ),
]


@rows(ROWS)
def test_hook(row: Row, bench: Bench, machine: Machine, place: Path) -> None:
    check(row, bench, machine, place)


def test_a_call_by_the_32_bit_gate(bench: Bench, machine: Machine, place: Path) -> None:
    """The same call has another number there; each policy sees its own."""
    fd = os.open("/dev/null", os.O_RDONLY)
    gate = mmap.mmap(
        -1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    )
    # push rbx; mov eax, 19 (lseek); mov ebx, fd; mov ecx, 4711; xor edx, edx; int 0x80; pop rbx; ret
    gate.write(
        b"\x53\xb8\x13\0\0\0\xbb"
        + struct.pack("<I", fd)
        + b"\xb9"
        + struct.pack("<I", 4711)
        + b"\x31\xd2\xcd\x80\x5b\xc3"
    )
    enter = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(gate)))

    def both(_directory: Path) -> None:
        os.lseek(fd, 4711, os.SEEK_SET)
        enter()

    spec = LSEEK.replace("sys_lseek", "i386/sys_lseek").replace("int64", "int32")
    row = Row(
        "32 bit", spec, both, lambda _: [{"args": [{"int_arg": fd}, {"int_arg": 4711}]}], ("raw_tp",), ONLY_NUMBERS
    )
    check(row, bench, machine, place)
    os.close(fd)


def test_a_hook_without_selectors_posts_every_call(bench: Bench, machine: Machine, place: Path) -> None:
    row = Row("all", LSEEK.partition("selectors")[0], seek, lambda _: [{}, {}])
    check(row, bench, machine, place)
