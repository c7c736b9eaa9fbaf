"""Decoders: bytes from the rings become values. Anything that is no whole, known record is a `RecordError`.

The shapes are those of `bpf/include/records.h`, found through BTF (`wire.layout`).
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

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
    HOOK = 5
    PIECE = 6


class ProcessFlag(IntEnum):
    """enum process_flag: bits. IntEnum, because the operators of IntFlag cost microseconds each."""

    CLONED = 1
    EXECED = 2
    IN_INIT_TREE = 4
    KTHREAD = 8
    EXITED = 16
    TOMBSTONE = 32
    UNKNOWN = 64
    UNTOLD = 128


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
    """enum exec_field: what follows an exec record, the highest first."""

    ENV = 0
    ARGS = 1
    CGROUP = 2
    CWD = 3
    EXE = 4
    FILENAME = 5


FIELD_SLOTS = 8
NOTHING_CHAINED = bytes(4 * FIELD_SLOTS)


class Header(NamedTuple):
    """struct record_header: what every record starts with. `size` in bytes, `time` in boot-clock ns."""

    size: int
    kind: int
    flags: int
    cpu: int
    seq: int
    time: int


# Records of the priority ring are plain tuples: a named one costs more than all the rest of its decoding.
# struct clone_record: time, ktime, tgid, parent's ktime and tgid, flags
Clone = tuple[int, int, int, int, int, int]
_CLONE_FIELDS = ("time", "key_ktime", "key_tgid", "parent_ktime", "parent_tgid", "flags")
# struct exit_record: time, ktime, tgid, parent's ktime and tgid, flags, code as wait(2) gives it
Exit = tuple[int, int, int, int, int, int, int]
_EXIT_FIELDS = (*_CLONE_FIELDS, "code")
# struct exec_record, the part that differs from exec to exec: time, ktime, tgid, ktime of the image before, parent's
# ktime and tgid, bytes of arguments and of environment there were, lengths of chained fields, common, args, env.
# `common` is the rest, packed: it is the same for many execs, so it is looked up whole, and decoded
# (`Decoder.common`) only when it is new.
Exec = tuple[int, int, int, int, int, int, int, int, bytes, bytes, bytes, bytes]
_EXEC_FIELDS = (
    "time", "key_ktime", "key_tgid", "previous", "parent_ktime", "parent_tgid", "args_total", "env_total",
    "chained_len", "inline_len*8",
)  # fmt: skip


class Chunk(NamedTuple):
    """struct chunk_record, without its data."""

    key_ktime: int
    key_tgid: int
    field: int
    offset: int
    len: int


class Common(NamedTuple):
    """What execs of one program by one user in one place share. `cred` and `ns` stay packed, for the same reason."""

    process_flags: int
    exec_flags: int
    session: int
    tty: int
    dev: int
    nlink: int
    mode: int
    ns: bytes
    cred: bytes
    cgroup_id: int
    inode: int
    filename: bytes
    exe: bytes
    cwd: bytes
    cgroup: bytes


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


_COMMON_FIELDS = ("inline_len*8", *Common._fields[: Common._fields.index("filename")])


class Decoder:
    """Unpacks the records of one loaded object."""

    def __init__(self, btf: Btf) -> None:
        def layout(name: str, fields: tuple[str, ...]) -> struct.Struct:
            return compile_layout(btf, name, fields)

        self.header = layout("record_header", Header._fields).unpack_from
        self.header_size = btf.size_of("record_header")
        self._clone = layout("clone_record", _CLONE_FIELDS)
        self._exit = layout("exit_record", _EXIT_FIELDS)
        self._chunk = layout("chunk_record", Chunk._fields)
        self._chunk_data = next(m for m in btf.struct("chunk_record") if m.name == "data")
        self._exec = layout("exec_record", _EXEC_FIELDS)
        self._common = layout("exec_record", _COMMON_FIELDS)
        lengths = next(m for m in btf.struct("exec_record") if m.name == "inline_len")
        self._common_at = lengths.offset + lengths.size // lengths.count * Field.CGROUP
        self._credentials = layout("credentials", Credentials._fields)
        self._namespaces = layout("namespaces", NamespaceInodes._fields)

    def clone(self, batch: bytes, at: int, size: int) -> Clone:
        self._fits(size, self._clone.size, self._clone.size)
        return self._clone.unpack_from(batch, at)

    def exit(self, batch: bytes, at: int, size: int) -> Exit:
        self._fits(size, self._exit.size, self._exit.size)
        return self._exit.unpack_from(batch, at)

    def chunk(self, batch: bytes, at: int, size: int) -> tuple[Chunk, bytes]:
        """A piece of a long field, and its bytes."""
        self._fits(size, self._chunk.size, self._chunk.size)
        chunk = Chunk._make(self._chunk.unpack_from(batch, at))
        if chunk.len > self._chunk_data.size or chunk.field >= len(Field):
            raise RecordError(f"a chunk of {chunk.len} bytes of field {chunk.field}")
        start = at + self._chunk_data.offset
        return chunk, batch[start : start + chunk.len]

    def exec(self, batch: bytes, at: int, size: int) -> Exec:
        fixed = self._exec.size
        if not fixed <= size <= len(batch) - at:
            raise RecordError(f"an exec record of {size} bytes where at least {fixed} were expected")
        # One by one: this runs for every exec, and a starred target would make a list of each.
        (
            time, ktime, tgid, previous, parent_ktime, parent_tgid, args_total, env_total,
            chained, env, args, cgroup, cwd, exe, filename, _, _,
        ) = self._exec.unpack_from(batch, at)  # fmt: skip
        paths_end = at + fixed + filename + exe + cwd + cgroup
        args_end = paths_end + args
        if args_end + env > at + size:
            raise RecordError("an exec record whose fields reach beyond it")
        return (
            time, ktime, tgid, previous, parent_ktime, parent_tgid, args_total, env_total, chained,
            batch[at + self._common_at : paths_end], batch[paths_end:args_end], batch[args_end : args_end + env],
        )  # fmt: skip

    def common(self, packed: bytes) -> Common:
        """The shared part of an exec record, as `exec` gives it."""
        values = self._common.unpack_from(bytes(self._common_at) + packed)
        at = self._common.size - self._common_at
        paths = []
        for field in (Field.FILENAME, Field.EXE, Field.CWD, Field.CGROUP):
            paths.append(packed[at : at + values[field]])
            at += values[field]
        return Common(*values[FIELD_SLOTS:], *paths)

    @staticmethod
    def chained(lengths: bytes, field: Field) -> int:
        """Bytes of a field that were sent ahead as chunks, from the lengths in an exec record."""
        return int.from_bytes(lengths[4 * field : 4 * field + 4], "little")

    def credentials(self, packed: bytes) -> Credentials:
        return Credentials._make(self._credentials.unpack(packed))

    def namespaces(self, packed: bytes) -> NamespaceInodes:
        return NamespaceInodes._make(self._namespaces.unpack(packed))

    @staticmethod
    def _fits(size: int, least: int, most: int) -> None:
        if not least <= size <= most:
            raise RecordError(f"{size} bytes where {least} to {most} were expected")
