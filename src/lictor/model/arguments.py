"""Values that hooks report: one class per member of `tetragon.KprobeArgument`'s oneof.

The class of a member has one field of the member's name, and the label: what msgspec makes of it is the JSON, and the
API reads the protobuf form off the message descriptor. A new kind of value is a class here and nothing else. The
members `cred_arg` and `user_namespace_arg` are deprecated; nothing makes them.

64-bit numbers are texts, as everywhere in the model: so they stand in JSON.
"""

from __future__ import annotations

from lictor.model.process import ProcessCredentials, UserNamespace, Value


class Argument(Value, frozen=True):
    """Base of all."""


class StringArg(Argument, frozen=True):
    string_arg: str
    label: str = ""


class IntArg(Argument, frozen=True):
    int_arg: int  # 32 bits, signed
    label: str = ""


class UintArg(Argument, frozen=True):
    uint_arg: int
    label: str = ""


class LongArg(Argument, frozen=True):
    long_arg: str  # int64
    label: str = ""


class SizeArg(Argument, frozen=True):
    size_arg: str  # uint64
    label: str = ""


class BytesArg(Argument, frozen=True):
    bytes_arg: bytes
    label: str = ""


class TruncatedBytes(Value, frozen=True):
    bytes_arg: bytes = b""
    orig_size: str = ""  # uint64: bytes that there were


class TruncatedBytesArg(Argument, frozen=True):
    truncated_bytes_arg: TruncatedBytes
    label: str = ""


class Path(Value, frozen=True):
    """`flags` such as `unresolvedPathComponents`; `permission` as `ls -l` has it, `-rwxr-xr-x`."""

    mount: str = ""
    path: str = ""
    flags: str = ""
    permission: str = ""


class PathArg(Argument, frozen=True):
    path_arg: Path
    label: str = ""


class FileArg(Argument, frozen=True):
    file_arg: Path
    label: str = ""


class LinuxBinprm(Value, frozen=True):
    path: str = ""
    flags: str = ""
    permission: str = ""


class LinuxBinprmArg(Argument, frozen=True):
    linux_binprm_arg: LinuxBinprm
    label: str = ""


class Sock(Value, frozen=True):
    """Names such as AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_ESTABLISHED; ports in host order."""

    family: str = ""
    type: str = ""
    protocol: str = ""
    mark: int = 0
    priority: int = 0
    saddr: str = ""
    daddr: str = ""
    sport: int = 0
    dport: int = 0
    cookie: str = ""  # uint64
    state: str = ""


class SockArg(Argument, frozen=True):
    sock_arg: Sock
    label: str = ""


class Skb(Value, frozen=True):
    hash: int = 0
    len: int = 0
    priority: int = 0
    mark: int = 0
    saddr: str = ""
    daddr: str = ""
    sport: int = 0
    dport: int = 0
    proto: int = 0
    sec_path_len: int = 0
    sec_path_olen: int = 0
    protocol: str = ""
    family: str = ""


class SkbArg(Argument, frozen=True):
    skb_arg: Skb
    label: str = ""


class Sockaddr(Value, frozen=True):
    family: str = ""
    addr: str = ""
    port: int = 0


class SockaddrArg(Argument, frozen=True):
    sockaddr_arg: Sockaddr
    label: str = ""


class SockaddrUn(Value, frozen=True):
    family: str = ""
    path: str = ""  # of an abstract socket with a leading @


class SockaddrUnArg(Argument, frozen=True):
    sockaddrun_arg: SockaddrUn
    label: str = ""


class NetDev(Value, frozen=True):
    name: str = ""


class NetDevArg(Argument, frozen=True):
    net_dev_arg: NetDev
    label: str = ""


class CredentialsArg(Argument, frozen=True):
    process_credentials_arg: ProcessCredentials
    label: str = ""


class UserNamespaceArg(Argument, frozen=True):
    user_ns_arg: UserNamespace
    label: str = ""


class Capability(Value, frozen=True):
    value: int | None = None
    name: str = ""


class CapabilityArg(Argument, frozen=True):
    capability_arg: Capability
    label: str = ""


class KernelCapArg(Argument, frozen=True):
    kernel_cap_t_arg: str  # the mask as 16 hexadecimal digits
    label: str = ""


class CapInheritableArg(Argument, frozen=True):
    cap_inheritable_arg: str
    label: str = ""


class CapPermittedArg(Argument, frozen=True):
    cap_permitted_arg: str
    label: str = ""


class CapEffectiveArg(Argument, frozen=True):
    cap_effective_arg: str
    label: str = ""


class KernelModule(Value, frozen=True):
    """`tainted`: names of `tetragon.TaintedBitsType`. `signature_ok` is known of a module that is being loaded."""

    name: str = ""
    signature_ok: bool | None = None
    tainted: tuple[str, ...] = ()


class ModuleArg(Argument, frozen=True):
    module_arg: KernelModule
    label: str = ""


class BpfProgram(Value, frozen=True, rename="pascal"):
    prog_type: str = ""
    insn_cnt: int = 0
    prog_name: str = ""


class BpfAttrArg(Argument, frozen=True):
    bpf_attr_arg: BpfProgram
    label: str = ""


class BpfProgArg(Argument, frozen=True):
    bpf_prog_arg: BpfProgram
    label: str = ""


class BpfMap(Value, frozen=True, rename="pascal"):
    map_type: str = ""
    key_size: int = 0
    value_size: int = 0
    max_entries: int = 0
    map_name: str = ""


class BpfMapArg(Argument, frozen=True):
    bpf_map_arg: BpfMap
    label: str = ""


class BpfCmdArg(Argument, frozen=True):
    bpf_cmd_arg: str  # a name of `tetragon.BpfCmd`
    label: str = ""


class PerfEvent(Value, frozen=True, rename="pascal"):
    kprobe_func: str = ""
    type: str = ""
    config: str = ""  # uint64
    probe_offset: str = ""  # uint64


class PerfEventArg(Argument, frozen=True):
    perf_event_arg: PerfEvent
    label: str = ""


class SyscallId(Value, frozen=True):
    id: int = 0
    abi: str = ""  # x64, i386, arm64 or arm32


class SyscallIdArg(Argument, frozen=True):
    syscall_id: SyscallId
    label: str = ""


class Error(Value, frozen=True, rename="pascal"):
    message: str = ""


class ErrorArg(Argument, frozen=True):
    """What stands where a value could not be read."""

    error_arg: Error
    label: str = ""
