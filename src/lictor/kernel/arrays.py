"""Arrays shared with the kernel by memory (BPF_F_MMAPABLE): written without a system call, published by one store."""

from __future__ import annotations

import mmap
from typing import Any

from lictor.kernel.libbpf import KernelError, check, ffi, lib
from lictor.kernel.maps import Map


class SharedArray:
    """The elements of a BPF_MAP_TYPE_ARRAY. `size` is an element's bytes, `stride` from one to the next."""

    def __init__(self, array: Map) -> None:
        self.name = array.name
        self.size = array.value_size
        self.stride = -(-array.value_size // 8) * 8
        self.entries = array.max_entries
        self._bytes = -(-self.stride * self.entries // mmap.PAGESIZE) * mmap.PAGESIZE
        self._memory: Any = lib.lictor_map_array(array.fd, self._bytes)
        if self._memory == ffi.NULL:
            raise KernelError(f"mapping {array.name}", ffi.errno)
        self.view: memoryview = memoryview(ffi.buffer(self._memory, self._bytes))

    def write(self, index: int, value: bytes) -> None:
        """Fill an element that nothing in the kernel leads to."""
        at = index * self.stride
        self.view[at : at + len(value)] = value

    def read(self, index: int) -> bytes:
        at = index * self.stride
        return bytes(self.view[at : at + self.size])

    def store32(self, index: int, offset: int, value: int) -> None:
        """Change four bytes of an element at once."""
        lib.lictor_store32(self._memory + index * self.stride + offset, value)

    def store64(self, index: int, offset: int, value: int) -> None:
        lib.lictor_store64(self._memory + index * self.stride + offset, value)

    def add64(self, index: int, offset: int, change: int) -> None:
        """Count in eight bytes of an element that the kernel counts in, too."""
        lib.lictor_add64(self._memory + index * self.stride + offset, change)

    def close(self) -> None:
        if self._memory != ffi.NULL:
            self.view.release()
            lib.lictor_unmap_array(self._memory, self._bytes)
            self._memory = ffi.NULL


def grace_period() -> None:
    """Wait until every BPF program that runs now has ended. Milliseconds, or tens of them on a busy machine."""
    check("waiting for running programs", lib.lictor_grace_period())


def string_key(seed: bytes, set_id: int, text: bytes) -> bytes:
    """The key of a string in a set (bpf/match/strings.h). `seed` is 16 bytes."""
    key = ffi.new("__u64[2]")
    lib.lictor_hash(ffi.cast("__u64 *", ffi.from_buffer(seed)), set_id, ffi.from_buffer(text), len(text), key)
    return bytes(ffi.buffer(key))
