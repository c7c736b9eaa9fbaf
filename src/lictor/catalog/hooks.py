"""Kinds of hooks that a policy can ask for, and how a function of a system call is named."""

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

# Architecture -> ABI -> prefix of the kernel's function for a system call.
SYSCALL_PREFIXES = {
    "x86_64": {"x64": "__x64_", "i386": "__ia32_"},
    "aarch64": {"arm64": "__arm64_", "arm32": "__arm64_compat_"},
}
ABI_OF_32_BITS = 0x80000000  # set in a syscall64 value

OPTIONS = {
    "disable-kprobe-multi": ("1", "0", "true", "false"),
    "disable-uprobe-multi": ("1", "0", "true", "false"),
    "override-method": ("override-return", "fmod-ret"),
    "policy-mode": ("enforce", "monitor"),
    "sleepable-preload-size": (),
    "enforcement": ("best-effort", "strict"),
}
