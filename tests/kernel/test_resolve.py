"""Values behind others: members of what an argument points to, of the current task, registers; and expressions."""

from __future__ import annotations

import ctypes
import os
import resource
from pathlib import Path
from typing import Any

import pytest
from engine import Bench
from live import Expected, Row, check, learned, rows

from lictor.policy.machine import Machine

pytestmark = pytest.mark.kernel
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_NAME, PR_SET_CHILD_SUBREAPER = 15, 36
ONLY_NUMBERS = ("fentry", "fexit", "kprobe.multi", "kprobe")
NO_FENTRY = ("fentry", "fexit", "kprobe.multi")


def seek(directory: Path) -> int:
    """Two calls with an offset each; gives the descriptor."""
    fd = os.open(directory / "wanted", os.O_RDONLY)
    for offset in (4711, 7):
        os.lseek(fd, offset, os.SEEK_SET)
    os.close(fd)
    return fd


def as_subreaper(directory: Path) -> int:
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        return seek(directory)
    finally:
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def on_seek(data: str, more: str = "") -> str:
    return f"""
        kprobes:
        - call: sys_lseek
          args: [{{index: 0, type: int}}, {{index: 1, type: int64}}]
          data:
{data}
          selectors:
          - matchPIDs: [{{operator: In, values: [SELF]}}]
            {more}
        """


OF_THE_TASK = """
          - {index: 0, type: string, source: current_task, resolve: comm}
          - {index: 0, type: int, source: current_task, resolve: tgid}
          - {index: 0, type: string, source: current_task, resolve: group_leader.real_parent.comm}
          - {index: 0, type: uint64, source: current_task, resolve: "signal.rlim[7].rlim_cur"}
          - {index: 0, type: file, source: current_task, resolve: mm.exe_file}
          - {index: 0, type: cred, source: current_task, resolve: real_cred}
          - {index: 0, type: cap_effective, source: current_task, resolve: cred}
"""


def of_the_task() -> list[Expected]:
    parent = Path(f"/proc/{os.getppid()}/comm").read_text().strip()
    status = Path("/proc/self/status").read_text()
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return [
        {"string_arg": Path("/proc/self/comm").read_text().strip()},
        {"int_arg": os.getpid()},
        {"string_arg": parent},
        {"size_arg": str(resource.getrlimit(resource.RLIMIT_NOFILE)[0] % 2**64)},
        {"file_arg": {"path": os.readlink("/proc/self/exe")}},
        {"process_credentials_arg": {"uid": os.getuid(), "egid": os.getegid()}},
        {"cap_effective_arg": effective},
    ]


def rename(name: bytes) -> None:
    before = Path("/proc/self/comm").read_bytes().strip()
    LIBC.prctl(PR_SET_NAME, name, 0, 0, 0)
    LIBC.prctl(PR_SET_NAME, before, 0, 0, 0)


RENAMED = """
        tracepoints:
        - subsystem: task
          event: task_rename
          raw: true
          args:
          - {index: 0, type: int, resolve: tgid}
          - {index: 0, type: string, resolve: group_leader.comm}
          - {index: 0, resolve: mm.exe_file.f_path.dentry.d_inode.i_ino}
          - {index: 1, type: string}
          selectors:
          - matchPIDs: [{operator: In, values: [SELF]}]
            matchArgs: [{args: [3], operator: Equal, values: [lictor-resolve]}]
        """


def of_the_argument(_: Any) -> list[Expected]:
    inode = os.stat("/proc/self/exe").st_ino
    return [
        {
            "args": [
                {"int_arg": os.getpid()},
                {"string_arg": Path("/proc/self/comm").read_text().strip()},
                {"size_arg": str(inode)},
                {"string_arg": "lictor-resolve"},
            ]
        }
    ]


SUBREAPER = "          - {index: 0, type: uint32, source: current_task, resolve: signal.is_child_subreaper}"
NOWHERE = "          - {index: 0, type: uint16, source: current_task, resolve: plug.rq_count}"
REGISTERS = """
          - {index: 0, type: int, source: pt_regs, resolve: rdi}
          - {index: 0, type: int64, source: pt_regs, resolve: rsi}
"""


def told(offset: int) -> Expected:
    return {"args": [{}, {"long_arg": str(offset)}]}


def expression(text: str, *found: int) -> Row:
    conditions = f'matchArgs: [{{args: [0], operator: CelExpr, values: ["{text}"]}}]'
    spec = on_seek("          - {index: 0, type: int, source: current_task, resolve: pid}", conditions)
    return Row(f"CelExpr {text}", spec, seek, lambda _: [told(offset) for offset in found])


ROWS = [
    Row("members of the current task", on_seek(OF_THE_TASK), seek, lambda _: [{"data": of_the_task()}] * 2),
    learned("members of an argument", RENAMED, lambda _: rename(b"lictor-resolve"), of_the_argument),
    Row("a bit field, set", on_seek(SUBREAPER), as_subreaper, lambda _: [{"data": [{"uint_arg": 1}]}] * 2),
    Row("a bit field, clear", on_seek(SUBREAPER), seek, lambda _: [{"data": [{"uint_arg": 0}]}] * 2),
    Row(
        "a condition on data",
        on_seek(SUBREAPER, 'matchData: [{args: [0], operator: Equal, values: ["1"]}]'),
        lambda directory: (seek(directory), as_subreaper(directory)),
        lambda _: [told(4711), told(7)],
    ),
    Row(
        "a pointer that leads nowhere",
        on_seek(NOWHERE),
        seek,
        lambda _: (
            [{"data": [{"error_arg": {"Message": lambda text: "`plug.rq_count`" in text and "depth 1" in text}}]}] * 2
        ),
    ),
    Row(
        "what leads nowhere satisfies no condition, negated neither",
        on_seek(NOWHERE, 'matchData: [{args: [0], operator: NotEqual, values: ["12345"]}]'),
        seek,
        lambda _: [],
    ),
    *(
        learned(
            f"registers of a system call, {name}",
            on_seek(REGISTERS),
            seek,
            lambda fd: [{"data": [{"int_arg": fd}, {"long_arg": str(offset)}]} for offset in (4711, 7)],
            needs,
            without,
        )
        for name, needs, without in (
            ("by number", ("raw_tp",), ONLY_NUMBERS),
            ("by kprobe", ("kprobe",), NO_FENTRY),
            ("by fentry", ("fentry",), ()),
        )
    ),
    learned(
        "registers of a function",
        """
        kprobes:
        - call: security_task_prctl
          syscall: false
          args: [{index: 0, type: int}]
          data: [{index: 0, type: int, source: pt_regs, resolve: rdi}]
          selectors:
          - matchPIDs: [{operator: In, values: [SELF]}]
            matchData: [{args: [0], operator: Equal, values: ["15"]}]
        """,
        lambda _: rename(b"lictor-resolve"),
        lambda _: [{"args": [{"int_arg": PR_SET_NAME}], "data": [{"int_arg": PR_SET_NAME}]}] * 2,
        ("kprobe",),
    ),
    expression("arg1 > 50 && arg1 < 5000", 4711),
    expression("arg1 == 7 || arg1 == 8", 7),
    expression("!(arg1 - 4700 == 11)", 7),
    expression("and(arg1, 4) == 4 && arg0 > 2", 4711, 7),
    expression("int32(arg1) + arg0 < 0"),
    expression("uint64(arg1) > 4710u", 4711),
]


@rows(ROWS)
def test_value(row: Row, bench: Bench, machine: Machine, tmp_path: Path) -> None:
    check(row, bench, machine, tmp_path)
