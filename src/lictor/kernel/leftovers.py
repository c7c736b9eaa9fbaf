"""What of Lictor is attached on this machine, whoever attached it: found by the links that the kernel knows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lictor.kernel.libbpf import ffi, lib

PINS = Path("/sys/fs/bpf/lictor")


@dataclass(frozen=True, slots=True)
class Leftover:
    """A link to one of our programs, and the processes that keep it."""

    link: int
    program: str
    holders: tuple[int, ...]


def find() -> list[Leftover]:
    """Links whose program uses a map of ours. Those of other tools are left alone, whatever their names."""
    ours: list[tuple[int, str]] = []
    link, name = ffi.new("__u32 *"), ffi.new("char[16]")
    while (found := lib.lictor_next_link(link, name)) >= 0:
        if found:
            ours.append((int(link[0]), ffi.string(name).decode()))
    holders = _holders({number for number, _ in ours}) if ours else {}
    return [Leftover(number, program, tuple(sorted(holders.get(number, ())))) for number, program in ours]


def detach(leftover: Leftover) -> bool:
    """Take a program off its hook although somebody keeps the link. Not every kind can be."""
    return bool(lib.lictor_detach_link(leftover.link) == 0)


def unpin() -> list[str]:
    """Remove what is pinned under our name; gives the paths."""
    gone = []
    for directory, _, files in os.walk(PINS, topdown=False):
        for file in files:
            path = Path(directory, file)
            path.unlink()
            gone.append(str(path))
        Path(directory).rmdir()
    return gone


def _holders(links: set[int]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for info in Path("/proc").glob("[0-9]*/fdinfo/*"):
        try:
            text = info.read_text()
        except OSError:  # it is gone
            continue
        for line in text.splitlines():
            if line.startswith("link_id:") and int(line.split()[1]) in links:
                found.setdefault(int(line.split()[1]), set()).add(int(info.parts[2]))
    return found
