"""Kinds of hooks that a policy can ask for, and the options that it can have."""

from __future__ import annotations

from enum import StrEnum


class HookKind(StrEnum):
    """What a hook of a policy is on."""

    FUNCTION = "kernel function"
    SYSCALL = "system call"
    TRACEPOINT = "tracepoint"
    RAW_TRACEPOINT = "raw tracepoint"
    LSM = "LSM hook"
    UPROBE = "function of a program"
    USDT = "static probe of a program"
    LOADER = "loader"


MOST_ARGUMENTS = 6  # that are in registers: a function's, and a system call's

ABI_OF_32_BITS = 0x80000000  # set in a syscall64 value

OPTIONS = {
    "disable-kprobe-multi": ("1", "0", "true", "false"),
    "disable-uprobe-multi": ("1", "0", "true", "false"),
    "override-method": ("override-return", "fmod-ret"),
    "policy-mode": ("enforce", "monitor"),
    "sleepable-preload-size": (),
    "enforcement": ("best-effort", "strict"),
    "denials-per-minute": (),
}

NEVER_RETURN = frozenset(
    (
        "do_exit",
        "do_group_exit",
        "kthread_complete_and_exit",
        "kthread_exit",
        "make_task_dead",
        *(f"__{abi}_sys_{call}" for abi in ("x64", "ia32", "arm64") for call in ("exit", "exit_group")),
    )
)
"""Functions that end the task (`noreturn_deny` of the kernel's kernel/bpf/verifier.c, and tools/objtool/noreturns.h).
Newer kernels refuse a program at their return, which would never run."""
