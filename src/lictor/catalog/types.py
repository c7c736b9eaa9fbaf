"""Argument types: one row for everything that the compiler must know of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Cost(StrEnum):
    """What reading and comparing a value costs in the kernel, cheapest first; filters run in this order."""

    REGISTER = "register"  # compares numbers at hand
    TASK = "task"  # reads a few fields of the current task
    LOOKUP = "lookup"  # one map look-up
    OBJECT = "object"  # reads a kernel object first
    TEXT = "text"  # reads and hashes a string
    PATH = "path"  # walks a path first
    SEARCH = "search"  # looks for sub-strings


class Family(StrEnum):
    """What values of a type have in common for operators."""

    NUMBER = "number"
    CAPABILITIES = "capabilities"
    SYSCALL = "syscall"
    TEXT = "text"
    PATH = "path"
    SOCKET = "socket"
    PACKET = "packet"
    ADDRESS = "address"
    UNIX_ADDRESS = "unix address"
    BYTES = "bytes"
    OBJECT = "object"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class TypeRow:
    """`bits` and `signed` of numbers; `structs`: what a pointer argument of this type points to; `cost` of reading it.

    `tracepoint`: it can be a field of a tracepoint. `memory`: the argument is a pointer to the bytes themselves, in the
    caller's memory if the hook is a system call. `sized`: takes `sizeArgIndex`.
    """

    name: str
    family: Family
    cost: Cost = Cost.REGISTER
    bits: int = 0
    signed: bool = False
    structs: tuple[str, ...] = ()
    tracepoint: bool = False
    memory: bool = False
    sized: bool = False


def _number(name: str, bits: int, signed: bool, **more: bool) -> TypeRow:
    return TypeRow(name, Family.NUMBER, bits=bits, signed=signed, tracepoint=more.get("tracepoint", True))


def _object(name: str, *structs: str, **more: bool) -> TypeRow:
    return TypeRow(name, Family.OBJECT, Cost.OBJECT, structs=structs, **more)


def _caps(name: str, *structs: str) -> TypeRow:
    return TypeRow(name, Family.CAPABILITIES, Cost.OBJECT, bits=64, structs=structs)


_ROWS = (
    TypeRow("auto", Family.NOTHING),
    _number("int", 32, True),
    _number("sint8", 8, True),
    _number("int8", 8, True),
    _number("uint8", 8, False),
    _number("sint16", 16, True),
    _number("int16", 16, True),
    _number("uint16", 16, False),
    _number("uint32", 32, False),
    _number("sint32", 32, True),
    _number("int32", 32, True),
    _number("ulong", 64, False),
    _number("uint64", 64, False),
    _number("size_t", 64, False),
    _number("long", 64, True),
    _number("sint64", 64, True),
    _number("int64", 64, True),
    TypeRow("char_buf", Family.TEXT, Cost.TEXT, tracepoint=True, memory=True, sized=True),
    TypeRow("char_iovec", Family.BYTES, Cost.TEXT, tracepoint=True, memory=True, sized=True),
    TypeRow("skb", Family.PACKET, Cost.OBJECT, structs=("sk_buff",), tracepoint=True),
    TypeRow("sock", Family.SOCKET, Cost.OBJECT, structs=("sock",), tracepoint=True),
    TypeRow(
        "sockaddr", Family.ADDRESS, Cost.OBJECT, structs=("sockaddr", "sockaddr_unsized"), tracepoint=True, memory=True
    ),
    TypeRow("socket", Family.SOCKET, Cost.OBJECT, structs=("socket",), tracepoint=True),
    TypeRow(
        "sockaddr_un", Family.UNIX_ADDRESS, Cost.TEXT, structs=("sockaddr", "sockaddr_un"), tracepoint=True, memory=True
    ),
    TypeRow("string", Family.TEXT, Cost.TEXT, tracepoint=True, memory=True),
    TypeRow("fd", Family.PATH, Cost.PATH, bits=32, signed=True, tracepoint=True),
    TypeRow("file", Family.PATH, Cost.PATH, structs=("file",), tracepoint=True),
    TypeRow("filename", Family.TEXT, Cost.TEXT, structs=("filename",)),
    TypeRow("path", Family.PATH, Cost.PATH, structs=("path",)),
    TypeRow("nop", Family.NOTHING, tracepoint=True),
    _object("bpf_attr", "bpf_attr", memory=True),
    _object("perf_event", "perf_event"),
    _object("bpf_map", "bpf_map"),
    _object("user_namespace", "user_namespace"),
    TypeRow("capability", Family.NUMBER, bits=32, signed=True),
    TypeRow("kiocb", Family.PATH, Cost.PATH, structs=("kiocb",), tracepoint=True),
    TypeRow("iov_iter", Family.BYTES, Cost.TEXT, structs=("iov_iter",), sized=True),
    _object("cred", "cred"),
    TypeRow("const_buf", Family.BYTES, Cost.TEXT, tracepoint=True),
    _object("load_info", "load_info"),
    _object("module", "module"),
    TypeRow("syscall64", Family.SYSCALL, bits=64, tracepoint=True),
    _caps("kernel_cap_t", "kernel_cap_t"),
    _caps("cap_inheritable", "cred"),
    _caps("cap_permitted", "cred"),
    _caps("cap_effective", "cred"),
    TypeRow("linux_binprm", Family.PATH, Cost.PATH, structs=("linux_binprm",), tracepoint=True),
    TypeRow("data_loc", Family.TEXT, Cost.TEXT, tracepoint=True),
    TypeRow("net_device", Family.TEXT, Cost.TEXT, structs=("net_device",)),
    TypeRow("bpf_cmd", Family.NUMBER, bits=32, signed=True),
    TypeRow("dentry", Family.PATH, Cost.PATH, structs=("dentry",)),
    _object("bpf_prog", "bpf_prog"),
)
TYPES = {row.name: row for row in _ROWS}

# Which type `auto` means, for a pointer to a struct. The first row that names the struct has it.
TYPE_OF_STRUCT: dict[str, str] = {}
for _row in _ROWS:
    for _struct in _row.structs:
        TYPE_OF_STRUCT.setdefault(_struct, _row.name)


def number_type(size: int, signed: bool) -> str:
    """Which type `auto` means for a number of `size` bytes."""
    return {1: "int8", 2: "int16", 4: "int32", 8: "int64"}[size].replace("int", "int" if signed else "uint")
