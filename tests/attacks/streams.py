"""Other ways for data to leave: into a connected socket past `send`, by other protocols, by a device of one's own."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

from attacks import network
from attacks.row import SINCE_6_5, Attack, Ground, Outcome, Strike
from attacks.syscalls import attempt
from attacks.tricks import load_module

_MPTCP = 262
_TUNSETIFF = 0x400454CA
_TUN, _NO_HEAD = 0x0001, 0x1000
_BEFORE_6_5 = ("6.1",)
_HARMLESS = "127.0.9.9"
_TRANSLATION = f"""qdisc add dev lo clsact
filter add dev lo egress protocol ip u32 match ip dst {_HARMLESS} action nat ingress {_HARMLESS} {network.FORBIDDEN}
"""


def _from_a_file(client: socket.socket, mark: bytes) -> object:
    source = os.memfd_create("data")
    try:
        os.write(source, mark)
        return os.sendfile(client.fileno(), source, 0, len(mark))
    finally:
        os.close(source)


def _from_a_pipe(client: socket.socket, mark: bytes) -> object:
    source, sink = os.pipe()
    try:
        os.write(sink, mark)
        return os.splice(source, client.fileno(), len(mark))
    finally:
        os.close(source)
        os.close(sink)


def _in_parts(client: socket.socket, mark: bytes) -> object:
    return client.sendmsg([mark[:4], mark[4:]])


def _written(client: socket.socket, mark: bytes) -> object:
    return os.write(client.fileno(), mark)


def _by(send: Callable[[socket.socket, bytes], object]) -> Callable[[Ground], Strike]:
    """Over a connection made before."""

    def prepare(ground: Ground) -> Strike:
        del ground
        return network.established(socket.SOCK_STREAM, send)

    return prepare


def multipath(ground: Ground) -> Strike:
    """A connection of several paths, made by sockets of the kernel's own."""
    del ground
    return network.connects(socket.AF_INET, network.FORBIDDEN, network.FORBIDDEN, protocol=_MPTCP)


def protocol_by_kind(ground: Ground) -> Strike:
    """SCTP without its number: the only protocol with sockets of this kind."""
    del ground
    load_module("sctp")

    def strike() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET, 0) as made:
            return made.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL) == socket.IPPROTO_SCTP

    return attempt(strike)


def from_a_device(ground: Ground) -> Strike:
    """What is written to a tunnel comes in from there, as if another machine had sent it."""
    load_module("tun")
    tunnel = os.open("/dev/net/tun", os.O_RDWR)
    name = f"tunnel{ground.number}"
    fcntl.ioctl(tunnel, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TUN | _NO_HEAD))
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    Path(f"/proc/sys/net/ipv4/conf/{name}/accept_local").write_text("1")
    return network.sends(lambda target, mark: os.write(tunnel, network.frame(target, mark)[14:]))


def translated(ground: Ground) -> Strike:
    """Sent to an address that is another one when the packet leaves."""
    del ground
    for module in ("sch_ingress", "cls_u32", "act_nat"):
        load_module(module)
    subprocess.run(["tc", "-batch", "-"], input=_TRANSLATION, text=True, check=False)  # once for all threads
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    return network.sends(lambda target, mark: client.sendto(mark, (_HARMLESS, target[1])))


_SEND, _ALL = "network/deny-send", "network/deny-send-and-splice"
ATTACKS = (
    Attack("sendmsg over a connection made before", _SEND, _by(_in_parts), SINCE_6_5, host=True),
    Attack("write to a connection made before", _SEND, _by(_written), SINCE_6_5, host=True),
    Attack("sendfile over a connection made before", _SEND, _by(_from_a_file), SINCE_6_5, host=True),
    Attack("splice over a connection made before", _SEND, _by(_from_a_pipe), SINCE_6_5, host=True),
    Attack("sendfile before 6.5", _SEND, _by(_from_a_file), _BEFORE_6_5, Outcome.DETOUR),
    Attack("splice before 6.5", _SEND, _by(_from_a_pipe), _BEFORE_6_5, Outcome.DETOUR),
    Attack("send, by the longer rule", _ALL, network.sent_over_a_connection),
    Attack("send by a connected socket, by the longer rule", _ALL, network.sent_by_a_connected_socket),
    Attack("sendmsg, by the longer rule", _ALL, _by(_in_parts)),
    Attack("write, by the longer rule", _ALL, _by(_written)),
    Attack("sendfile, by the longer rule", _ALL, _by(_from_a_file)),
    Attack("splice, by the longer rule", _ALL, _by(_from_a_pipe)),
    Attack("connect by several paths", "network/deny-connect", multipath, kernels=("6.1", "6.12"), host=True),
    Attack("socket of a protocol by its kind", "network/deny-protocol", protocol_by_kind, kernels=("6.1", "6.12")),
    Attack("datagram that is translated", "network/deny-sendto", translated, ("6.1", "6.12"), Outcome.DETOUR),
    Attack(
        "packet by a tunnel",
        "network/deny-sendto",
        from_a_device,
        kernels=("6.1", "6.12"),
        outcome=Outcome.DETOUR,
    ),
)
