"""Values of hooks that are more than a number or a text: the `…_value` shapes of bpf/include/records.h."""

from __future__ import annotations

from typing import NamedTuple

from lictor.wire.btf import Btf
from lictor.wire.layout import compile_layout
from lictor.wire.records import Credentials


class Address(NamedTuple):
    """struct address. `bytes`: 4 or 16, in network order, as the family has it."""

    family: int
    port: int
    bytes: bytes


class SocketValue(NamedTuple):
    source: Address
    destination: Address
    type: int
    protocol: int
    state: int
    mark: int
    priority: int
    cookie: int


class PacketValue(NamedTuple):
    source: Address
    destination: Address
    hash: int
    len: int
    priority: int
    mark: int
    protocol: int
    ethertype: int


class ProgramValue(NamedTuple):
    type: int
    instructions: int
    name: bytes


class MapValue(NamedTuple):
    type: int
    key_size: int
    value_size: int
    max_entries: int
    name: bytes


class PerfEventValue(NamedTuple):
    config: int
    offset: int
    type: int
    function: bytes


class ModuleValue(NamedTuple):
    taints: int
    signature_ok: int
    signature_known: int
    name: bytes


class UserNamespaceValue(NamedTuple):
    level: int
    uid: int
    gid: int
    inode: int


_SHAPES = {
    "address": Address._fields,
    "socket_value": SocketValue._fields,
    "packet_value": PacketValue._fields,
    "credentials_value": ("cred", "user_ns"),
    "credentials": Credentials._fields,
    "user_namespace_value": UserNamespaceValue._fields,
    "bpf_program_value": ProgramValue._fields,
    "bpf_map_value": MapValue._fields,
    "perf_event_value": PerfEventValue._fields,
    "module_value": ModuleValue._fields,
}


class ValueDecoder:
    """Unpacks the bytes of fields. Raises struct.error for bytes that are not of the shape."""

    def __init__(self, btf: Btf) -> None:
        self._layouts = {name: compile_layout(btf, name, fields) for name, fields in _SHAPES.items()}

    def address(self, data: bytes) -> Address:
        family, port, raw = self._layouts["address"].unpack(data)
        return Address(family, port, raw)

    def socket(self, data: bytes) -> SocketValue:
        source, destination, *rest = self._layouts["socket_value"].unpack(data)
        return SocketValue(self.address(source), self.address(destination), *rest)

    def packet(self, data: bytes) -> PacketValue:
        source, destination, *rest = self._layouts["packet_value"].unpack(data)
        return PacketValue(self.address(source), self.address(destination), *rest)

    def credentials(self, data: bytes) -> tuple[Credentials, int]:
        """And the inode number of the user namespace."""
        packed, user_ns = self._layouts["credentials_value"].unpack(data)
        return Credentials._make(self._layouts["credentials"].unpack(packed)), user_ns

    def user_namespace(self, data: bytes) -> UserNamespaceValue:
        return UserNamespaceValue._make(self._layouts["user_namespace_value"].unpack(data))

    def program(self, data: bytes) -> ProgramValue:
        return ProgramValue._make(self._layouts["bpf_program_value"].unpack(data))

    def map(self, data: bytes) -> MapValue:
        return MapValue._make(self._layouts["bpf_map_value"].unpack(data))

    def perf_event(self, data: bytes) -> PerfEventValue:
        return PerfEventValue._make(self._layouts["perf_event_value"].unpack(data))

    def module(self, data: bytes) -> ModuleValue:
        return ModuleValue._make(self._layouts["module_value"].unpack(data))
