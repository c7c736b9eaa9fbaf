"""The same file by another way: io_uring, a bind mount, another root, a path that flips between check and use."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

from attacks.files import SECRET, opens, protected
from attacks.row import Attack, Ground, Strike
from attacks.syscalls import MOUNT, NAME_TO_HANDLE_AT, OPEN_BY_HANDLE_AT, attempt, call

_BIND = 0x1000
_LARGEST_HANDLE = 128
_FLIPS = "200"


def _succeeds(*command: str) -> bool:
    """Whether a program of `native/` says that the effect is there. Anything but yes and no is a fault of the test."""
    code = subprocess.run(command, check=False).returncode
    if code not in (0, 42):
        raise RuntimeError(f"{command[0]} ended with {code}")
    return code == 42


def read_by_uring(ground: Ground) -> Strike:
    path = protected("/root/.ssh", ground)
    return lambda: _succeeds(ground.program("uring"), "read", path, SECRET.decode())


def written_by_uring(ground: Ground) -> Strike:
    path = protected("/etc/sudoers.d", ground)

    def strike() -> bool:
        mark = os.urandom(4).hex()
        _succeeds(ground.program("uring"), "write", path, mark)
        return Path(path).read_bytes()[:8] == mark.encode()

    return strike


def flipped(ground: Ground) -> Strike:
    bad = protected("/root/.ssh", ground)
    good = protected("/root/.ssi", ground, b"nothing")
    return lambda: _succeeds(ground.program("flip"), good, bad, SECRET.decode(), _FLIPS)


def by_bind_mount(ground: Ground) -> Strike:
    protected("/root/.ssh", ground)
    place = Path(f"/opt/ssh-{ground.number}")
    place.mkdir()
    call(MOUNT, b"/root/.ssh", str(place).encode(), None, _BIND, None)
    return opens(f"{place}/attack-{ground.number}")


def by_handle(ground: Ground) -> Strike:
    """On a tmpfs, which has handles; its entries are always known by name."""
    vault = f"/root/.ssh/vault-{ground.number}"
    os.makedirs(vault)
    call(MOUNT, b"none", vault.encode(), b"tmpfs", 0, None)
    path = protected(vault, ground)
    handle = ctypes.create_string_buffer((_LARGEST_HANDLE - 8).to_bytes(4, "little"), _LARGEST_HANDLE)
    call(NAME_TO_HANDLE_AT, -100, path.encode(), handle, ctypes.create_string_buffer(4), 0)
    mount = os.open(vault, os.O_RDONLY)

    def strike() -> bool:
        descriptor = call(OPEN_BY_HANDLE_AT, mount, handle, os.O_RDONLY)
        try:
            return os.read(descriptor, 64) == SECRET
        finally:
            os.close(descriptor)

    return attempt(strike)


ATTACKS = (
    Attack("open by io_uring", "files/deny-open", read_by_uring, cost=8),
    Attack("write by io_uring", "files/deny-write", written_by_uring, cost=8),
    Attack("open with a path that flips", "files/deny-open", flipped, cost=16),
    Attack("open with a path that flips, rule on the system call", "files/kill-open", flipped, cost=16, detour=True),
    Attack("open by io_uring, rule on the system call", "files/kill-open", read_by_uring, cost=8, detour=True),
    Attack("open by a bind mount", "files/deny-open", by_bind_mount, detour=True),
    Attack("open by handle", "files/deny-open", by_handle),
)
