"""What changes the machine: mounts, modules, BPF, kexec, the clock."""

from __future__ import annotations

import ctypes
import lzma
import os
import struct
import threading
import time
from pathlib import Path

from attacks.row import Attack, Ground, Outcome, Strike
from attacks.syscalls import (
    BPF,
    CLOCK_ADJTIME,
    CLOCK_SETTIME,
    DELETE_MODULE,
    FINIT_MODULE,
    INIT_MODULE,
    KEXEC_FILE_LOAD,
    KEXEC_LOAD,
    MOUNT,
    MOUNT_SETATTR,
    MOVE_MOUNT,
    OPEN_TREE,
    UMOUNT2,
    attempt,
    call,
    refused,
    succeeds,
)

_one_at_a_time = threading.Lock()  # for what there is only one of in the machine
_BIND = 0x1000
_DETACH = 2
_NO_INITRAMFS = 4
_NOEXEC = 8  # MOUNT_ATTR_NOEXEC
_MODULES = ("6.1", "6.12")  # the others have none that could be loaded


def _place(kind: str, ground: Ground) -> str:
    path = Path(f"/opt/{kind}-{ground.number}")
    path.mkdir(parents=True, exist_ok=True)
    return str(path)


def mounted(ground: Ground) -> Strike:
    place = _place("mount", ground)

    def strike() -> bool:
        refused(lambda: call(MOUNT, b"none", place.encode(), b"tmpfs", 0, None))
        return os.path.ismount(place) and call(UMOUNT2, place.encode(), _DETACH) == 0

    return strike


def bind_mounted(ground: Ground) -> Strike:
    place = _place("bind", ground)

    def strike() -> bool:
        refused(lambda: call(MOUNT, b"/etc", place.encode(), None, _BIND, None))
        if not os.path.exists(f"{place}/passwd"):
            return False
        return call(UMOUNT2, place.encode(), _DETACH) == 0

    return strike


def mount_moved(ground: Ground) -> Strike:
    place = _place("moved", ground)

    def strike() -> bool:
        tree = call(OPEN_TREE, -100, b"/etc", 1 | os.O_CLOEXEC)
        try:
            refused(lambda: call(MOVE_MOUNT, tree, b"", -100, place.encode(), 4))
        finally:
            os.close(tree)
        return os.path.exists(f"{place}/passwd") and call(UMOUNT2, place.encode(), _DETACH) == 0

    return attempt(strike)


def mount_detached(ground: Ground) -> Strike:
    """A copy of a mount that is put nowhere: its files are reached by its descriptor."""
    del ground

    def strike() -> bool:
        tree = call(OPEN_TREE, -100, b"/etc", 1 | os.O_CLOEXEC)
        try:
            return os.path.exists(f"/proc/self/fd/{tree}/passwd")
        finally:
            os.close(tree)

    return attempt(strike)


def mount_changed(ground: Ground) -> Strike:
    """The attributes of a mount, by the call that no hook asks about."""
    place = _place("changed", ground)
    call(MOUNT, b"none", place.encode(), b"tmpfs", 0, None)

    def strike() -> bool:
        before = bool(os.statvfs(place).f_flag & os.ST_NOEXEC)
        change = struct.pack("<QQQQ", 0 if before else _NOEXEC, _NOEXEC if before else 0, 0, 0)
        refused(lambda: call(MOUNT_SETATTR, -100, place.encode(), 0, ctypes.create_string_buffer(change, 32), 32))
        return bool(os.statvfs(place).f_flag & os.ST_NOEXEC) != before

    return strike


def pivoted(ground: Ground) -> Strike:
    place = _place("root", ground)
    Path(place, "here").touch()

    return lambda: succeeds(ground.program("own"), "pivot", place)


def _module() -> bytes:
    """Some module of this kernel that is not loaded."""
    cache = Path(os.environ.get("LICTOR_VM_DIR", Path.home() / ".cache" / "lictor-vm"))
    found = next(cache.glob(f"*/lib/modules/{os.uname().release}/kernel/drivers/net/dummy.ko*"))
    content = found.read_bytes()
    return lzma.decompress(content) if found.suffix == ".xz" else content


def _loads(load: Strike) -> Strike:
    def strike() -> bool:
        with _one_at_a_time:
            load()
            if not os.path.exists("/sys/module/dummy"):
                return False
            call(DELETE_MODULE, b"dummy", 0)
            return True

    return strike


def module_from_file(ground: Ground) -> Strike:
    path = Path(f"/opt/module-{ground.number}.ko")
    path.write_bytes(_module())
    descriptor = os.open(path, os.O_RDONLY)
    return _loads(lambda: refused(lambda: call(FINIT_MODULE, descriptor, b"numdummies=0", 0)))


def module_from_memory(ground: Ground) -> Strike:
    del ground
    image = _module()
    return _loads(lambda: refused(lambda: call(INIT_MODULE, image, len(image), b"numdummies=0")))


def bpf_map(ground: Ground) -> Strike:
    del ground
    attributes = ctypes.create_string_buffer(struct.pack("<IIII", 2, 4, 4, 1), 72)

    def strike() -> bool:
        descriptor = call(BPF, 0, attributes, 72)
        os.close(descriptor)
        return True

    return attempt(strike)


def bpf_program(ground: Ground) -> Strike:
    del ground
    code = ctypes.create_string_buffer(struct.pack("<QQ", 0xB7, 0x95), 16)  # r0 = 0; exit
    terms = ctypes.create_string_buffer(b"GPL")
    attributes = ctypes.create_string_buffer(
        struct.pack("<IIQQ", 1, 2, ctypes.addressof(code), ctypes.addressof(terms)), 128
    )

    def strike() -> bool:
        descriptor = call(BPF, 5, attributes, 128)
        os.close(descriptor)
        return bool(code and terms)

    return attempt(strike)


def kexec(ground: Ground) -> Strike:
    del ground
    image = ctypes.create_string_buffer(4096)
    segment = ctypes.create_string_buffer(struct.pack("<QQQQ", ctypes.addressof(image), 4096, 0x1000000, 4096), 32)
    loaded = Path("/sys/kernel/kexec_loaded")

    def strike() -> bool:
        with _one_at_a_time:
            refused(lambda: call(KEXEC_LOAD, 0x1000000, 1, segment, 0))
            if loaded.read_text() != "1\n":
                return False
            return call(KEXEC_LOAD, 0, 0, None, 0) == 0

    return strike


def kexec_from_a_file(ground: Ground) -> Strike:
    del ground
    cache = Path(os.environ.get("LICTOR_VM_DIR", Path.home() / ".cache" / "lictor-vm"))
    image = os.open(next(cache.glob(f"*/boot/vmlinuz-{os.uname().release}")), os.O_RDONLY)
    loaded = Path("/sys/kernel/kexec_loaded")

    def strike() -> bool:
        with _one_at_a_time:
            refused(lambda: call(KEXEC_FILE_LOAD, image, -1, 1, b"", _NO_INITRAMFS))
            if loaded.read_text() != "1\n":
                return False
            return call(KEXEC_LOAD, 0, 0, None, 0) == 0

    return strike


def _offset() -> float:
    return time.clock_gettime(time.CLOCK_REALTIME) - time.clock_gettime(time.CLOCK_BOOTTIME)


def clock_set(ground: Ground) -> Strike:
    del ground

    def strike() -> bool:
        with _one_at_a_time:
            before = _offset()
            wanted = int(time.clock_gettime(time.CLOCK_REALTIME)) + 1000
            refused(lambda: call(CLOCK_SETTIME, 0, ctypes.create_string_buffer(struct.pack("<qq", wanted, 0), 16)))
            return abs(_offset() - before) > 500

    return strike


def clock_adjusted(ground: Ground) -> Strike:
    """An offset given to adjtime is not asked about by the hook for setting the clock."""
    del ground

    def strike() -> bool:
        with _one_at_a_time:
            before = _offset()
            change = ctypes.create_string_buffer(208)
            struct.pack_into("<I", change, 0, 0x0100)  # ADJ_SETOFFSET
            struct.pack_into("<qq", change, 72, 1000, 0)
            refused(lambda: call(CLOCK_ADJTIME, 0, change))
            return abs(_offset() - before) > 500

    return strike


_BY_CAPABILITY = "privileges/deny-sys-admin"
ATTACKS = (
    Attack("mount", "mounts/deny-mount", mounted, cost=2),
    Attack("bind mount", "mounts/deny-mount", bind_mounted, cost=2),
    Attack("move_mount", "mounts/deny-mount", mount_moved, cost=2),
    Attack("mount put nowhere", "mounts/deny-mount", mount_detached, outcome=Outcome.DETOUR),
    Attack("mount changed by mount_setattr", "mounts/deny-mount", mount_changed, outcome=Outcome.DETOUR),
    Attack("mount put nowhere, by capability", _BY_CAPABILITY, mount_detached),
    Attack("mount changed, by capability", _BY_CAPABILITY, mount_changed),
    Attack("pivot_root", "mounts/deny-pivot-root", pivoted, cost=8),
    Attack("module from a file", "kernel/deny-modules", module_from_file, kernels=_MODULES, cost=50),
    Attack("module from memory", "kernel/deny-modules", module_from_memory, kernels=_MODULES, cost=50),
    Attack("bpf map", "kernel/deny-bpf", bpf_map),
    Attack("bpf program", "kernel/deny-bpf", bpf_program),
    Attack("kexec", "kernel/deny-kexec", kexec, cost=4),
    Attack("kexec from a file", "kernel/deny-kexec", kexec_from_a_file, cost=50),
    Attack("set the clock", "kernel/deny-clock", clock_set, cost=2),
    Attack("adjust the clock", "kernel/deny-clock", clock_adjusted, cost=2, outcome=Outcome.DETOUR),
)
