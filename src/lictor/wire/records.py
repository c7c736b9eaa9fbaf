"""Decoders: bytes from the rings become values. Anything that is no whole, known record is a `RecordError`.

The shapes are those of `bpf/include/records.h`, found through BTF (`wire.layout`).
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple, cast

from lictor.wire.btf import Btf
from lictor.wire.layout import compile_layout


class RecordError(ValueError):
    """A record that cannot be true: truncated, oversized, or of an unknown kind."""


class Kind(IntEnum):
    """enum record_kind"""

    CLONE = 1
    EXEC = 2
    EXIT = 3
    CHUNK = 4


class ProcessFlag(IntEnum):
    """enum process_flag: bits. IntEnum, because the operators of IntFlag cost microseconds each."""

    CLONED = 1
    EXECED = 2
    IN_INIT_TREE = 4
    KTHREAD = 8
    EXITED = 16
    TOMBSTONE = 32
    UNKNOWN = 64


class ExecFlag(IntEnum):
    """enum exec_flag: bits."""

    INTERPRETED = 1
    PATH_UNREACHABLE = 2
    PATH_DELETED = 4
    PATH_ERROR = 8
    CWD_UNREACHABLE = 16
    CWD_DELETED = 32
    CWD_ERROR = 64
    ARGS_ERROR = 128
    ARGS_TRUNCATED = 256
    ENV_ERROR = 512
    ENV_TRUNCATED = 1024
    FILENAME_ERROR = 2048
    RAISED_SETUID = 4096
    RAISED_SETGID = 8192
    RAISED_FILE_CAP = 16384
    RAISED_EXACT = 32768
    CGROUP_ERROR = 65536


class Field(IntEnum):
    """enum exec_field: what follows an exec record, in this order."""

    FILENAME = 0
    EXE = 1
    CWD = 2
    CGROUP = 3
    ARGS = 4
    ENV = 5


FIELDS = len(Field)
FIELD_SLOTS = 8


class Header(NamedTuple):
    """struct record_header: what every record starts with. `size` in bytes, `time` in boot-clock ns."""

    size: int
    kind: int
    flags: int
    cpu: int
    seq: int
    time: int


class Clone(NamedTuple):
    """struct clone_record"""

    time: int
    key_ktime: int
    key_tgid: int
    parent_ktime: int
    parent_tgid: int
    flags: int
    nspid: int


class Exit(NamedTuple):
    """struct exit_record. `code` as wait(2) gives it."""

    time: int
    key_ktime: int
    key_tgid: int
    tid: int
    parent_ktime: int
    parent_tgid: int
    flags: int
    code: int
    start: int


class Chunk(NamedTuple):
    """struct chunk_record, without its data."""

    key_ktime: int
    key_tgid: int
    field: int
    offset: int
    len: int


class Exec(NamedTuple):
    """struct exec_record. `cred` and `ns` stay packed: few distinct ones exist, so they are looked up whole."""

    time: int
    key_ktime: int
    key_tgid: int
    tid: int
    previous: int
    parent_ktime: int
    parent_tgid: int
    start: int
    cgroup_id: int
    inode: int
    cred: bytes
    ns: bytes
    dev: int
    nlink: int
    mode: int
    process_flags: int
    exec_flags: int
    nspid: int
    session: int
    tty: int
    args_total: int
    env_total: int
    inline_0: int
    inline_1: int
    inline_2: int
    inline_3: int
    inline_4: int
    inline_5: int
    inline_6: int
    inline_7: int
    chained_0: int
    chained_1: int
    chained_2: int
    chained_3: int
    chained_4: int
    chained_5: int
    chained_6: int
    chained_7: int


class Credentials(NamedTuple):
    """struct credentials. `loginuid` 4294967295 is unset; the capability sets are bit masks."""

    uid: int
    gid: int
    euid: int
    egid: int
    suid: int
    sgid: int
    fsuid: int
    fsgid: int
    securebits: int
    loginuid: int
    user_ns_level: int
    user_ns_uid: int
    user_ns_gid: int
    inheritable: int
    permitted: int
    effective: int


class NamespaceInodes(NamedTuple):
    """struct namespaces: inode numbers, 0 where the kernel has none of the kind."""

    uts: int
    ipc: int
    mnt: int
    pid: int
    pid_for_children: int
    net: int
    time: int
    time_for_children: int
    cgroup: int
    user: int


_INLINE = Exec._fields.index("inline_0")
_CHAINED = Exec._fields.index("chained_0")
_EXEC_FIELDS = (*Exec._fields[:_INLINE], "inline_len*8", "chained_len*8")


class Decoder:
    """Unpacks the records of one loaded object."""

    def __init__(self, btf: Btf) -> None:
        def layout(name: str, fields: tuple[str, ...]) -> struct.Struct:
            return compile_layout(btf, name, fields)

        self.header = layout("record_header", Header._fields).unpack_from
        self.header_size = btf.size_of("record_header")
        self._clone = layout("clone_record", Clone._fields)
        self._exit = layout("exit_record", Exit._fields)
        self._chunk = layout("chunk_record", Chunk._fields)
        self._chunk_data = next(m for m in btf.struct("chunk_record") if m.name == "data")
        self._exec = layout("exec_record", _EXEC_FIELDS)
        self._credentials = layout("credentials", Credentials._fields)
        self._namespaces = layout("namespaces", NamespaceInodes._fields)

    def clone(self, buffer: bytes | bytearray, at: int, size: int) -> Clone:
        self._fits(size, self._clone.size, self._clone.size)
        return Clone._make(self._clone.unpack_from(buffer, at))

    def exit(self, buffer: bytes | bytearray, at: int, size: int) -> Exit:
        self._fits(size, self._exit.size, self._exit.size)
        return Exit._make(self._exit.unpack_from(buffer, at))

    def chunk(self, buffer: bytes | bytearray, at: int, size: int) -> tuple[Chunk, bytes]:
        """A piece of a long field, and its bytes."""
        self._fits(size, self._chunk.size, self._chunk.size)
        chunk = Chunk._make(self._chunk.unpack_from(buffer, at))
        if chunk.len > self._chunk_data.size or chunk.field >= len(Field):
            raise RecordError(f"a chunk of {chunk.len} bytes of field {chunk.field}")
        start = at + self._chunk_data.offset
        return chunk, bytes(buffer[start : start + chunk.len])

    def exec(self, buffer: bytes | bytearray, at: int, size: int) -> tuple[Exec, bytes]:
        """An exec record, and the variable data behind it: the fields one after another."""
        fixed = self._exec.size
        self._fits(size, fixed, len(buffer))
        record = Exec._make(self._exec.unpack_from(buffer, at))
        if fixed + sum(cast(tuple[int, ...], record[_INLINE:_CHAINED])) > size:
            raise RecordError("an exec record whose fields reach beyond it")
        return record, bytes(buffer[at + fixed : at + size])

    def credentials(self, packed: bytes) -> Credentials:
        return Credentials._make(self._credentials.unpack(packed))

    def namespaces(self, packed: bytes) -> NamespaceInodes:
        return NamespaceInodes._make(self._namespaces.unpack(packed))

    @staticmethod
    def _fits(size: int, least: int, most: int) -> None:
        if not least <= size <= most:
            raise RecordError(f"{size} bytes where {least} to {most} were expected")


def lengths(record: Exec) -> zip[tuple[int, int]]:
    """Of each `Field` in order: bytes behind the record itself, and bytes sent ahead as chunks."""
    values = cast(tuple[int, ...], record[_INLINE:])
    return zip(values[:FIELDS], values[FIELD_SLOTS:], strict=False)
