"""System calls: numbers, entry points and parameters, by ABI. The tables are made by `tools/gen_syscalls.py`.

A call has two names: that of user space (`stat`, `umount2`), and that of the function which serves it (`sys_newstat`,
`sys_umount`). Policies name the function; both are understood here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

# What the kernel puts before an entry point's name.
WRAPPERS = {"x64": "__x64_", "i386": "__ia32_", "arm64": "__arm64_", "arm32": "__arm64_"}
NATIVE = {"x86_64": "x64", "aarch64": "arm64"}
COMPAT = {"x86_64": "i386", "aarch64": "arm32"}


@dataclass(frozen=True, slots=True)
class Syscall:
    """One call of one ABI. `entry` is the function without the wrapper's prefix, `symbol` the wrapper as kallsyms has
    it. `parameters`: (name, C type); the name is empty where the kernel's headers give none."""

    abi: str
    number: int
    name: str
    entry: str
    parameters: tuple[tuple[str, str], ...]

    @property
    def symbol(self) -> str:
        return WRAPPERS[self.abi] + self.entry


def find(abi: str, name: str) -> Syscall | None:
    """A call by the name of its function (`sys_newstat`, `newstat`) or of user space (`stat`). The function's comes
    first where the two are at odds."""
    by_entry, by_name = _tables().get(abi, ({}, {}))
    bare = name.removeprefix("sys_").removeprefix("compat_sys_")
    return by_entry.get(bare) or by_name.get(bare)


def by_user_name(abi: str, name: str) -> Syscall | None:
    """A call by its name in user space alone."""
    return _tables()[abi][1].get(name)


def numbers(abi: str) -> dict[str, int]:
    """Number by name in user space, of all calls of an ABI."""
    return {name: call.number for name, call in _tables().get(abi, ({}, {}))[1].items()}


def name_of(abi: str, number: int) -> str:
    """The name in user space; empty for a number that is none."""
    return _names(abi).get(number, "")


@cache
def _names(abi: str) -> dict[int, str]:
    return {number: name for name, number in numbers(abi).items()}


def every() -> Iterator[Syscall]:
    """All calls of all ABIs."""
    for _, by_name in _tables().values():
        yield from by_name.values()


def prototypes() -> dict[str, tuple[tuple[str, str], ...]]:
    """Parameters by entry point; `void` has none."""
    rows = (line.split("\t") for line in _lines("syscall_prototypes.tsv"))
    return {entry: tuple(_parameters(given)) for entry, given in rows}


@cache
def _tables() -> dict[str, tuple[dict[str, Syscall], dict[str, Syscall]]]:
    """Per ABI: by entry point without `sys_`, and by name in user space."""
    shapes = prototypes()
    tables: dict[str, tuple[dict[str, Syscall], dict[str, Syscall]]] = {abi: ({}, {}) for abi in WRAPPERS}
    for line in _lines("syscalls.tsv"):
        abi, number, name, entry = line.split("\t")
        found = Syscall(abi, int(number), name, entry, shapes[entry])
        by_entry, by_name = tables[abi]
        by_entry.setdefault(entry.removeprefix("compat_").removeprefix("sys_"), found)
        by_name[name] = found
    return tables


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    for one in text.split(", ") if text != "void" else ():
        kind, _, name = one.rpartition("|")
        yield name, kind


def _lines(name: str) -> list[str]:
    text = (resources.files("lictor.catalog") / name).read_text()
    return [line for line in text.splitlines() if not line.startswith("#")]
