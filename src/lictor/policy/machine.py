"""A machine as the compiler asks for it: `HostFacts` with the answers kept, one for any number of policies."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from lictor.catalog import syscalls
from lictor.catalog.types import TypeRow
from lictor.errors import LictorError
from lictor.host.facts import Function, HostFacts, Preemption, Prototype
from lictor.host.formats import Format
from lictor.policy import ctypes
from lictor.wire.btf import Btf, BtfError, parse
from lictor.wire.ctype import CType, Walk, walk

_FIXED = (Preemption.NONE, Preemption.VOLUNTARY)


class Machine:
    """Look-ups, each made once. `types_of` gives the BTF of a program's file, raising LictorError; without it hooks in
    programs cannot use `btfPath`."""

    def __init__(self, facts: HostFacts, types_of: Callable[[str], bytes] | None = None) -> None:
        self.facts = facts
        self._types_of = types_of
        self._programs: dict[str, Btf] = {}
        self._functions: dict[str, Function | None] = {}
        self._lsm: dict[str, Prototype | None] = {}
        self._raw: dict[str, Prototype | None] = {}
        self._formats: dict[tuple[str, str], Format | None] = {}
        self._walks: dict[tuple[int, int, str], Walk] = {}
        self._types: dict[tuple[str, str], CType | None] = {}
        self._inferred: dict[tuple[int, int], str] = {}
        self._misfits: dict[tuple[str, int, int], tuple[bool, str]] = {}

    @property
    def preemptible(self) -> bool:
        """A program may be interrupted by another task on its CPU; also if that is not known."""
        return self.facts.preemption not in _FIXED

    @property
    def counts_returns(self) -> bool:
        """kprobe.multi waits for returns with a few records that calls use up: fprobe does without since Linux 6.14,
        on the return stack of the function graph tracer (kernel/trace/fprobe.c, fprobe_return)."""
        return self.function("fprobe_return") is None

    @cached_property
    def prefixes(self) -> dict[str, str]:
        """ABI → prefix of a system call's function; the first is the machine's own."""
        architecture = self.facts.architecture
        abis = [table[architecture] for table in (syscalls.NATIVE, syscalls.COMPAT) if architecture in table]
        return {abi: syscalls.WRAPPERS[abi] for abi in abis} or {"": ""}

    def lacks(self, ability: str) -> str:
        return self.facts.lacks(ability)

    def function(self, name: str) -> Function | None:
        if name not in self._functions:
            self._functions[name] = self.facts.function(name)
        return self._functions[name]

    def has_syscall(self, abi: str, name: str) -> bool:
        """A system call, by its name in user space, that this kernel serves."""
        found = syscalls.find(abi, name)
        return found is not None and self.facts.has_function(found.symbol)

    def lsm_hook(self, name: str) -> Prototype | None:
        if name not in self._lsm:
            self._lsm[name] = self.facts.lsm_hook(name)
        return self._lsm[name]

    def raw_tracepoint(self, name: str) -> Prototype | None:
        if name not in self._raw:
            self._raw[name] = self.facts.raw_tracepoint(name)
        return self._raw[name]

    def tracepoint(self, subsystem: str, event: str) -> Format | None:
        key = (subsystem, event)
        if key not in self._formats:
            self._formats[key] = self.facts.tracepoint(subsystem, event)
        return self._formats[key]

    def type(self, name: str, module: str = "") -> CType | None:
        key = (name, module)
        if key not in self._types:
            self._types[key] = self.facts.type(name, module)
        return self._types[key]

    def program(self, path: str) -> Btf:
        """The types of a program. Raises LictorError."""
        if path not in self._programs:
            if self._types_of is None:
                raise LictorError("files of programs are not read here", "compile on the machine that has them")
            try:
                self._programs[path] = parse(self._types_of(path))
            except BtfError as error:
                raise LictorError(f"{path}: {error}", "name a file that has BTF") from error
        return self._programs[path]

    def inferred(self, ctype: CType) -> str:
        """The type that `auto` means for a C type; empty if none."""
        key = (id(ctype.btf), ctype.id)
        found = self._inferred.get(key)
        if found is None:
            found = self._inferred[key] = ctypes.inferred(ctype)
        return found

    def misfit(self, row: TypeRow, ctype: CType) -> tuple[bool, str]:
        """Whether a declared type does not fit, see `ctypes.misfit`."""
        key = (row.name, id(ctype.btf), ctype.id)
        found = self._misfits.get(key)
        if found is None:
            found = self._misfits[key] = ctypes.misfit(row, ctype)
        return found

    def walk(self, start: CType, path: str) -> Walk:
        """Raises `WalkError`, which is not kept."""
        key = (id(start.btf), start.id, path)
        found = self._walks.get(key)
        if found is None:
            found = self._walks[key] = walk(start, path)
        return found
