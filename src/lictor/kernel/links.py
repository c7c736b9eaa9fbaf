"""Links that carry a cookie: how one program is put on many hooks and told on which it runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from lictor.kernel.libbpf import KernelError, check, ffi, lib, start_log, verdict
from lictor.kernel.objects import Object

# enum bpf_attach_type
TRACE_FENTRY, TRACE_FEXIT, MODIFY_RETURN, LSM_MAC = 24, 25, 26, 27


class Link:
    """One attachment. It lives until `close`."""

    def __init__(self, pointer: Any = None, fd: int = -1) -> None:
        self._pointer = pointer
        self._fd = fd

    def missed(self) -> int | None:
        """How often the kernel passed over the probe: it was busy with another, or too many calls had not returned.

        None where it does not tell: for other links, and before Linux 6.7.
        """
        if self._pointer is None:
            return None
        missed = ffi.new("__u64 *")
        known = check("asking about a link", lib.lictor_link_missed(lib.bpf_link__fd(self._pointer), missed))
        return int(missed[0]) if known else None

    def close(self) -> None:
        if self._pointer is not None:
            lib.bpf_link__destroy(self._pointer)
            self._pointer = None
        if self._fd >= 0:
            lib.close(self._fd)
            self._fd = -1


def kprobe(loaded: Object, program: str, function: str, cookie: int, *, at_return: bool = False) -> Link:
    start_log()
    pointer = lib.lictor_attach_kprobe(loaded.pointer(program), function.encode(), at_return, cookie)
    return _made(pointer, f"probing {function}")


def kprobes(
    loaded: Object, program: str, functions: Sequence[str], cookies: Sequence[int], *, at_return: bool = False
) -> Link:
    """One link for many functions (kprobe.multi)."""
    start_log()
    names = [ffi.new("char[]", function.encode()) for function in functions]
    array = ffi.new("const char *[]", names)
    numbers = ffi.new("__u64[]", list(cookies))
    pointer = lib.lictor_attach_kprobes(loaded.pointer(program), array, numbers, len(names), at_return)
    return _made(pointer, f"probing {len(names)} functions")


def tracepoint(loaded: Object, program: str, number: int, cookie: int) -> Link:
    """`number` is the tracepoint's id (`host.tracefs`)."""
    start_log()
    pointer = lib.lictor_attach_tracepoint_id(loaded.pointer(program), number, cookie)
    return _made(pointer, f"attaching to tracepoint {number}")


def raw_tracepoint(loaded: Object, program: str, name: str, cookie: int = 0) -> Link:
    """With a cookie only where the kernel has them for raw tracepoints."""
    fd = lib.lictor_attach_raw_tracepoint(loaded.program_fd(program), name.encode(), cookie)
    if fd < 0:
        raise KernelError(f"attaching to raw tracepoint {name}", -fd)
    return Link(fd=fd)


def cgroup(loaded: Object, program: str, directory: str) -> Link:
    """A program on a cgroup, beside those of others: all must allow."""
    start_log()
    try:
        at = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise KernelError(f"opening {directory}", error.errno or 0) from error
    try:
        return _made(lib.bpf_program__attach_cgroup(loaded.pointer(program), at), f"attaching {program} to {directory}")
    finally:
        os.close(at)


def traced(loaded: Object, program: str, attach_type: int, target: str, cookie: int) -> Link:
    """fentry, fexit, fmod_ret and LSM programs, on the target they were loaded for (`Object.aim`)."""
    fd = lib.lictor_attach_traced(loaded.program_fd(program), attach_type, cookie)
    if fd < 0:
        raise KernelError(f"attaching to {target}", -fd)
    return Link(fd=fd)


def _made(pointer: Any, what: str) -> Link:
    if pointer == ffi.NULL:
        raise KernelError(what, ffi.errno, verdict())
    return Link(pointer)
