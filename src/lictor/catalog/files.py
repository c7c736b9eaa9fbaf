"""Kinds of files by the names that policies give them: the type bits of `i_mode` (include/uapi/linux/stat.h)."""

from __future__ import annotations

FILE_TYPES = {
    "sock": 0o140000, "socket": 0o140000, "lnk": 0o120000, "link": 0o120000, "reg": 0o100000, "regular": 0o100000,
    "blk": 0o060000, "block": 0o060000, "dir": 0o040000, "chr": 0o020000, "char": 0o020000, "fifo": 0o010000,
    "pipe": 0o010000,
}  # fmt: skip
