"""What the kernel tells of a loaded program (`struct bpf_prog_info`)."""

from __future__ import annotations

from typing import NamedTuple

from lictor.kernel.libbpf import check, ffi, lib

SKIPPED = "skipped by the kernel: it ran already on that CPU"


class ProgramInfo(NamedTuple):
    """`run_count` and `run_time_ns` are counted while kernel.bpf_stats_enabled is on; `misses` always."""

    verified_instructions: int
    run_count: int
    run_time_ns: int
    misses: int


def info_of(fd: int) -> ProgramInfo:
    verified = ffi.new("unsigned int *")
    rest = [ffi.new("unsigned long long *") for _ in range(3)]
    check("asking about a program", lib.lictor_program_instructions(fd, verified, *rest))
    return ProgramInfo(int(verified[0]), *(int(one[0]) for one in rest))


def misses_of(fd: int) -> int:
    """How often the kernel skipped it, because it ran on that CPU already (`recursion_misses`)."""
    return info_of(fd).misses
