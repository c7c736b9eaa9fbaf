"""What must not leave, or be offered. The effect: a listening peer received it.

All of it happens in a network namespace of the attacker's own, whose loopback has the addresses of the policies.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from attacks.row import SINCE_6_5, Attack, Ground, Outcome, Strike
from attacks.syscalls import UNSHARE, attempt, call, refused

FORBIDDEN, FORBIDDEN6 = "198.51.100.7", "2001:db8::7"
_MAPPED = f"::ffff:{FORBIDDEN}"
_FORBIDDEN_PORT = 4444
_NEWNET = 0x40000000
_FASTOPEN = 0x20000000
_IPV4 = 0x0800  # of Ethernet
_SOON_MS = 500  # until what was sent over loopback must be there
_LATE_MS = 20
_MADE_MS = 10000  # until a connection that was made is told of, on busy CPUs
Address = tuple[str, int]
_SETUP = f"""link set lo up
address add {FORBIDDEN}/32 dev lo
address add {FORBIDDEN6}/128 dev lo nodad
"""


def enter() -> None:
    """Make the namespace; all threads started later are in it."""
    call(UNSHARE, _NEWNET)
    subprocess.run(["ip", "-batch", "-"], input=_SETUP, text=True, check=True)
    settings = Path("/proc/sys/net/ipv4")
    (settings / "tcp_fastopen").write_text("1027")  # without a cookie
    (settings / "conf/lo/accept_local").write_text("1")  # packets made by hand come in from ourselves
    (settings / "ping_group_range").write_text("0 0")  # root may have ping sockets
    _settle()


def _settle() -> None:
    """Wait for the route to the address of version 6, which the kernel makes when it has time."""
    with _receiver(socket.AF_INET6, FORBIDDEN6) as peer, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
        until = time.monotonic() + _MADE_MS / 1000
        while refused(lambda: client.sendto(b"?", peer.getsockname())) or not _is_ready(peer, _LATE_MS):
            assert time.monotonic() < until, "there is no way to our own address"


def _listener(family: int, address: str, port: int = 0) -> socket.socket:
    peer = socket.socket(family, socket.SOCK_STREAM)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    peer.bind((address, port))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 64)
    peer.listen(64)
    peer.setblocking(False)
    return peer


def _receiver(family: int, address: str, port: int = 0) -> socket.socket:
    peer = socket.socket(family, socket.SOCK_DGRAM)
    peer.bind((address, port))
    peer.setblocking(False)
    return peer


def _is_ready(peer: socket.socket, patience_ms: int) -> bool:
    """Whether something comes in. Descriptors are many here: too many for select()."""
    waiting = select.poll()
    waiting.register(peer, select.POLLIN)
    return bool(waiting.poll(patience_ms))


def _received(peer: socket.socket, mark: bytes, sent: bool) -> bool:
    """Whether the mark is among what came in, now or, if it was sent, soon."""
    while _is_ready(peer, _SOON_MS if sent else 0):
        if mark in peer.recv(4096):
            return True
    return False


def _accepted(peer: socket.socket, sent: bool) -> socket.socket | None:
    """A connection that came in."""
    if not _is_ready(peer, _MADE_MS if sent else 0):
        return None
    accepted, _ = peer.accept()
    accepted.setblocking(False)
    return accepted


def connects(family: int, listen: str, target: str, port: int = 0, protocol: int = 0) -> Strike:
    peer = _listener(family, listen, port)
    number = peer.getsockname()[1]
    own = socket.AF_INET6 if ":" in target else socket.AF_INET

    def strike() -> bool:
        with socket.socket(own, socket.SOCK_STREAM, protocol) as client:
            client.settimeout(5)
            made = not refused(lambda: client.connect((target, number)))
            accepted = _accepted(peer, made)
            if accepted:
                accepted.close()
            return accepted is not None

    return strike


def connected(ground: Ground) -> Strike:
    del ground
    return connects(socket.AF_INET, FORBIDDEN, FORBIDDEN)


def connected6(ground: Ground) -> Strike:
    del ground
    return connects(socket.AF_INET6, FORBIDDEN6, FORBIDDEN6)


def connected_mapped(ground: Ground) -> Strike:
    del ground
    return connects(socket.AF_INET, FORBIDDEN, _MAPPED)


def connected_to_port(ground: Ground) -> Strike:
    return connects(socket.AF_INET, f"127.0.1.{ground.number % 200 + 1}", f"127.0.1.{ground.number % 200 + 1}", 4444)


def _sends(family: int, address: str, send: Callable[[Address, bytes], object]) -> Strike:
    peer = _receiver(family, address)
    target = (address, peer.getsockname()[1])

    def strike() -> bool:
        mark = os.urandom(8)
        sent = not refused(lambda: send(target, mark))
        return _received(peer, mark, sent)

    return strike


def sends(send: Callable[[Address, bytes], object]) -> Strike:
    """Sends datagrams to the forbidden address."""
    return _sends(socket.AF_INET, FORBIDDEN, send)


def _datagram(family: int) -> Callable[[Address, bytes], object]:
    client = socket.socket(family, socket.SOCK_DGRAM)
    return lambda target, mark: client.sendto(mark, target)


def sent(ground: Ground) -> Strike:
    del ground
    return _sends(socket.AF_INET, FORBIDDEN, _datagram(socket.AF_INET))


def sent6(ground: Ground) -> Strike:
    del ground
    return _sends(socket.AF_INET6, FORBIDDEN6, _datagram(socket.AF_INET6))


def sent_mapped(ground: Ground) -> Strike:
    del ground
    client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    return _sends(socket.AF_INET, FORBIDDEN, lambda target, mark: client.sendto(mark, (_MAPPED, target[1])))


def sent_without_family(ground: Ground) -> Strike:
    """UDP takes an address without a family for one of IPv4."""
    del ground
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def send(target: Address, mark: bytes) -> None:
        address = struct.pack("<H", 0) + struct.pack(">H", target[1]) + socket.inet_aton(target[0]) + bytes(8)
        where = ctypes.create_string_buffer(address, 16)
        call(44, client.fileno(), mark, len(mark), 0, where, 16)

    return _sends(socket.AF_INET, FORBIDDEN, send)


def _plainly(client: socket.socket, mark: bytes) -> object:
    return client.send(mark)


def established(kind: int, send: Callable[[socket.socket, bytes], object] = _plainly) -> Strike:
    peer = _listener(socket.AF_INET, FORBIDDEN) if kind == socket.SOCK_STREAM else _receiver(socket.AF_INET, FORBIDDEN)
    client = socket.socket(socket.AF_INET, kind)
    client.connect(peer.getsockname())
    other = peer.accept()[0] if kind == socket.SOCK_STREAM else peer
    other.setblocking(False)
    patience = _SOON_MS

    def strike() -> bool:
        """Whatever comes is an effect. Where nothing came, what is late is left for the next attempt to find."""
        nonlocal patience
        sent = not refused(lambda: send(client, os.urandom(8)))
        came = _is_ready(other, patience if sent else 0)
        patience = _SOON_MS if came else _LATE_MS
        return came and bool(other.recv(8))

    return strike


def sent_over_a_connection(ground: Ground) -> Strike:
    del ground
    return established(socket.SOCK_STREAM)


def sent_by_a_connected_socket(ground: Ground) -> Strike:
    del ground
    return established(socket.SOCK_DGRAM)


def fast_open(ground: Ground) -> Strike:
    del ground
    peer = _listener(socket.AF_INET, FORBIDDEN)

    def strike() -> bool:
        mark = os.urandom(8)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            sent = not refused(lambda: client.sendto(mark, _FASTOPEN, peer.getsockname()))
            accepted = _accepted(peer, sent)
            if accepted is None:
                return False
            with accepted:
                return _received(accepted, mark, sent)

    return strike


def bound(ground: Ground) -> Strike:
    address = f"127.0.2.{ground.number % 200 + 1}"

    def strike() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            refused(lambda: server.bind((address, _FORBIDDEN_PORT)))
            return bool(server.getsockname()[1] == _FORBIDDEN_PORT)

    return strike


def bound_without_family(ground: Ground) -> Strike:
    """So that it is for any address: IPv4 takes it then. The next attempt frees the port for those who share it."""
    del ground

    def strike() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            address = struct.pack("<H", 0) + struct.pack(">H", _FORBIDDEN_PORT) + bytes(12)
            refused(lambda: call(49, server.fileno(), ctypes.create_string_buffer(address, 16), 16))
            return bool(server.getsockname()[1] == _FORBIDDEN_PORT)

    return strike


def listening(ground: Ground) -> Strike:
    address = f"127.0.3.{ground.number % 200 + 1}"

    def strike() -> bool:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server,
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client,
        ):
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((address, _FORBIDDEN_PORT))
            refused(lambda: server.listen(16))
            client.settimeout(5)
            return client.connect_ex((address, _FORBIDDEN_PORT)) == 0

    return strike


def _udp_packet(target: Address, mark: bytes) -> bytes:
    return struct.pack(">HHHH", 40000, target[1], 8 + len(mark), 0) + mark


def raw_socket(ground: Ground) -> Strike:
    del ground

    def send(target: Address, mark: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
            raw.sendto(_udp_packet(target, mark), (target[0], 0))

    return _sends(socket.AF_INET, FORBIDDEN, send)


def raw_socket_made_before(ground: Ground) -> Strike:
    del ground
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    return _sends(socket.AF_INET, FORBIDDEN, lambda target, mark: raw.sendto(_udp_packet(target, mark), (target[0], 0)))


def pinged(ground: Ground) -> Strike:
    """An echo request, which carries what one likes. It is received by whoever may see all of ICMP."""
    del ground
    peer = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    peer.bind((FORBIDDEN, 0))
    peer.setblocking(False)
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)

    def strike() -> bool:
        mark = os.urandom(8)
        request = struct.pack(">BBHHH", 8, 0, 0, 0, 1) + mark
        sent = not refused(lambda: client.sendto(request, (FORBIDDEN, 0)))
        return _received(peer, mark, sent)

    return strike


def raw_packet_of_another_version(ground: Ground) -> Strike:
    """A raw socket's own header says version 6, so that other bytes are where an address would be. No kernel takes such
    a packet, but it leaves, and whoever listens on the wire has it."""
    del ground
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_IPV4))
    wire.bind(("lo", _IPV4))
    wire.setblocking(False)
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def strike() -> bool:
        mark = os.urandom(8)
        address = socket.inet_aton(FORBIDDEN)
        head = struct.pack(">BBHHHBBH4s4s", 0x65, 0, 0, 1, 0, 64, socket.IPPROTO_UDP, 0, address, address)
        sent = not refused(lambda: raw.sendto(head + bytes(20) + mark, (FORBIDDEN, 0)))
        return _received(wire, mark, sent)

    return strike


def frame(target: Address, mark: bytes) -> bytes:
    segment = _udp_packet(target, mark)
    head = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), 1, 0, 64, socket.IPPROTO_UDP, 0,
        socket.inet_aton(target[0]), socket.inet_aton(target[0]),
    )  # fmt: skip
    words = struct.unpack(">10H", head)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return bytes(12) + b"\x08\x00" + head[:10] + struct.pack(">H", ~total & 0xFFFF) + head[12:] + segment


def packet_socket(ground: Ground) -> Strike:
    del ground

    def send(target: Address, mark: bytes) -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as packets:
            packets.sendto(frame(target, mark), ("lo", 0))

    return _sends(socket.AF_INET, FORBIDDEN, send)


def packet_socket_made_before(ground: Ground) -> Strike:
    del ground
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    return _sends(socket.AF_INET, FORBIDDEN, lambda target, mark: packets.sendto(frame(target, mark), ("lo", 0)))


def protocol(ground: Ground) -> Strike:
    """A UDP-Lite socket."""
    del ground

    def strike() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 136):
            return True

    return attempt(strike)


_SEND = "network/deny-send"
ATTACKS = (
    Attack("connect", "network/deny-connect", connected, host=True),
    Attack("connect, IPv6", "network/deny-connect", connected6, host=True),
    Attack("connect to a mapped address", "network/deny-connect", connected_mapped, host=True),
    Attack("connect with fast open", "network/deny-connect", fast_open, host=True),
    Attack("connect to a port", "network/deny-connect-port", connected_to_port, host=True),
    Attack("sendto", "network/deny-sendto", sent, host=True),
    Attack("sendto, IPv6", "network/deny-sendto", sent6, host=True),
    Attack("sendto to a mapped address", "network/deny-sendto", sent_mapped, host=True),
    Attack("sendto without a family", "network/deny-sendto", sent_without_family, host=True),
    Attack("sendto by a raw socket made before", "network/deny-sendto", raw_socket_made_before, host=True),
    Attack("raw packet of another version", "network/deny-sendto", raw_packet_of_another_version, host=True),
    Attack("echo request", "network/deny-sendto", pinged, host=True),
    Attack("send over a connection made before", _SEND, sent_over_a_connection, SINCE_6_5, host=True),
    Attack("send by a socket connected before", _SEND, sent_by_a_connected_socket, SINCE_6_5, host=True),
    Attack("bind", "network/deny-bind", bound, host=True),
    Attack("bind without a family", "network/deny-bind", bound_without_family, host=True),
    Attack("listen", "network/deny-listen", listening),
    Attack("raw socket", "network/deny-raw", raw_socket, host=True),
    Attack("packet socket", "network/deny-packet", packet_socket),
    Attack("socket of a protocol", "network/deny-protocol", protocol, host=True),
    Attack("packet to a forbidden network", "network/deny-send", packet_socket_made_before, outcome=Outcome.DETOUR),
    Attack("raw packet to a forbidden network", "network/deny-connect", raw_socket),
)
