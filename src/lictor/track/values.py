"""Values of hooks: a field of a record becomes an argument of an event."""

from __future__ import annotations

import ipaddress
import os
import stat
import struct
from collections.abc import Callable

from lictor.catalog import bpf
from lictor.catalog.process import capability_names, secure_bit_names
from lictor.catalog.sockets import FAMILIES, PROTOCOLS, TCP_STATES
from lictor.model import arguments as model
from lictor.model.process import Capabilities, Namespace, ProcessCredentials, UserNamespace
from lictor.policy.plan import Read
from lictor.track import text
from lictor.wire.hooks import FLAG_ERROR, FLAG_TRUNCATED, FLAG_UNREACHABLE, Field
from lictor.wire.records import RecordError
from lictor.wire.values import Address, ValueDecoder

Maker = Callable[[ValueDecoder, Field, str], model.Argument]
_OF_32_BITS = 1 << 31
_INITIAL_USER_NAMESPACE = 0xEFFFFFFD  # include/linux/proc_ns.h
_ABIS = {False: "x64", True: "i386"}
_SOCKET_TYPES = {
    1: "SOCK_STREAM", 2: "SOCK_DGRAM", 3: "SOCK_RAW", 4: "SOCK_RDM", 5: "SOCK_SEQPACKET", 6: "SOCK_DCCP",
    10: "SOCK_PACKET",
}  # fmt: skip


def _by_number(names: dict[str, int]) -> dict[int, str]:
    return {number: name for name, number in reversed(names.items())}


_FAMILY_NAMES, _PROTOCOL_NAMES, _STATE_NAMES = map(_by_number, (FAMILIES, PROTOCOLS, TCP_STATES))


class Arguments:
    """Makes arguments. What a record cannot truly hold is a RecordError."""

    def __init__(self, decoder: ValueDecoder) -> None:
        self._decoder = decoder

    def elements(self, read: Read, field: Field | None) -> list[model.Argument]:
        """What an event shows for an array of numbers."""
        if field is None or field.flags & FLAG_ERROR:
            return [self.make(read, field)]
        size = read.element
        places = range(0, len(field.data) - size + 1, size)
        return [model.SizeArg(str(int.from_bytes(field.data[at : at + size], "little")), read.label) for at in places]

    def make(self, read: Read, field: Field | None) -> model.Argument:
        """What an event shows for a read."""
        if field is None:
            return model.ErrorArg(model.Error("not read"), read.label)
        if field.flags & FLAG_ERROR:
            return model.ErrorArg(model.Error(_failure(read, field.extra)), read.label)
        try:
            return _MAKERS[read.type](self._decoder, field, read.label)
        except struct.error as error:
            raise RecordError(f"a {read.type} of {len(field.data)} bytes: {error}") from error


def _failure(read: Read, extra: int) -> str:
    why, step = os.strerror(extra & 0xFFFF), extra >> 32
    return f"{why}: `{read.resolve}` leads nowhere at depth {step}" if step else why


def _signed(value: int, bits: int) -> int:
    half = 1 << bits - 1
    return ((value & (1 << bits) - 1) ^ half) - half


def _int(_decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    return model.IntArg(_signed(field.extra, 32), label)


def _uint(_decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    return model.UintArg(field.extra & 0xFFFFFFFF, label)


def _long(_decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    return model.LongArg(str(_signed(field.extra, 64)), label)


def _size(_decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    return model.SizeArg(str(field.extra), label)


def _string(_decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    return model.StringArg(field.data.decode(errors="backslashreplace"), label)


def _bytes(_decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    if field.flags & FLAG_TRUNCATED:
        return model.TruncatedBytesArg(model.TruncatedBytes(field.data, str(field.extra)), label)
    return model.BytesArg(field.data, label)


def _path(field: Field) -> tuple[str, str, str]:
    """Path, flags and permission."""
    flags = []
    path = text.path_text(field.data)
    if field.flags & FLAG_UNREACHABLE:
        flags.append("unreachable")
    if field.flags & FLAG_TRUNCATED:
        flags.append("unresolvedPathComponents")
    return path, " ".join(flags), stat.filemode(field.extra & 0xFFFF) if field.extra else ""


def _file(_decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    path, flags, permission = _path(field)
    return model.FileArg(model.Path(path=path, flags=flags, permission=permission), label)


def _path_arg(_decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    path, flags, permission = _path(field)
    return model.PathArg(model.Path(path=path, flags=flags, permission=permission), label)


def _binprm(_decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    return model.LinuxBinprmArg(model.LinuxBinprm(*_path(field)), label)


def _host(address: Address) -> str:
    if address.family == FAMILIES["AF_INET"]:
        return str(ipaddress.IPv4Address(address.bytes[:4]))
    if address.family == FAMILIES["AF_INET6"]:
        return str(ipaddress.IPv6Address(address.bytes))
    return ""


def _family(number: int) -> str:
    return _FAMILY_NAMES.get(number, str(number))


def _protocol(number: int) -> str:
    return _PROTOCOL_NAMES.get(number, str(number))


def _namespace(inode: int) -> Namespace:
    return Namespace(inode, inode == _INITIAL_USER_NAMESPACE)


def _sock(decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    value = decoder.socket(field.data)
    sock = model.Sock(
        family=_family(value.source.family),
        type=_SOCKET_TYPES.get(value.type, str(value.type)),
        protocol=_protocol(value.protocol),
        mark=value.mark,
        priority=value.priority,
        saddr=_host(value.source),
        daddr=_host(value.destination),
        sport=value.source.port,
        dport=value.destination.port,
        cookie=str(value.cookie) if value.cookie else "",
        state=_STATE_NAMES.get(value.state, str(value.state)),
    )
    return model.SockArg(sock, label)


def _skb(decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    value = decoder.packet(field.data)
    skb = model.Skb(
        hash=value.hash,
        len=value.len,
        priority=value.priority,
        mark=value.mark,
        saddr=_host(value.source),
        daddr=_host(value.destination),
        sport=value.source.port,
        dport=value.destination.port,
        proto=value.protocol,
        protocol=_protocol(value.protocol) if value.source.family else "",
        family=_family(value.source.family) if value.source.family else "",
    )
    return model.SkbArg(skb, label)


def _sockaddr(decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    address = decoder.address(field.data)
    return model.SockaddrArg(model.Sockaddr(_family(address.family), _host(address), address.port), label)


def _sockaddr_un(_decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    return model.SockaddrUnArg(model.SockaddrUn(_family(field.extra), text.path_text(field.data)), label)


def _cred(decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    cred, user_ns = decoder.credentials(field.data)
    credentials = ProcessCredentials(
        uid=cred.uid,
        gid=cred.gid,
        euid=cred.euid,
        egid=cred.egid,
        suid=cred.suid,
        sgid=cred.sgid,
        fsuid=cred.fsuid,
        fsgid=cred.fsgid,
        securebits=secure_bit_names(cred.securebits),
        caps=Capabilities(*(capability_names(one) for one in (cred.permitted, cred.effective, cred.inheritable))),
        user_ns=UserNamespace(cred.user_ns_level, cred.user_ns_uid, cred.user_ns_gid, _namespace(user_ns)),
    )
    return model.CredentialsArg(credentials, label)


def _capability(_decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    number = _signed(field.extra, 32)
    names = capability_names(1 << number) if 0 <= number < 64 else ()
    return model.CapabilityArg(model.Capability(number, names[0] if names else ""), label)


def _mask(member: Callable[[str, str], model.Argument]) -> Maker:
    return lambda _decoder, field, label: member(f"{field.extra:016x}", label)


def _user_namespace(decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    value = decoder.user_namespace(field.data)
    namespace = UserNamespace(value.level, value.uid, value.gid, _namespace(value.inode))
    return model.UserNamespaceArg(namespace, label)


def _syscall(_decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    foreign = bool(field.extra & _OF_32_BITS)
    return model.SyscallIdArg(model.SyscallId(field.extra & ~_OF_32_BITS & 0xFFFFFFFF, _ABIS[foreign]), label)


def _name(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode(errors="backslashreplace")


def _program(decoder: ValueDecoder, field: Field) -> model.BpfProgram:
    value = decoder.program(field.data)
    kind = bpf.numbered(bpf.PROGRAM_TYPES, value.type, "BPF_PROG_TYPE_")
    return model.BpfProgram(kind, value.instructions, _name(value.name))


def _bpf_attr(decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    return model.BpfAttrArg(_program(decoder, field), label)


def _bpf_prog(decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    return model.BpfProgArg(_program(decoder, field), label)


def _bpf_map(decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    value = decoder.map(field.data)
    kind = bpf.numbered(bpf.MAP_TYPES, value.type, "BPF_MAP_TYPE_")
    shown = model.BpfMap(kind, value.key_size, value.value_size, value.max_entries, _name(value.name))
    return model.BpfMapArg(shown, label)


def _bpf_cmd(_decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    return model.BpfCmdArg(bpf.numbered(bpf.COMMANDS, field.extra & 0xFFFFFFFF, "BPF_"), label)


def _perf_event(decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    value = decoder.perf_event(field.data)
    kind = bpf.numbered(bpf.PERF_TYPES, value.type, "PERF_TYPE_")
    shown = model.PerfEvent(_name(value.function), kind, str(value.config or ""), str(value.offset or ""))
    return model.PerfEventArg(shown, label)


def _module(decoder: ValueDecoder, field: Field, label: str) -> model.Argument:
    value = decoder.module(field.data)
    tainted = tuple(name for bit, name in bpf.TAINTS.items() if value.taints >> bit & 1)
    known = bool(value.signature_ok) if value.signature_known else None
    return model.ModuleArg(model.KernelModule(_name(value.name), known, tainted), label)


_MAKERS: dict[str, Maker] = {
    **dict.fromkeys(("int", "sint32", "int32", "sint16", "int16", "sint8", "int8"), _int),
    **dict.fromkeys(("uint32", "uint16", "uint8"), _uint),
    **dict.fromkeys(("long", "sint64", "int64"), _long),
    **dict.fromkeys(("ulong", "uint64", "size_t"), _size),
    **dict.fromkeys(("string", "filename", "data_loc", "net_device"), _string),
    **dict.fromkeys(("char_buf", "char_iovec", "iov_iter", "const_buf"), _bytes),
    **dict.fromkeys(("file", "fd", "kiocb"), _file),
    **dict.fromkeys(("path", "dentry"), _path_arg),
    **dict.fromkeys(("sock", "socket"), _sock),
    "linux_binprm": _binprm,
    "skb": _skb,
    "sockaddr": _sockaddr,
    "sockaddr_un": _sockaddr_un,
    "cred": _cred,
    "capability": _capability,
    "kernel_cap_t": _mask(model.KernelCapArg),
    "cap_inheritable": _mask(model.CapInheritableArg),
    "cap_permitted": _mask(model.CapPermittedArg),
    "cap_effective": _mask(model.CapEffectiveArg),
    "user_namespace": _user_namespace,
    "syscall64": _syscall,
    "bpf_attr": _bpf_attr,
    "bpf_prog": _bpf_prog,
    "bpf_map": _bpf_map,
    "bpf_cmd": _bpf_cmd,
    "perf_event": _perf_event,
    "module": _module,
    "load_info": _module,
}
