"""Who is calling, and what they may do.

Over a unix socket the kernel tells who connected. Over TCP only a client certificate says so; without one a caller is
nobody in particular.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from lictor.errors import LictorError

_SO_PEERGROUPS = getattr(socket, "SO_PEERGROUPS", 59)  # include/uapi/asm-generic/socket.h
_UCRED = struct.Struct("3i")
_GROUPS_BYTES = 1024  # the most that Python asks for: 256 groups


class Right(Enum):
    """What a method asks for."""

    NOTHING = "nothing"
    READ = "read events and state"
    WRITE = "change policies and settings"


@dataclass(frozen=True, slots=True)
class Caller:
    """`uid` and `gids` of a unix socket's peer; `names` of a verified client certificate."""

    uid: int | None = None
    gids: frozenset[int] = frozenset()
    names: frozenset[str] = frozenset()
    certified: bool = False

    def __str__(self) -> str:
        if self.uid is not None:
            return f"user {self.uid}"
        return f"the certificate of {', '.join(sorted(self.names)) or 'nobody'}" if self.certified else "a TCP client"


def caller(stream: Any) -> Caller:
    """Who is at the other end of a grpclib stream."""
    transport = stream.peer._transport
    ssl_object = transport.get_extra_info("ssl_object")
    if ssl_object is not None:
        found = ssl_object.getpeercert()
        return Caller(names=_names(found), certified=True) if found else Caller()
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family != socket.AF_UNIX:
        return Caller()
    with contextlib.closing(socket.socket(fileno=os.dup(sock.fileno()))) as peer:
        _, uid, gid = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        raw = b""
        with contextlib.suppress(OSError):  # more groups than that: the first one counts alone
            raw = peer.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
    return Caller(uid, frozenset({gid, *struct.unpack(f"{len(raw) // 4}I", raw)}))


def _names(certificate: dict[str, Any]) -> frozenset[str]:
    """Common name and alternative names."""
    subject = {value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"}
    return frozenset(subject | {value for _, value in certificate.get("subjectAltName", ())})


class Allowed:
    """A list of who may: user names or numbers, `group:NAME`, `certificate`, `certificate:NAME`, `anyone`."""

    def __init__(self, words: Iterable[str], option: str) -> None:
        self._anyone = False
        self._certificate = False
        self._uids: set[int] = set()
        self._gids: set[int] = set()
        self._names: set[str] = set()
        for word in words:
            self._add(word, option)

    def _add(self, word: str, option: str) -> None:
        kind, colon, name = word.partition(":")
        if word == "anyone":
            self._anyone = True
        elif word == "certificate":
            self._certificate = True
        elif kind == "certificate" and colon:
            self._names.add(name)
        elif kind == "group" and colon:
            self._gids.add(group_id(name, option))
        else:
            self._uids.add(_user(word, option))

    def __call__(self, who: Caller) -> bool:
        return (
            self._anyone
            or who.uid in self._uids
            or bool(who.gids & self._gids)
            or (who.certified and (self._certificate or bool(who.names & self._names)))
        )


def _user(word: str, option: str) -> int:
    if word.isdecimal():
        return int(word)
    try:
        return pwd.getpwnam(word).pw_uid
    except KeyError:
        raise LictorError(
            f"{option}: there is no user {word}",
            "name users, group:NAME, certificate, certificate:NAME or anyone",
        ) from None


def group_id(word: str, option: str) -> int:
    """The number of a group by name or number."""
    if word.isdecimal():
        return int(word)
    try:
        return grp.getgrnam(word).gr_gid
    except KeyError:
        raise LictorError(f"{option}: there is no group {word}", "create it, or name another") from None


class Access:
    """Who may read, and who may write; who may write may read. `refused` counts the calls of all others."""

    def __init__(self, readers: Allowed, writers: Allowed) -> None:
        self._readers = readers
        self._writers = writers
        self.refused = 0

    def permits(self, who: Caller, right: Right) -> bool:
        if right is Right.NOTHING or self._writers(who) or (right is Right.READ and self._readers(who)):
            return True
        self.refused += 1
        return False


READERS = ("anyone",)
WRITERS = ("root", "certificate")


def default() -> Access:
    """Anyone who can connect reads; root and holders of a certificate change things."""
    return Access(Allowed(READERS, "server-readers"), Allowed(WRITERS, "server-writers"))
