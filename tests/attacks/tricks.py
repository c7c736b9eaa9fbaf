"""The same file by another way: io_uring, a bind mount, another root, a renamed directory, a path that flips between
check and use."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import subprocess
import threading
from pathlib import Path

from attacks.files import SECRET, opens, protected
from attacks.row import Attack, Ground, Outcome, Strike
from attacks.syscalls import (
    ACCT,
    MOUNT,
    NAME_TO_HANDLE_AT,
    OPEN_BY_HANDLE_AT,
    OPEN_TREE,
    RENAMEAT2,
    attempt,
    call,
    in_child,
    refused,
    succeeds,
)

_BIND = 0x1000
_OPEN_TREE_CLONE = 1
_LARGEST_HANDLE = 128
_FLIPS = "200"
_EXCHANGE = 2
_one_at_a_time = threading.Lock()  # for what there is only one of in the machine


def read_by_uring(ground: Ground) -> Strike:
    path = protected("/root/.ssh", ground)
    return lambda: succeeds(ground.program("uring"), "read", path, SECRET.decode())


def written_by_uring(ground: Ground) -> Strike:
    path = protected("/etc/sudoers.d", ground)

    def strike() -> bool:
        mark = os.urandom(4).hex()
        succeeds(ground.program("uring"), "write", path, mark)
        return Path(path).read_bytes()[:8] == mark.encode()

    return strike


def flipped(ground: Ground) -> Strike:
    bad = protected("/root/.ssh", ground)
    good = protected("/root/.ssi", ground, b"nothing")
    return lambda: succeeds(ground.program("flip"), good, bad, SECRET.decode(), _FLIPS)


def _elsewhere(ground: Ground) -> Path:
    """A file that is protected where its directory is mounted too. On a tmpfs: overlayfs shows rules another path."""
    free, guarded = Path(f"/dev/shm/free-{ground.number}"), f"/root/.ssh/mounted-{ground.number}"
    os.makedirs(guarded)
    path = Path(protected(f"{free}/directory", ground))
    call(MOUNT, str(path.parent).encode(), guarded.encode(), None, _BIND, None)
    return path


def by_bind_mount(ground: Ground) -> Strike:
    return opens(str(_elsewhere(ground)))


def by_hard_link(ground: Ground) -> Strike:
    path = _elsewhere(ground)
    link = path.parent.parent / "innocent"
    os.link(path, link)
    return opens(str(link))


def _in_vault(ground: Ground) -> str:
    """A protected file on a tmpfs of its own: overlayfs shows rules another path."""
    vault = f"/root/.ssh/vault-{ground.number}"
    os.makedirs(vault)
    call(MOUNT, b"none", vault.encode(), b"tmpfs", 0, None)
    return protected(vault, ground)


def below_another_root(ground: Ground) -> Strike:
    """Paths are those that the process sees."""
    path = Path(_in_vault(ground))

    def look() -> bool:
        os.chroot(path.parent)
        return opens(f"/{path.name}")()

    return lambda: in_child(look)


def in_a_renamed_directory(ground: Ground) -> Strike:
    inside, outside = f"/root/.ssh/directory-{ground.number}", f"/root/outside-{ground.number}"
    name = Path(protected(inside, ground)).name

    def strike() -> bool:
        os.rename(inside, outside)
        try:
            return opens(f"{outside}/{name}")()
        finally:
            os.rename(outside, inside)

    return strike


def in_a_detached_mount(ground: Ground) -> Strike:
    """The directory once more, mounted nowhere."""
    path = Path(_in_vault(ground))
    tree = call(OPEN_TREE, -100, str(path.parent).encode(), _OPEN_TREE_CLONE)
    return opens(f"/proc/self/fd/{tree}/{path.name}")


def by_handle(ground: Ground) -> Strike:
    """A tmpfs has handles; its entries are always known by name."""
    path = _in_vault(ground)
    vault = str(Path(path).parent)
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


def load_module(name: str) -> None:
    """A module of this kernel, whose files only the machine around the VM has."""
    cache = Path(os.environ.get("LICTOR_VM_DIR", Path.home() / ".cache" / "lictor-vm"))
    found = next(cache.glob(f"*/lib/modules/{os.uname().release}"))
    subprocess.run(["modprobe", "-d", found.parents[2], name], check=True)


def written_by_the_kernel(ground: Ground) -> Strike:
    """Accounting: the kernel writes the names of programs that end."""
    path = protected("/etc/sudoers.d", ground, b"")

    def strike() -> bool:
        with _one_at_a_time:
            before = os.stat(path).st_size
            if refused(lambda: call(ACCT, path.encode())):
                return False
            in_child(lambda: True)
            call(ACCT, None)
            return os.stat(path).st_size > before

    return strike


def written_through_a_mapping(ground: Ground) -> Strike:
    """A mapping made before is memory: nothing asks when it is written to."""
    path = protected("/etc/sudoers.d", ground, bytes(8))
    descriptor = os.open(path, os.O_RDWR)
    memory = mmap.mmap(descriptor, 8)

    def strike() -> bool:
        mark = os.urandom(8)
        memory[:] = mark
        return os.pread(descriptor, 8, 0) == mark

    return strike


def by_another_name(ground: Ground) -> Strike:
    """As a program that the rule lets through: ours, mounted over it where only we see it."""
    path, name = protected("/root/.ssh", ground), "/usr/bin/ssh-add"
    Path(name).touch()
    return lambda: succeeds(ground.program("own"), "pose", name, path, SECRET.decode())


def mode_by_access_list(ground: Ground) -> Strike:
    """An access list has the mode's bits in it (but not set-uid), and another hook."""
    path = protected("/usr/local/sbin", ground)

    def strike() -> bool:
        before = os.stat(path).st_mode & 0o777
        wanted = 0o777 if before != 0o777 else 0o755
        entries = ((1, wanted >> 6), (4, wanted >> 3 & 7), (32, wanted & 7))  # owner, group, others
        access = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, bits, 0xFFFFFFFF) for tag, bits in entries)
        refused(lambda: os.setxattr(path, "system.posix_acl_access", access))
        return os.stat(path).st_mode & 0o777 == wanted

    return strike


def exchanged(ground: Ground) -> Strike:
    path = protected("/etc/sudoers.d", ground)
    other = Path(f"/etc/exchanged-{ground.number}")
    other.write_bytes(b"-")

    def strike() -> bool:
        before = Path(path).read_bytes()
        refused(lambda: call(RENAMEAT2, -100, str(other).encode(), -100, path.encode(), _EXCHANGE))
        return Path(path).read_bytes() != before

    return strike


ATTACKS = (
    Attack("open by io_uring", "files/deny-open", read_by_uring, cost=8),
    Attack("write by io_uring", "files/deny-write", written_by_uring, cost=8),
    Attack("open with a path that flips", "files/deny-open", flipped, cost=16),
    Attack(
        "open with a path that flips, by system call",
        "files/kill-open",
        flipped,
        cost=16,
        outcome=Outcome.RACE,
    ),
    Attack("open by io_uring, by system call", "files/kill-open", read_by_uring, cost=8, outcome=Outcome.DETOUR),
    Attack("open by a hard link", "files/deny-open", by_hard_link, outcome=Outcome.DETOUR),
    Attack("open by a bind mount", "files/deny-open", by_bind_mount, outcome=Outcome.DETOUR),
    Attack("open below another root", "files/deny-open", below_another_root, cost=8, outcome=Outcome.DETOUR),
    Attack("open in a renamed directory", "files/deny-open", in_a_renamed_directory, cost=2, outcome=Outcome.DETOUR),
    Attack("open in a detached mount", "files/deny-open", in_a_detached_mount, outcome=Outcome.DETOUR),
    Attack("open by handle", "files/deny-open", by_handle),
    Attack("open by another name", "files/deny-open", by_another_name, cost=8, outcome=Outcome.DETOUR),
    Attack("write by accounting", "files/deny-write", written_by_the_kernel, cost=8),
    Attack("write to a mapping made before", "files/deny-write", written_through_a_mapping, outcome=Outcome.DETOUR),
    Attack("chmod by an access list", "files/deny-chmod", mode_by_access_list, outcome=Outcome.DETOUR),
    Attack("rename by exchange", "files/deny-rename", exchanged),
)
