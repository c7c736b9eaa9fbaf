"""System calls that Python does not offer, or offers with checks of its own in front."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long

MMAP = 9
MPROTECT = 10
PTRACE = 101
SETRESUID, SETRESGID, SETGROUPS = 117, 119, 116
CAPGET, CAPSET = 125, 126
PERSONALITY = 135
PIVOT_ROOT = 155
ACCT = 163
MOUNT, UMOUNT2 = 165, 166
IOPRIO_SET, IOPRIO_GET = 251, 252
INIT_MODULE, DELETE_MODULE = 175, 176
CLOCK_SETTIME, CLOCK_ADJTIME = 227, 305
KEXEC_LOAD = 246
UNSHARE = 272
NAME_TO_HANDLE_AT, OPEN_BY_HANDLE_AT = 303, 304
SETNS = 308
PROCESS_VM_WRITEV = 311
FINIT_MODULE = 313
RENAMEAT2 = 316
KEXEC_FILE_LOAD = 320
BPF = 321
OPEN_TREE, MOVE_MOUNT = 428, 429
MOUNT_SETATTR = 442

Argument = int | bytes | ctypes.Array[ctypes.c_char] | ctypes.Structure | None


def call(number: int, *arguments: Argument) -> int:
    """The result, or OSError. Numbers are passed with all 64 bits; structures by address."""
    passed = [_passed(argument) for argument in arguments]
    result = int(_syscall(ctypes.c_long(number), *passed))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def _passed(argument: Argument) -> object:
    if isinstance(argument, int):
        return ctypes.c_long(argument)
    return ctypes.byref(argument) if isinstance(argument, ctypes.Structure) else argument


def refused(action: Callable[[], object]) -> bool:
    """Whether the action fails."""
    try:
        action()
    except OSError:
        return True
    return False


def succeeds(*command: str) -> bool:
    """Whether a program of `native/` says that the effect is there. Anything but yes and no is a fault of the test."""
    child = os.posix_spawn(command[0], command, {})
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (0, 42, -signal.SIGKILL):
        raise RuntimeError(f"{command[0]} ended with {code}")
    return code == 42


def in_child(strike: Callable[[], bool]) -> bool:
    """The attempt, made by a child of its own: what it does to its process is gone afterwards."""
    child = os.fork()
    if not child:
        effect = False
        try:
            effect = strike()
        finally:
            os._exit(42 if effect else 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


def attempt(strike: Callable[[], bool]) -> Callable[[], bool]:
    """The same strike, in which a refusal is no effect."""

    def tried() -> bool:
        try:
            return strike()
        except OSError:
            return False

    return tried
