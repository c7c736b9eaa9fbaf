"""Maps: lookups and updates by bytes. Shapes are the business of `wire`."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from typing import Any

from lictor.kernel.libbpf import KernelError, ffi, lib, possible_cpus

HASH = 1
_SIZES = (32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192, 16384)  # that the kernel's allocator has
PERCPU_TYPES = frozenset({5, 6, 9})  # hash, array, LRU hash (enum bpf_map_type)


class Map:
    """A map of a loaded object. Keys and values are bytes of exactly `key_size` and `value_size`."""

    def __init__(self, pointer: Any) -> None:
        self.fd: int = lib.bpf_map__fd(pointer)
        self.name: str = ffi.string(lib.bpf_map__name(pointer)).decode()
        self.key_size: int = lib.bpf_map__key_size(pointer)
        self.max_entries: int = lib.bpf_map__max_entries(pointer)
        self._cpus = possible_cpus() if lib.bpf_map__type(pointer) in PERCPU_TYPES else 0
        self._type: int = lib.bpf_map__type(pointer)
        size: int = lib.bpf_map__value_size(pointer)
        self.value_size = size
        # The kernel copies per-CPU values out with each rounded up to 8 bytes.
        self._room = -(-size // 8) * 8 * self._cpus if self._cpus else size
        self._value = ffi.new("char[]", max(self._room, 1))

    def lookup(self, key: bytes) -> bytes | None:
        """The value, or None. For a per-CPU map use `per_cpu`."""
        result = lib.bpf_map_lookup_elem(self.fd, key, self._value)
        if result == -errno.ENOENT:
            return None
        self._check("looking up", result)
        return bytes(ffi.buffer(self._value, self._room))

    def per_cpu(self, key: bytes) -> list[bytes]:
        """One value per possible CPU."""
        raw = self.lookup(key)
        if raw is None:
            return []
        step = self._room // self._cpus
        return [raw[i * step : i * step + self.value_size] for i in range(self._cpus)]

    def update(self, key: bytes, value: bytes, flags: int = 0) -> bool:
        """Store a value. False: BPF_NOEXIST (1) found one, or BPF_EXIST (2) found none."""
        result = lib.bpf_map_update_elem(self.fd, key, value, flags)
        if result in (-errno.EEXIST, -errno.ENOENT):
            return False
        self._check("updating", result)
        return True

    def update_many(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Store many values by one system call (BPF_MAP_UPDATE_BATCH)."""
        if pairs:
            keys, values = b"".join(k for k, _ in pairs), b"".join(v for _, v in pairs)
            self._check("filling", lib.lictor_update_batch(self.fd, keys, values, len(pairs)))

    def delete(self, key: bytes) -> bool:
        """False: there was none."""
        result = lib.bpf_map_delete_elem(self.fd, key)
        if result == -errno.ENOENT:
            return False
        self._check("deleting from", result)
        return True

    def memory(self) -> int:
        """Bytes that the map holds in the kernel now. Of hashes, which have no element before it is stored, that is
        computed from their elements: kernels before 6.4 tell of them as if they were full."""
        if self._type != HASH:
            return int(lib.lictor_map_bytes(self.fd))
        fixed = 16 << (self.max_entries - 1).bit_length()
        return fixed + self.element * sum(1 for _ in self.keys())

    @property
    def element(self) -> int:
        """Bytes that an element of a hash takes of the kernel's allocator: struct htab_elem and a list node, too."""
        size = -(-self.key_size // 8) * 8 + -(-self.value_size // 8) * 8 + 56
        return next((one for one in _SIZES if one >= size), size)

    def take(self, key: bytes) -> bytes | None:
        """Look up and delete in one step (`BPF_MAP_LOOKUP_AND_DELETE_ELEM`)."""
        result = lib.bpf_map_lookup_and_delete_elem(self.fd, key, self._value)
        if result == -errno.ENOENT:
            return None
        self._check("taking from", result)
        return bytes(ffi.buffer(self._value, self._room))

    def keys(self) -> Iterator[bytes]:
        """All keys; those that come and go meanwhile may be missed or seen."""
        current: Any = ffi.NULL
        while True:
            following = ffi.new("char[]", self.key_size)
            if lib.bpf_map_get_next_key(self.fd, current, following):
                return
            yield bytes(ffi.buffer(following, self.key_size))
            current = following

    def _check(self, doing: str, result: int) -> None:
        if result < 0:
            raise KernelError(f"{doing} map {self.name}", -result)
