"""Processes that lived before the agent, as /proc shows them (proc(5)).

A process can end or exec while it is read: one that ends is left out, and `sensors.process` leaves out one that the
kernel's table says has changed meanwhile.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TICK_NS = 10_000_000  # 1 s / USER_HZ
PF_KTHREAD = 0x00200000


@dataclass(frozen=True, slots=True)
class Scanned:
    """One process. `start` is its birth on the boot clock in ns, as precise as a tick; `cmdline` is argv with NULs.

    `read_at` is when the last of it was read, boot clock ns.
    """

    tgid: int
    start: int
    parent: int
    name: str
    kernel_thread: bool
    nspids: tuple[int, ...]
    euid: int
    uids: tuple[int, int, int, int]
    gids: tuple[int, int, int, int]
    capabilities: tuple[int, int, int]  # inheritable, permitted, effective
    loginuid: int
    session: int
    tty: int
    exe: bytes
    cwd: bytes
    cmdline: bytes
    cgroup: str
    namespaces: dict[str, int]
    read_at: int


def scan(root: str = "/proc") -> Iterator[Scanned]:
    """Every process that can be read whole; zombies, whose image is gone, are not among them."""
    for name in os.listdir(root):
        if name.isdigit():
            try:
                found = read(f"{root}/{name}", int(name))
            except (OSError, ValueError, IndexError):
                continue  # it ended while it was read
            if found is not None:
                yield found


def present(root: str = "/proc") -> set[int]:
    """The ids of all processes there are, zombies included."""
    return {int(name) for name in os.listdir(root) if name.isdigit()}


def read(base: str, tgid: int) -> Scanned | None:
    """One process from its /proc directory. None for a zombie. Raises OSError when it ends meanwhile."""
    stat = Path(f"{base}/stat").read_bytes()
    name_from, name_to = stat.index(b"("), stat.rindex(b")")
    numbers = stat[name_to + 2 :].split()
    kernel_thread = bool(int(numbers[6]) & PF_KTHREAD)
    image = base
    if numbers[0] in (b"Z", b"X"):
        # The leader has ended; the process lives on while it has other threads.
        others = [task for task in os.listdir(f"{base}/task") if task != str(tgid)]
        if not others:
            return None
        image = f"{base}/task/{others[0]}"
    status = dict(line.split(":\t", 1) for line in Path(f"{image}/status").read_text().splitlines() if ":\t" in line)
    uids = [int(word) for word in status["Uid"].split()]
    gids = [int(word) for word in status["Gid"].split()]
    return Scanned(
        tgid=tgid,
        start=int(numbers[19]) * TICK_NS,
        parent=int(numbers[1]),
        name=stat[name_from + 1 : name_to].decode(errors="replace"),
        kernel_thread=kernel_thread,
        nspids=tuple(int(word) for word in status.get("NSpid", str(tgid)).split()),
        euid=uids[1],
        uids=(uids[0], uids[1], uids[2], uids[3]),
        gids=(gids[0], gids[1], gids[2], gids[3]),
        capabilities=(int(status["CapInh"], 16), int(status["CapPrm"], 16), int(status["CapEff"], 16)),
        loginuid=_number(f"{base}/loginuid"),
        session=int(numbers[3]),
        tty=_device(int(numbers[4])),
        exe=b"" if kernel_thread else _link(f"{image}/exe"),
        cwd=b"/" if kernel_thread else _link(f"{image}/cwd"),
        cmdline=b"" if kernel_thread else Path(f"{image}/cmdline").read_bytes(),
        cgroup=Path(f"{base}/cgroup").read_text(errors="replace"),
        namespaces=namespaces(image),
        read_at=time.clock_gettime_ns(time.CLOCK_BOOTTIME),
    )


def thread_start(tgid: int, tid: int) -> int | None:
    """When a thread was born, on the boot clock in ns, as precise as a tick. None: there is no such thread."""
    try:
        with open(f"/proc/{tgid}/task/{tid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19]) * TICK_NS
    except (FileNotFoundError, ProcessLookupError):
        return None


def namespaces(base: str = "/proc/self") -> dict[str, int]:
    """Inode numbers of a process's namespaces, by the names the kernel record uses."""
    found: dict[str, int] = {}
    try:
        names = os.listdir(f"{base}/ns")
    except PermissionError:
        return found
    for name in names:
        try:
            found[name] = int(os.readlink(f"{base}/ns/{name}").split("[")[1].rstrip("]"))
        except OSError:
            found[name] = 0
    return found


# include/linux/proc_ns.h: the initial namespaces of these kinds have the same inode on every kernel.
INITIAL = {
    "ipc": 0xEFFFFFFF,
    "uts": 0xEFFFFFFE,
    "user": 0xEFFFFFFD,
    "pid": 0xEFFFFFFC,
    "cgroup": 0xEFFFFFFB,
    "time": 0xEFFFFFFA,
}


def host_namespaces() -> dict[str, int]:
    """The host's namespaces: init's. Where init may not be looked at, the kernel's fixed numbers, and for mount and
    network, which have none, the agent's own.
    """
    found = namespaces("/proc/1")
    own = namespaces("/proc/self")
    for name, inode in found.items():
        if not inode:
            found[name] = INITIAL.get(name.removesuffix("_for_children"), own.get(name, 0))
    return found


def _device(number: int) -> int:
    """The kernel's old encoding of a device number in stat to ours: major << 20 | minor."""
    number &= 0xFFFFFFFF
    return (number >> 8 & 0xFFF) << 20 | (number & 0xFF) | (number >> 12 & 0xFFF00)


def _link(path: str) -> bytes:
    """Where a link of /proc points; empty where we may not look: the process is told of all the same."""
    try:
        return os.readlink(path.encode())
    except PermissionError:
        return b""


def _number(path: str) -> int:
    """A number from a file that some kernels do not have (CONFIG_AUDIT): unset then."""
    try:
        return int(Path(path).read_text())
    except FileNotFoundError:
        return 4294967295
