"""What of BPF a process holds, as its descriptors tell: maps with their memory, programs with their runs."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lictor.kernel.libbpf import check, ffi, lib

# enum bpf_map_type and enum bpf_prog_type: those that we use; of others the number is shown.
_MAPS = {1: "hash", 2: "array", 5: "percpu_hash", 6: "percpu_array", 9: "lru_hash", 11: "lpm_trie", 12: "array_of_maps"}
_MAPS |= {
    7: "stack_trace",
    8: "cgroup_array",
    13: "hash_of_maps",
    27: "ringbuf",
    29: "task_storage",
    32: "cgrp_storage",
}
_PROGRAMS = {2: "kprobe", 5: "tracepoint", 8: "cgroup_skb", 9: "cgroup_sock", 17: "raw_tracepoint"}
_PROGRAMS |= {18: "cgroup_sock_addr", 26: "tracing", 29: "lsm", 31: "syscall"}


class HeldMap(NamedTuple):
    """`bytes`: what the kernel charges for it now (`memlock`)."""

    id: int
    name: str
    type: str
    entries: int
    bytes: int


class HeldProgram(NamedTuple):
    """`runs` and `time_ns` are counted while somebody asks for it (`counting_runs`); `misses` always."""

    id: int
    name: str
    type: str
    runs: int
    time_ns: int
    misses: int
    instructions: int  # that the verifier looked at


def maps_of(pid: int) -> list[HeldMap]:
    """Raises OSError for a process that is not there, or not ours to look at."""
    found = {
        row["map_id"]: HeldMap(
            row["map_id"],
            _name(True, row["map_id"]),
            _MAPS.get(row["map_type"], str(row["map_type"])),
            row["max_entries"],
            row["memlock"],
        )
        for row in _rows(pid, "map_id")
    }
    return sorted(found.values(), key=lambda one: (-one.bytes, one.id))


def programs_of(pid: int) -> list[HeldProgram]:
    """The same for programs."""
    found = {
        row["prog_id"]: HeldProgram(
            row["prog_id"],
            _name(False, row["prog_id"]),
            _PROGRAMS.get(row["prog_type"], str(row["prog_type"])),
            row.get("run_cnt", 0),
            row.get("run_time_ns", 0),
            row.get("recursion_misses", 0),
            row.get("verified_insns", 0),
        )
        for row in _rows(pid, "prog_id")
        if "link_id" not in row
    }
    return sorted(found.values(), key=lambda one: (-one.time_ns, -one.runs, one.id))


@contextlib.contextmanager
def counting_runs() -> Iterator[None]:
    """Have the kernel count runs of all programs and the time that they take, which costs some time itself."""
    fd = check("counting the runs of programs", lib.lictor_count_runs())
    with open(fd, "rb"):
        yield


def _rows(pid: int, having: str) -> Iterator[dict[str, int]]:
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            rows = dict(re.findall(r"^(\w+):\s+(\d+)$", entry.read_text(), re.MULTILINE))
            if having in rows:
                yield {name: int(value) for name, value in rows.items()}


def _name(is_map: bool, number: int) -> str:
    name = ffi.new("char[16]")
    return "" if lib.lictor_name_of(is_map, number, name) < 0 else ffi.string(name).decode(errors="replace")
