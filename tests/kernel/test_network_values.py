"""Sockets, addresses and packets as values of hooks, and the conditions on them."""

from __future__ import annotations

import ctypes
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from engine import Bench
from live import Row, check, learned, rows

from lictor.policy.machine import Machine

pytestmark = pytest.mark.kernel
# One program serves all kprobes: rows do not each load theirs.
BY_KPROBE = (("kprobe",), ("fentry", "fexit", "kprobe.multi"))
SO_COOKIE = 57
IPV6_HOPOPTS, IPV6_DSTOPTS = 54, 59
LOCALHOST: dict[int, str] = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


@dataclass(frozen=True)
class Ends:
    """What a conversation was between."""

    source: int
    destination: int
    cookie: int = 0


def bound(family: int, kind: int) -> socket.socket:
    made = socket.socket(family, kind)
    made.bind((LOCALHOST[family], 0))
    return made


def connect(family: int, mark: int = 0, priority: int = 0) -> Ends:
    with bound(family, socket.SOCK_STREAM) as server, socket.socket(family, socket.SOCK_STREAM) as client:
        server.listen()
        if mark:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, priority)
        cookie = int.from_bytes(client.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8), "little")
        client.connect(server.getsockname())
        return Ends(client.getsockname()[1], server.getsockname()[1], cookie)


def send(family: int, ancillary: list[tuple[int, int, bytes]] | None = None, data: bytes = b"x" * 100) -> Ends:
    with bound(family, socket.SOCK_DGRAM) as server, bound(family, socket.SOCK_DGRAM) as client:
        client.sendmsg([data], ancillary or [], 0, server.getsockname())
        return Ends(client.getsockname()[1], server.getsockname()[1])


def send_behind_extensions(_: Path) -> Ends:
    options = bytes([0, 0, 1, 4, 0, 0, 0, 0])  # six bytes of padding behind (next, length)
    return send(socket.AF_INET6, [(socket.IPPROTO_IPV6, kind, options) for kind in (IPV6_HOPOPTS, IPV6_DSTOPTS)])


def names(family: int) -> tuple[str, str]:
    return socket.AddressFamily(family).name, LOCALHOST[family]


def stream(family: int) -> Row:
    name, host = names(family)
    return learned(
        f"sock, {name}",
        """
        kprobes:
        - call: tcp_connect
          syscall: false
          args: [{index: 0, type: sock}]
        """,
        lambda _: connect(family, 77, 5),
        lambda ends: [
            {
                "args": [
                    {
                        "sock_arg": {
                            "family": name,
                            "type": "SOCK_STREAM",
                            "protocol": "IPPROTO_TCP",
                            "saddr": host,
                            "daddr": host,
                            "sport": ends.source,
                            "dport": ends.destination,
                            "mark": 77,
                            "priority": 5,
                            "cookie": str(ends.cookie),
                            "state": "TCP_SYN_SENT",
                        }
                    }
                ]
            }
        ],
        *BY_KPROBE,
    )


def address(family: int) -> Row:
    name, host = names(family)
    return learned(
        f"socket and sockaddr, {name}",
        """
        kprobes:
        - call: security_socket_connect
          syscall: false
          args: [{index: 0, type: socket}, {index: 1, type: sockaddr}, {index: 2, type: int}]
        """,
        lambda _: connect(family),
        lambda ends: [
            {
                "args": [
                    {"sock_arg": {"family": name, "type": "SOCK_STREAM", "cookie": str(ends.cookie), "dport": None}},
                    {"sockaddr_arg": {"family": name, "addr": host, "port": ends.destination}},
                    {"int_arg": 16 if family == socket.AF_INET else 28},
                ]
            }
        ],
        *BY_KPROBE,
    )


def packet(family: int) -> Row:
    name, host = names(family)
    size = 100 + 8 + (20 if family == socket.AF_INET else 40) + 14
    return learned(
        f"skb and net_device, {name}",
        """
        kprobes:
        - call: loopback_xmit
          syscall: false
          args: [{index: 0, type: skb}, {index: 1, type: net_device}]
        """,
        lambda _: send(family),
        lambda ends: [
            {
                "args": [
                    {
                        "skb_arg": {
                            "family": name,
                            "saddr": host,
                            "daddr": host,
                            "sport": ends.source,
                            "dport": ends.destination,
                            "proto": 17,
                            "protocol": "IPPROTO_UDP",
                            "len": size,
                        }
                    },
                    {"string_arg": "lo"},
                ]
            }
        ],
        *BY_KPROBE,
    )


BEHIND_EXTENSIONS = learned(
    "skb, AF_INET6 with extension headers",
    """
    kprobes:
    - call: loopback_xmit
      syscall: false
      args: [{index: 0, type: skb}]
      selectors:
      - matchArgs: [{index: 0, operator: Protocol, values: [IPPROTO_UDP]}]
    """,
    send_behind_extensions,
    lambda ends: [
        {"args": [{"skb_arg": {"sport": ends.source, "dport": ends.destination, "protocol": "IPPROTO_UDP"}}]}
    ],
    *BY_KPROBE,
)


def connect_unix(name: str | bytes) -> Any:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(name)
        server.listen()
        client.connect(name)
    return name


UNIX = """
        kprobes:
        - call: security_socket_connect
          syscall: false
          args: [{index: 1, type: sockaddr_un}, {index: 0, type: socket}]
"""
UNIX_ROWS = [
    learned(
        "sockaddr_un, path",
        UNIX,
        lambda d: connect_unix(str(d / "socket")),
        lambda name: [
            {"args": [{"sockaddrun_arg": {"family": "AF_UNIX", "path": name}}, {"sock_arg": {"family": "AF_UNIX"}}]}
        ],
        *BY_KPROBE,
    ),
    learned(
        "sockaddr_un, abstract",
        UNIX,
        lambda _: connect_unix(b"\0lictor test"),
        lambda _: [{"args": [{"sockaddrun_arg": {"family": "AF_UNIX", "path": "@lictor test"}}, {}]}],
        *BY_KPROBE,
    ),
    learned(
        "sockaddr_un, Equal and NotPrefix",
        UNIX
        + """
          selectors:
          - matchArgs:
            - {index: 1, operator: Equal, values: [DIR/socket, "@none"]}
            - {index: 1, operator: NotPrefix, values: ["@", /nowhere]}
        """,
        lambda d: [connect_unix(one) for one in (str(d / "socket"), str(d / "another"), b"\0none")],
        lambda made: [{"args": [{"sockaddrun_arg": {"path": made[0]}}, {}]}],
        *BY_KPROBE,
    ),
]


def connect_to_nowhere(_: Path) -> None:
    """An address that cannot be read, by the system call itself."""
    libc = ctypes.CDLL(None, use_errno=True)
    with socket.socket() as one:
        assert libc.connect(one.fileno(), ctypes.c_void_p(16), 16) == -1
        assert ctypes.get_errno() == 14


SYSCALL_CONNECT = """
        kprobes:
        - call: sys_connect
          args: [{index: 0, type: int}, {index: 1, type: sockaddr}]
"""
SYSCALL_ROWS = [
    learned(
        "sockaddr of a system call",
        SYSCALL_CONNECT,
        lambda _: connect(socket.AF_INET),
        lambda ends: [{"args": [{}, {"sockaddr_arg": {"addr": "127.0.0.1", "port": ends.destination}}]}],
    ),
    learned(
        "sockaddr that cannot be read",
        SYSCALL_CONNECT,
        connect_to_nowhere,
        lambda _: [{"args": [{}, {"error_arg": {"Message": os.strerror(14)}}]}],
    ),
    learned(
        "sockaddr that cannot be read matches nothing, negated neither",
        SYSCALL_CONNECT
        + """
          selectors:
          - matchArgs: [{index: 1, operator: NotSAddr, values: [10.0.0.0/8]}]
          - matchArgs: [{index: 1, operator: SAddr, values: [0.0.0.0/0]}]
        """,
        connect_to_nowhere,
        lambda _: [],
    ),
]


def condition(
    operator: str, values: str, ok: bool, family: int = socket.AF_INET, hook: str = "tcp_connect", kind: str = "sock"
) -> Row:
    """Whether a condition holds of a connection from and to this machine."""
    given = f", values: {values}" if values else ""
    return learned(
        f"{kind}, {operator} {values} {'holds' if ok else 'does not hold'}, {names(family)[0]}",
        f"""
        kprobes:
        - call: {hook}
          syscall: false
          args: [{{index: 0, type: {kind}}}]
          selectors:
          - matchArgs: [{{index: 0, operator: {operator}{given}}}]
        """,
        lambda _: connect(family) if kind == "sock" else send(family),
        lambda ends: [{"args": [{f"{kind}_arg": {"dport": ends.destination}}]}] if ok else [],
        *BY_KPROBE,
    )


V4, V6 = socket.AF_INET, socket.AF_INET6
MANY = ", ".join(f"10.{n}.0.0/16" for n in range(40))
SOCK_CONDITIONS = [
    condition("SAddr", "[127.0.0.1]", True),
    condition("SAddr", "[127.0.0.0/8, 10.0.0.0/8]", True),
    condition("SAddr", "[126.0.0.0/8]", False),
    condition("SAddr", f"[{MANY}]", False),
    condition("DAddr", "[0.0.0.0/0]", True),
    condition("DAddr", "['::1']", False),
    condition("NotDAddr", "['::1']", True),
    condition("NotSAddr", "[127.0.0.0/8]", False),
    condition("NotSAddr", f"[{MANY}]", True),
    condition("DAddr", "['::1']", True, V6),
    condition("DAddr", "['::/0']", True, V6),
    condition("DAddr", "['fe80::/10', 10.0.0.0/8]", False, V6),
    condition("NotDAddr", "['fe80::/10', 10.0.0.0/8]", True, V6),
    condition("SPort", "['1024:65535']", True),
    condition("NotSPort", "['1024:65535']", False),
    condition("DPort", "['1:1023', '80']", False),
    condition("DPort", "['22', '80', '443', '1024:40000', '40001:65535']", True),
    condition("NotDPort", "['22', '80', '443', '8080', '8443', '9090']", True),
    condition("SPortPriv", "", False),
    condition("NotSPortPriv", "", True),
    condition("DPortPriv", "", False),
    condition("NotDPortPriv", "", True),
    condition("Protocol", "[IPPROTO_TCP]", True),
    condition("Protocol", "['6', IPPROTO_UDP]", True),
    condition("Protocol", "[IPPROTO_UDP]", False),
    condition("Family", "[AF_INET]", True),
    condition("Family", "[AF_INET6]", False),
    condition("Family", "[AF_INET6, AF_UNIX]", True, V6),
    condition("State", "[TCP_SYN_SENT, TCP_LISTEN]", True),
    condition("State", "[TCP_ESTABLISHED]", False),
]
SKB_CONDITIONS = [
    condition(operator, values, ok, family, "loopback_xmit", "skb")
    for operator, values, ok, family in (
        ("SAddr", "[127.0.0.0/8]", True, V4),
        ("DAddr", "['::1/128']", True, V6),
        ("NotDAddr", "['::1/128']", False, V6),
        ("DPort", "['1024:65535']", True, V6),
        ("SPortPriv", "", False, V4),
        ("Protocol", "[IPPROTO_UDP]", True, V4),
        ("Family", "[AF_INET6]", True, V6),
        ("Family", "[AF_INET6]", False, V4),
    )
]


def mapped(_: Path) -> Ends:
    """A connection to an address of version 4, by a socket of version 6."""
    with bound(V4, socket.SOCK_STREAM) as server, socket.socket(V6) as client:
        server.listen()
        client.connect(("::ffff:127.0.0.1", server.getsockname()[1]))
        return Ends(client.getsockname()[1], server.getsockname()[1])


MAPPED_ROWS = [
    learned(
        f"an address of version 4 on a socket of version 6, {operator}",
        f"""
        kprobes:
        - call: security_socket_connect
          syscall: false
          args: [{{index: 1, type: sockaddr}}]
          selectors:
          - matchArgs: [{{index: 1, operator: {operator}, values: [127.0.0.0/8]}}]
        """,
        mapped,
        expected,
        *BY_KPROBE,
    )
    for operator, expected in (
        (
            "SAddr",
            lambda ends: [{"args": [{"sockaddr_arg": {"family": "AF_INET6", "port": ends.destination}}]}],
        ),
        ("NotSAddr", lambda _: []),
    )
]


def ping(_: Path) -> None:
    with socket.socket(V4, socket.SOCK_RAW, socket.IPPROTO_ICMP) as one:
        one.sendto(bytes([8, 0, 0xF7, 0xFF, 0, 0, 0, 0]), ("127.0.0.1", 0))


PORTLESS = learned(
    "a packet without ports satisfies no condition on ports",
    """
    kprobes:
    - call: loopback_xmit
      syscall: false
      args: [{index: 0, type: skb}]
      selectors:
      - matchArgs: [{index: 0, operator: NotSPort, values: ['1']}]
      - matchArgs: [{index: 0, operator: DPort, values: ['0:65535']}]
    """,
    ping,
    lambda _: [],
    *BY_KPROBE,
)

ROWS = [
    *(make(family) for make in (stream, address, packet) for family in (V4, V6)),
    BEHIND_EXTENSIONS,
    *UNIX_ROWS,
    *SYSCALL_ROWS,
    *SOCK_CONDITIONS,
    *SKB_CONDITIONS,
    *MAPPED_ROWS,
    PORTLESS,
]


@rows(ROWS)
def test_value(row: Row, bench: Bench, machine: Machine, tmp_path: Path) -> None:
    check(row, bench, machine, tmp_path)
