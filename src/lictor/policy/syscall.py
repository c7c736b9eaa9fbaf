"""How policies name system calls: `sys_dup`, `__x64_sys_dup`, `i386/sys_dup`; and what that is on a machine."""

from __future__ import annotations

from dataclasses import dataclass

from lictor.catalog import syscalls
from lictor.catalog.hooks import ABI_OF_32_BITS
from lictor.policy.machine import Machine

_FOREIGN = {"i386": "i386", "ia32": "i386", "x64": "x64", "arm64": "arm64", "arm32": "arm32"}
_OF_32_BITS = ("i386", "arm32")


@dataclass(frozen=True, slots=True)
class Syscall:
    """`name` without `sys_`; `symbol` is the kernel's function; `number` is None where it is in no table, as are the
    `parameters` (name, C type)."""

    name: str
    abi: str
    symbol: str
    number: int | None
    parameters: tuple[tuple[str, str], ...] | None = None

    @property
    def id(self) -> int | None:
        """What a syscall64 value has for it."""
        if self.number is None:
            return None
        return self.number | (ABI_OF_32_BITS if self.abi in _OF_32_BITS else 0)


def find(machine: Machine, written: str) -> Syscall:
    """What a policy's word means; whether the kernel has it is the caller's question."""
    abi, name = next(iter(machine.prefixes)), written
    head, slash, rest = written.partition("/")
    if slash and head in _FOREIGN:
        abi, name = _FOREIGN[head], rest
    for one, prefix in machine.prefixes.items():
        if prefix and name.startswith((f"{prefix}sys_", f"{prefix}compat_sys_")):
            abi, name = one, name.removeprefix(prefix)
    name = name.removeprefix("compat_").removeprefix("sys_")
    known = syscalls.find(abi, name)
    if known is None:
        return Syscall(name, abi, f"{machine.prefixes.get(abi, '')}sys_{name}", None)
    return Syscall(name, abi, known.symbol, known.number, known.parameters)
