"""Reads of objects of the kernel, run alone: on objects made byte by byte, with this kernel's offsets."""

from __future__ import annotations

import socket
import struct

import pytest
from runs import FAULT, Runs
from test_packets import (
    AH,
    DESTINATION,
    ESP,
    FRAGMENT,
    HOP_BY_HOP,
    ICMP,
    MORE_FRAGMENTS,
    PORTS,
    REST,
    ROUTING,
    SCTP,
    SOURCE4,
    SOURCE6,
    TARGET4,
    TARGET6,
    TCP,
    UDP,
    authentication,
    extension,
    fragment,
    ip4,
    ip6,
)  # fmt: skip

from lictor.policy.machine import Machine
from lictor.policy.plan import Read, Source

pytestmark = pytest.mark.kernel
HEAD, BODY = 4096, 8192  # where the packet lies in the test's memory, and what it leads to
FOUR, SIX = socket.AF_INET, socket.AF_INET6


def put(runs: Runs, machine: Machine, struct_name: str, **members: tuple[str, int]) -> int:
    """An object with some members, the others 0; gives its address. A member: how it is packed, and its value."""
    kind = machine.type(f"struct {struct_name}")
    assert kind is not None
    address = runs.put(bytes(HEAD))
    for name, (code, value) in members.items():
        place = kind.member(name)
        assert place is not None, name
        runs.put(struct.pack(code, value), place.bit_offset // 8)
    return address


def packet(runs: Runs, machine: Machine, data: bytes, network: int = 64, **more: tuple[str, int]) -> int:
    head = runs.put(bytes(network) + data + bytes(64), HEAD)
    members = {"head": ("<Q", head), "network_header": ("<H", network), "tail": ("<I", network + len(data))}
    return put(runs, machine, "sk_buff", **(members | more))


def seen(data: bytes) -> tuple[int, bytes, bytes, int, int, int]:
    """Family, addresses, protocol, ports of a struct packet_value."""
    family, source, from_ = struct.unpack_from("<HH4x16s", data)
    _, target, to = struct.unpack_from("<HH4x16s", data, 24)
    (protocol,) = struct.unpack_from("<I", data, 64)
    return family, from_, to, protocol, source, target


def address(text: str) -> bytes:
    return socket.inet_pton(SIX if ":" in text else FOUR, text).ljust(16, b"\0")


NOTHING = (0, bytes(16), bytes(16), 0, 0, 0)
PACKETS = [
    (ip4(UDP, PORTS + REST), FOUR, UDP, True),
    (ip4(TCP, PORTS + REST, options=bytes(8)), FOUR, TCP, True),
    (ip4(SCTP, PORTS + REST), FOUR, SCTP, True),
    (ip4(ICMP, PORTS + REST), FOUR, ICMP, False),
    (ip4(ESP, PORTS + REST), FOUR, ESP, False),
    (ip4(UDP, PORTS + REST, fragment=MORE_FRAGMENTS), FOUR, UDP, True),
    (ip4(UDP, PORTS + REST, fragment=8), FOUR, UDP, False),
    (ip4(UDP, PORTS[:3]), FOUR, UDP, False),
    (ip6(UDP, PORTS + REST), SIX, UDP, True),
    (ip6(HOP_BY_HOP, extension(ROUTING) + extension(DESTINATION, 2) + extension(TCP) + PORTS + REST), SIX, TCP, True),
    (ip6(FRAGMENT, fragment(UDP, 0, True) + PORTS + REST), SIX, UDP, True),
    (ip6(FRAGMENT, fragment(UDP, 3) + PORTS + REST), SIX, UDP, False),
    (ip6(AH, authentication(UDP) + PORTS + REST), SIX, UDP, True),
    (ip6(HOP_BY_HOP, extension(UDP)[:2]), SIX, HOP_BY_HOP, False),
]


@pytest.fixture
def skb(runs: Runs) -> Runs:
    runs.use(Read(slot=0, type="skb", source=Source.ARGUMENT))
    return runs


@pytest.mark.parametrize(("data", "family", "protocol", "ports"), PACKETS)
def test_packets(skb: Runs, machine: Machine, data: bytes, family: int, protocol: int, ports: bool) -> None:
    found = skb.read(packet(skb, machine, data))
    ends = (SOURCE4, TARGET4) if family == FOUR else (SOURCE6, TARGET6)
    assert found.error == 0
    assert seen(found.data) == (family, *map(address, ends), protocol, *((4711, 53) if ports else (0, 0)))


def test_packets_without_a_header(skb: Runs, machine: Machine) -> None:
    whole = ip4(UDP, PORTS + REST)
    for network in (0, 0xFFFF):
        at = packet(skb, machine, whole, network_header=("<H", network))
        assert seen(skb.read(at).data) == NOTHING
    assert seen(skb.read(packet(skb, machine, b"\x05" + whole[1:])).data) == NOTHING
    for head in (0, 16, 1 << 63):
        found = skb.read(packet(skb, machine, whole, head=("<Q", head)))
        assert found.error == (0 if head else FAULT)
        assert not head or seen(found.data) == NOTHING


@pytest.mark.parametrize("data", [one[0] for one in PACKETS])
def test_packets_that_end_early(skb: Runs, machine: Machine, data: bytes) -> None:
    """What is not there is not made up: least of all ports, of what lies behind the end."""
    whole = seen(skb.read(packet(skb, machine, data)).data)
    header = 20 if whole[0] == FOUR else 40
    for end in range(len(data)):
        family, *addresses, _, source, target = seen(skb.read(packet(skb, machine, data[:end])).data)
        assert (family, *addresses) == (whole[:3] if end >= header else NOTHING[:3])
        assert (source, target) in (whole[4:], (0, 0))


def test_objects(runs: Runs, machine: Machine) -> None:
    name = runs.put(b"lo\0", BODY)
    runs.use(Read(slot=0, type="net_device", source=Source.ARGUMENT))
    device = put(runs, machine, "net_device")
    kind = machine.type("struct net_device")
    assert kind is not None
    place = kind.member("name")
    assert place is not None
    runs.put(b"lo\0", place.bit_offset // 8)
    assert runs.read(device).data == b"lo"
    runs.use(Read(slot=0, type="filename", source=Source.ARGUMENT))
    assert runs.read(put(runs, machine, "filename", name=("<Q", name))).data == b"lo"
    assert runs.read(put(runs, machine, "filename", name=("<Q", 16))).error == FAULT
