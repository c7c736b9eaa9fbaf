"""The small shared part of the binding: errors as exceptions, and what libbpf said while they happened."""

from __future__ import annotations

import errno
import os

from lictor.errors import LictorError
from lictor.kernel._libbpf import ffi, lib

__all__ = ["KernelError", "check", "ffi", "lib", "start_log", "verdict"]


class KernelError(LictorError):
    """A bpf(2) operation failed. `errno` is the kernel's number, `detail` what libbpf and the verifier said."""

    def __init__(self, what: str, number: int, detail: str = "", remedy: str = "") -> None:
        super().__init__(f"{what}: {os.strerror(number)} ({errno.errorcode.get(number, number)})", remedy)
        self.errno = number
        self.detail = detail


def start_log() -> None:
    """Forget what libbpf said so far; from here on it is kept for `verdict`."""
    lib.lictor_log_start()


def verdict() -> str:
    """What libbpf said since `start_log`: the tail that explains a failure, with the verifier's last lines."""
    text: bytes = ffi.string(lib.lictor_log_text())
    return text.decode(errors="replace").strip()


def check(what: str, result: int) -> int:
    """Raise KernelError for a negative libbpf result (`-errno`), else give it back."""
    if result < 0:
        raise KernelError(what, -result, verdict())
    return result


def possible_cpus() -> int:
    """CPUs that per-CPU map values have room for (`/sys/devices/system/cpu/possible`)."""
    return check("counting the CPUs", int(lib.libbpf_num_possible_cpus()))
