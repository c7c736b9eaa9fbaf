"""`HostFacts`: everything the policy compiler must know of a machine, as plain data. No I/O; `gather` makes it.

It is kept as JSON: big tables are texts and blobs, compressed when saved (xz, base64), taken apart when first asked.
"""

from __future__ import annotations

import lzma
import platform
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import msgspec

from lictor.errors import LictorError
from lictor.host.formats import Format, FormatTable
from lictor.host.functions import Symbol, SymbolTable
from lictor.host.nearest import nearest
from lictor.wire import btf as format_
from lictor.wire.btf import Btf, BtfError, parse
from lictor.wire.ctype import CType, Place

_XZ = b"\xfd7zXZ\x00"
# Where a task's registers lie: names as policies write them, to members of struct pt_regs.
_X86_REGISTERS = {f"r{name}": name for name in ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp", "ip")}
_X86_REGISTERS |= {"eflags": "flags", "rflags": "flags", "cs": "cs", "ss": "ss", "orig_rax": "orig_ax"}


class Preemption(StrEnum):
    """When the kernel may take the CPU from code that runs inside it."""

    NONE = "none"
    VOLUNTARY = "voluntary"
    LAZY = "lazy"
    FULL = "full"
    RT = "rt"
    UNKNOWN = "unknown"


class Cgroups(msgspec.Struct, frozen=True, kw_only=True):
    """The hierarchy that names workloads. `controller` is empty for the unified one; `programs` is where a version 2
    hierarchy is mounted, which cgroup programs need, or empty."""

    controller: str = ""
    root: str = ""
    programs: str = ""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter by its name (empty where BTF has none), its C type as text, and by BTF where that is known."""

    name: str
    text: str
    type: CType | None = None


@dataclass(frozen=True, slots=True)
class Prototype:
    """What a function takes and returns. A variadic one ends with a `void` parameter."""

    parameters: tuple[Parameter, ...]
    returns: Parameter


@dataclass(frozen=True, slots=True)
class Function:
    """A kernel function. `kprobe`, `fentry`, `fmod_ret`, `override`: empty where such a program can be attached to it,
    else the reason why not."""

    symbol: Symbol
    prototype: Prototype | None
    kprobe: str
    fentry: str
    fmod_ret: str
    override: str

    @property
    def name(self) -> str:
        return self.symbol.name

    @property
    def module(self) -> str:
        return self.symbol.module


class HostFacts(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One machine. `abilities`: name → empty, or the reason why it is missing (names: `host.features`). `missing`: what
    could not be read → why; look-ups then find nothing, or take things to be possible where that says so.

    `btf`, `modules` (module → its BTF), `symbols` (`host.functions`) and `formats` (`host.formats`) may be xz.
    """

    release: str
    architecture: str = platform.machine()
    page_size: int = 4096
    preemption: Preemption = Preemption.UNKNOWN
    lockdown: str = ""
    lsms: tuple[str, ...] = ()
    cgroups: Cgroups = Cgroups()
    init_pid_namespace: bool = True
    abilities: dict[str, str] = {}
    missing: dict[str, str] = {}
    btf: bytes = b""
    modules: dict[str, bytes] = {}
    symbols: bytes = b""
    formats: bytes = b""

    def lacks(self, ability: str) -> str:
        """Empty where the kernel has an ability, else the reason why not. Where none was tried (no root), all are taken
        to be there, and `missing` has an entry `abilities`."""
        return (
            self.abilities.get(ability, f"it was not tried whether this kernel has {ability}") if self.abilities else ""
        )

    def has(self, ability: str) -> bool:
        return not self.lacks(ability)

    # Functions

    def function(self, name: str) -> Function | None:
        """A kernel function, those of loaded modules included."""
        symbol = self._symbols.find(name)
        if symbol is None:
            return None
        prototype = self._prototype(symbol)
        kprobe = self.lacks("kprobe") or self._not_traced(symbol) or _barred(symbol)
        fentry = self.lacks("fentry") or self._no_trampoline(symbol, prototype)
        return Function(
            symbol,
            prototype,
            kprobe,
            fentry,
            self.lacks("fmod_ret") or self._no_trampoline(symbol, prototype) or self._not_changeable(symbol),
            self.lacks("bpf_override_return") or kprobe or self._not_injectable(symbol),
        )

    def has_function(self, name: str) -> bool:
        return name in self._symbols

    def function_names(self) -> list[str]:
        """Every function, sorted."""
        return self._symbols.names()

    def traceable_functions(self) -> list[str]:
        """Every function that ftrace knows (available_filter_functions), sorted."""
        return self._symbols.traceable()

    def near_functions(self, name: str) -> list[str]:
        """What may have been meant by a name that is no function."""
        return nearest(name, self._symbols.names())

    # LSM hooks and tracepoints

    def lsm_hook(self, name: str) -> Prototype | None:
        """An LSM hook that BPF programs can attach to, by its name without `bpf_lsm_`."""
        return self._prototype_of(self.kernel, f"bpf_lsm_{name}")

    @cached_property
    def lsm_hooks(self) -> tuple[str, ...]:
        return self._named("bpf_lsm_", format_.FUNC)

    def raw_tracepoint(self, name: str) -> Prototype | None:
        """A raw tracepoint's arguments, by the event's name; its return is void."""
        found = self.kernel.find(f"btf_trace_{name}", format_.TYPEDEF) if self.kernel else None
        if self.kernel is None or found is None:
            return None
        types = self.kernel.parameters(self.kernel.bare(self.kernel.bare(found.size).size))
        function = self.kernel.find(f"__traceiter_{name}", format_.FUNC)
        named = self.kernel.parameters(self.kernel.type(function.size)) if function else types
        names = [label for label, _ in named] if len(named) == len(types) else [""] * len(types)
        given = [_parameter(self.kernel, label, one) for label, (_, one) in zip(names, types, strict=True)]
        return Prototype(tuple(given[1:]), _parameter(self.kernel, "", 0))

    @cached_property
    def raw_tracepoints(self) -> tuple[str, ...]:
        return self._named("btf_trace_", format_.TYPEDEF)

    def tracepoint(self, subsystem: str, event: str) -> Format | None:
        """A tracepoint's record, from its format file."""
        return self._formats.find(subsystem, event)

    def tracepoints(self) -> list[str]:
        """Every tracepoint as `subsystem/event`, sorted."""
        return self._formats.names()

    # Types

    def type(self, name: str, module: str = "") -> CType | None:
        """A struct, union, typedef, enum or integer by name (`struct x` too), of the kernel or a loaded module."""
        blob = self.module_btf(module) if module else self.kernel
        word, _, rest = name.rpartition(" ")
        kinds = {"struct": (format_.STRUCT,), "union": (format_.UNION,), "enum": (format_.ENUM, format_.ENUM64)}
        wanted = kinds.get(word, (format_.STRUCT, format_.UNION, format_.TYPEDEF, format_.ENUM, format_.INT))
        found = blob.find(rest, *wanted) if blob else None
        return CType(blob, found.id) if blob and found else None

    def near_types(self, name: str, module: str = "") -> list[str]:
        """Struct names near a wrong one."""
        blob = self.module_btf(module) if module else self.kernel
        return nearest(name, blob.names(format_.STRUCT)) if blob else []

    def register(self, name: str) -> Place | None:
        """A register of the current task by name, as a member of struct pt_regs."""
        regs = self.type("struct pt_regs")
        return regs.member(_X86_REGISTERS.get(name, name)) if regs else None

    @cached_property
    def kernel(self) -> Btf | None:
        """The kernel's BTF."""
        return parse(_plain(self.btf)) if self.btf else None

    def module_btf(self, module: str) -> Btf | None:
        """A loaded module's BTF; None when it is not loaded or has none."""
        if module not in self._module_btf:
            blob = self.modules.get(module)
            self._module_btf[module] = parse(_plain(blob), self.kernel) if blob else None
        return self._module_btf[module]

    # How it is kept

    def to_json(self) -> bytes:
        """The saved form: everything big compressed."""
        return msgspec.json.encode(self._with(_small))

    def to_archive(self) -> bytes:
        """A form a third smaller, for keeping many machines: MessagePack, compressed as a whole."""
        return lzma.compress(msgspec.msgpack.encode(self._with(_plain)), preset=9)

    @classmethod
    def from_json(cls, saved: bytes) -> HostFacts:
        """Read what `to_json` or `to_archive` gave. Raises LictorError."""
        remedy = "make the file with `lictor facts > FILE`"
        try:
            plain = _plain(saved)
            decode = msgspec.json.decode if plain.lstrip().startswith(b"{") else msgspec.msgpack.decode
            facts: HostFacts = decode(plain, type=cls)
            facts.kernel  # noqa: B018 (taken apart now: a broken blob is this file's fault)
        except (msgspec.MsgspecError, lzma.LZMAError, BtfError, UnicodeError) as error:
            raise LictorError(f"these are not the facts of a machine ({error})", remedy) from error
        return facts

    def _with(self, form: Callable[[bytes], bytes]) -> HostFacts:
        return msgspec.structs.replace(
            self,
            btf=form(self.btf),
            modules={name: form(blob) for name, blob in self.modules.items()},
            symbols=form(self.symbols),
            formats=form(self.formats),
        )

    @cached_property
    def _symbols(self) -> SymbolTable:
        return SymbolTable(_plain(self.symbols).decode())

    @cached_property
    def _formats(self) -> FormatTable:
        return FormatTable(_plain(self.formats).decode())

    @cached_property
    def _module_btf(self) -> dict[str, Btf | None]:
        return {}

    def _named(self, prefix: str, kind: int) -> tuple[str, ...]:
        names = self.kernel.names(kind, prefix) if self.kernel else ()
        return tuple(sorted(name.removeprefix(prefix) for name in names))

    def _prototype(self, symbol: Symbol) -> Prototype | None:
        return self._prototype_of(self.module_btf(symbol.module) if symbol.module else self.kernel, symbol.name)

    def _prototype_of(self, blob: Btf | None, name: str) -> Prototype | None:
        found = blob.find(name, format_.FUNC) if blob else None
        if blob is None or found is None:
            return None
        shape = blob.type(found.size)
        given = tuple(_parameter(blob, label, one) for label, one in blob.parameters(shape))
        return Prototype(given, _parameter(blob, "", shape.size))

    def _not_traced(self, symbol: Symbol) -> str:
        if symbol.ambiguous:
            return "several functions have this name, and newer kernels refuse to choose"
        if symbol.traceable or "available_filter_functions" in self.missing:
            return ""
        return "ftrace does not know it (notrace, or inlined everywhere)"

    def _not_changeable(self, symbol: Symbol) -> str:
        if symbol.name.startswith("security_"):
            return ""
        lack = self._not_injectable(symbol)
        return lack and f"it is no `security_*` function, and {lack}"

    def _not_injectable(self, symbol: Symbol) -> str:
        if symbol.injectable:
            return ""
        if "error_injection/list" in self.missing and not self.abilities.get("bpf_override_return"):
            return "whether its errors may be injected could not be read (debugfs error_injection/list)"
        return "its errors may not be injected (ALLOW_ERROR_INJECTION)"

    def _no_trampoline(self, symbol: Symbol, prototype: Prototype | None) -> str:
        return self._not_traced(symbol) or _unsuited(prototype)


def _parameter(blob: Btf, name: str, type_id: int) -> Parameter:
    kind = CType(blob, type_id)
    return Parameter(name, kind.text, kind)


def _unsuited(prototype: Prototype | None) -> str:
    """Why the kernel makes no trampoline for such a function (btf_distill_func_proto)."""
    if prototype is None:
        return "BTF has no prototype of it"
    if prototype.returns.type is not None and prototype.returns.type.is_struct:
        return f"it returns `{prototype.returns.text}`, a struct"
    if any(one.text == "void" for one in prototype.parameters):
        return "its number of arguments is not fixed"
    return ""


def _barred(symbol: Symbol) -> str:
    return "kprobes are barred from it (its code runs inside of them)" if symbol.barred else ""


def _plain(blob: bytes) -> bytes:
    return lzma.decompress(blob) if blob.startswith(_XZ) else blob


def _small(blob: bytes) -> bytes:
    return blob if blob.startswith(_XZ) or not blob else lzma.compress(blob)
