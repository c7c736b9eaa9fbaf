"""Addresses of the API: `unix:///path`, `host:port` or `[v6]:port`. Opening, and keeping a stale socket apart from a
living one."""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from lictor.errors import LictorError

SOCKET_MODE = 0o660


@dataclass(frozen=True, slots=True)
class Address:
    """Either `path` is set, or `host` and `port`."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"unix://{self.path}" if self.path else f"{self.host}:{self.port}"


def parse(text: str) -> Address:
    """Raises LictorError for what is no address. `unix:path` is taken like `unix:///path`; no host is localhost."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:").removeprefix("//")
        if not path or len(os.fsencode(path)) > 107:  # sockaddr_un (unix(7))
            raise _bad(text, "the path must have 1 to 107 bytes")
        return Address(path=path)
    if text.startswith("/"):
        return parse(f"unix://{text}")
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise _bad(text, "write unix:///path/to.sock or host:port")
    return Address(host=host.strip("[]") or "localhost", port=int(port))


def _bad(text: str, remedy: str) -> LictorError:
    return LictorError(f"{text!r} is no server address", remedy)


def listen(address: Address, group: int = -1) -> list[socket.socket]:
    """Bound, listening sockets of an address; `group` is that of a socket file. Raises LictorError when it cannot be
    had.
    """
    try:
        return [_listen_unix(address.path, group)] if address.path else _listen_tcp(address)
    except OSError as error:
        raise LictorError(
            f"the API cannot listen on {address}: {error.strerror}", "choose another --server-address"
        ) from error


def _listen_tcp(address: Address) -> list[socket.socket]:
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, target in dict.fromkeys(found):
            sockets.append(one := socket.socket(family, kind, protocol))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(target)
            one.listen()
    except OSError:
        for one in sockets:
            one.close()
        raise
    return sockets


def _listen_unix(path: str, group: int) -> socket.socket:
    Path(path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    _remove_stale(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode is set before anybody can connect: nothing listens yet.
    try:
        before = os.umask(0o777 & ~SOCKET_MODE)
        try:
            bound.bind(path)
        finally:
            os.umask(before)
        os.chown(path, -1, group)
        bound.listen()
    except OSError:
        bound.close()
        raise
    return bound


def _remove_stale(path: str) -> None:
    """Take away the socket of an agent that is gone; leave that of a living one, and whatever is no socket."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise LictorError(f"{path} exists and is no socket", "remove it, or choose another --server-address")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError:
            pass  # a full backlog, for example: somebody listens
    raise LictorError(
        f"another agent serves {path}", "stop it, or give this one another --server-address (an empty one for none)"
    )
