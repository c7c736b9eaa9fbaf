"""Packets made byte by byte, sent on the loopback device: what is read of their headers, and what is not made up."""

from __future__ import annotations

import ipaddress
import socket
import struct
from pathlib import Path

import pytest
from engine import Bench
from live import Expected, Row, check, rows

from lictor.policy.machine import Machine

pytestmark = pytest.mark.kernel
ETH_IP, ETH_ARP, ETH_IPV6 = 0x0800, 0x0806, 0x86DD
TCP, UDP, ICMP, ESP, AH, SCTP, NOTHING = 6, 17, 1, 50, 51, 132, 59
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION = 0, 43, 44, 60
SOURCE4, TARGET4, SOURCE6, TARGET6 = "127.9.9.1", "127.9.9.9", "fd00::1", "fd00::9"
PORTS = struct.pack("!HH", 4711, 53)
REST = bytes(24)
MORE_FRAGMENTS = 0x2000


def ip4(protocol: int, payload: bytes, options: bytes = b"", fragment: int = 0) -> bytes:
    words = 5 + len(options) // 4
    size = 4 * words + len(payload)
    head = struct.pack("!BBHHHBBH", 0x40 | words, 0, size, 1, fragment, 64, protocol, 0)
    return head + ipaddress.ip_address(SOURCE4).packed + ipaddress.ip_address(TARGET4).packed + options + payload


def ip6(first: int, payload: bytes) -> bytes:
    head = struct.pack("!IHBB", 0x60000000, len(payload), first, 64)
    return head + ipaddress.ip_address(SOURCE6).packed + ipaddress.ip_address(TARGET6).packed + payload


def extension(following: int, words: int = 0) -> bytes:
    return bytes([following, words]) + bytes(6 + 8 * words)


def fragment(following: int, offset: int, more: bool = False) -> bytes:
    return struct.pack("!BBHI", following, 0, offset << 3 | more, 1)


def authentication(following: int) -> bytes:
    return bytes([following, 4]) + bytes(22)  # six words of four bytes, less two


def seen(family: str, protocol: str, ports: bool = True) -> Expected:
    """What an event shows; what is 0 or empty it leaves out."""
    source, target = {"AF_INET": (SOURCE4, TARGET4), "AF_INET6": (SOURCE6, TARGET6), "": ("", "")}[family]
    return {
        "family": family or None,
        "saddr": source or None,
        "daddr": target or None,
        "protocol": protocol or None,
        "sport": 4711 if ports else None,
        "dport": 53 if ports else None,
    }


def spec(size: int, condition: str = "") -> str:
    return f"""
        tracepoints:
        - subsystem: net
          event: net_dev_queue
          args: [{{index: 4, type: skb}}, {{index: 5, type: uint32}}]
          selectors:
          - matchPIDs: [{{operator: In, values: [SELF]}}]
            matchArgs:
            - {{index: 5, operator: Equal, values: ["{size}"]}}
            {condition}
        """


def send(kind: int, packet: bytes) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as one:
        one.sendto(packet, ("lo", kind))


def row(name: str, kind: int, packet: bytes, expected: Expected) -> Row:
    def action(_: Path) -> None:
        send(kind, packet)

    return Row(name, spec(14 + len(packet)), action, lambda _: [{"args": [{"skb_arg": expected}, {}]}], ("tracepoint",))


def condition(name: str, packet: bytes, kind: int, text: str, holds: bool) -> Row:
    def action(_: Path) -> None:
        send(kind, packet)

    listed = f"- {{index: 4, operator: {text}}}"
    found: list[Expected] = [{}] if holds else []
    return Row(f"{name}, {text}", spec(14 + len(packet), listed), action, lambda _: found, ("tracepoint",))


V4, V6 = "AF_INET", "AF_INET6"
CHAIN = extension(ROUTING) + extension(DESTINATION, 2) + extension(FRAGMENT) + fragment(UDP, 0, True)
LATER = ip4(UDP, PORTS + REST, fragment=185)
ROWS = [
    row("UDP", ETH_IP, ip4(UDP, PORTS + REST), seen(V4, "IPPROTO_UDP")),
    row("TCP behind options", ETH_IP, ip4(TCP, PORTS + REST, b"\1" * 12), seen(V4, "IPPROTO_TCP")),
    row("SCTP", ETH_IP, ip4(SCTP, PORTS + REST), seen(V4, "IPPROTO_SCTP")),
    row("ICMP", ETH_IP, ip4(ICMP, PORTS + REST), seen(V4, "IPPROTO_ICMP", False)),
    row("first fragment", ETH_IP, ip4(UDP, PORTS + REST, fragment=MORE_FRAGMENTS), seen(V4, "IPPROTO_UDP")),
    row("later fragment", ETH_IP, LATER, seen(V4, "IPPROTO_UDP", False)),
    row("ports cut off", ETH_IP, ip4(UDP, b"\0\0"), seen(V4, "IPPROTO_UDP", False)),
    row("UDP on version 6", ETH_IPV6, ip6(UDP, PORTS + REST), seen(V6, "IPPROTO_UDP")),
    row("four extension headers", ETH_IPV6, ip6(HOP_BY_HOP, CHAIN + PORTS + REST), seen(V6, "IPPROTO_UDP")),
    row(
        "later fragment of version 6",
        ETH_IPV6,
        ip6(FRAGMENT, fragment(UDP, 100) + PORTS + REST),
        seen(V6, "IPPROTO_UDP", False),
    ),
    row("authentication", ETH_IPV6, ip6(AH, authentication(TCP) + PORTS + REST), seen(V6, "IPPROTO_TCP")),
    row("encrypted", ETH_IPV6, ip6(ESP, PORTS + REST), seen(V6, "IPPROTO_ESP", False)),
    row(
        "an extension longer than the packet",
        ETH_IPV6,
        ip6(DESTINATION, extension(UDP)[:1] + b"\xff" + REST),
        {"sport": None},
    ),
    row("nothing in it", ETH_IPV6, ip6(NOTHING, b""), seen(V6, str(NOTHING), False)),
    row("no packet of the internet", ETH_ARP, bytes(28), seen("", "", False)),
    row("an empty packet", ETH_IP, b"\x45", {"family": None, "sport": None}),
    condition("later fragment", LATER, ETH_IP, "NotDPort, values: ['1']", False),
    condition("later fragment", LATER, ETH_IP, "DPort, values: ['0:65535']", False),
    condition("later fragment", LATER, ETH_IP, "DAddr, values: [127.9.9.9]", True),
    condition("no packet of the internet", bytes(29), ETH_ARP, "NotSAddr, values: [10.0.0.0/8]", False),
    condition("no packet of the internet", bytes(30), ETH_ARP, "Family, values: [AF_INET, AF_INET6]", False),
]


@rows(ROWS)
def test_packet(row: Row, bench: Bench, machine: Machine, tmp_path: Path) -> None:
    check(row, bench, machine, tmp_path)
