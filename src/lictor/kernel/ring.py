"""A ring buffer, drained in batches by one C call with the GIL released."""

from __future__ import annotations

from lictor.kernel.libbpf import KernelError, ffi, lib
from lictor.kernel.maps import Map


class Ring:
    """Reads a BPF_MAP_TYPE_RINGBUF. `fd` becomes readable when a record wakes the reader."""

    def __init__(self, ring_map: Map) -> None:
        self.fd = ring_map.fd
        self.size = ring_map.max_entries
        self._ring = lib.lictor_ring_open(ring_map.fd, ring_map.max_entries)
        if self._ring == ffi.NULL:
            raise KernelError(f"mapping ring {ring_map.name}", ffi.errno)
        self._stopped = ffi.new("unsigned long long *")

    def drain(self, buffer: bytearray) -> tuple[int, bool]:
        """Move whole records into `buffer`, each padded to 8 bytes. Gives bytes used, and whether it was too small."""
        view = ffi.from_buffer(buffer)
        used: int = lib.lictor_ring_drain(self._ring, view, len(buffer), self._stopped)
        ffi.release(view)
        return used, self._stopped[0] == 1

    def produced(self) -> int:
        """The kernel's position: bytes ever reserved."""
        return int(lib.lictor_ring_produced(self._ring))

    def consumed(self) -> int:
        """Our position: bytes ever taken out."""
        return int(lib.lictor_ring_consumed(self._ring))

    def close(self) -> None:
        if self._ring != ffi.NULL:
            lib.lictor_ring_close(self._ring)
            self._ring = ffi.NULL
