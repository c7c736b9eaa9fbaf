"""Identities, capabilities, namespaces, and other processes' memory."""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import signal
import struct
import threading
from collections.abc import Callable
from pathlib import Path

from attacks.row import WITH_OVERRIDE, Attack, Ground, Outcome, Strike
from attacks.syscalls import (
    CAPGET,
    CAPSET,
    PROCESS_VM_WRITEV,
    PTRACE,
    SETGROUPS,
    SETNS,
    SETRESGID,
    SETRESUID,
    UNSHARE,
    attempt,
    call,
    refused,
    succeeds,
)

_OTHER = 1000
_NEWUTS = 0x04000000
_SYS_PTRACE = 19
_ATTACH, _DETACH = 16, 17
_WALL = 0x40000000


def user_changed(ground: Ground) -> Strike:
    del ground

    def strike() -> bool:
        refused(lambda: call(SETRESUID, -1, _OTHER, -1))  # of this thread alone
        return os.geteuid() == _OTHER and call(SETRESUID, -1, 0, -1) == 0

    return strike


def group_changed(ground: Ground) -> Strike:
    del ground

    def strike() -> bool:
        refused(lambda: call(SETRESGID, -1, _OTHER, -1))
        return os.getegid() == _OTHER and call(SETRESGID, -1, 0, -1) == 0

    return strike


def groups_changed(ground: Ground) -> Strike:
    del ground
    groups = ctypes.create_string_buffer(struct.pack("<I", _OTHER), 4)

    def strike() -> bool:
        refused(lambda: call(SETGROUPS, 1, groups))
        return os.getgroups() == [_OTHER] and call(SETGROUPS, 0, None) == 0

    return strike


def _effective(capability: int, wanted: bool) -> bool:
    """Set or drop an effective capability of this thread; whether it is there afterwards."""
    header = ctypes.create_string_buffer(struct.pack("<Ii", 0x20080522, 0), 8)
    sets = ctypes.create_string_buffer(24)
    call(CAPGET, header, sets)
    words = list(struct.unpack("<6I", sets.raw))
    words[0] = words[0] | 1 << capability if wanted else words[0] & ~(1 << capability)
    refused(lambda: call(CAPSET, header, ctypes.create_string_buffer(struct.pack("<6I", *words), 24)))
    call(CAPGET, header, sets)
    return bool(struct.unpack("<6I", sets.raw)[0] & 1 << capability)


def capability_raised(ground: Ground) -> Strike:
    del ground

    def strike() -> bool:
        _effective(_SYS_PTRACE, False)
        return _effective(_SYS_PTRACE, True)

    return strike


def _namespace(kind: str) -> str:
    return os.readlink(f"/proc/thread-self/ns/{kind}")


def user_namespace(ground: Ground) -> Strike:
    return lambda: succeeds(ground.program("own"), "user")


def unshared(ground: Ground) -> Strike:
    del ground

    def strike() -> bool:
        before = _namespace("uts")
        refused(lambda: call(UNSHARE, _NEWUTS))  # of this thread alone
        return _namespace("uts") != before

    return strike


def unshared_by_another(ground: Ground) -> Strike:
    return lambda: succeeds(ground.program("own"), "unshare")


def joined(ground: Ground) -> Strike:
    del ground
    others = [_made_before(), _made_before()]

    def strike() -> bool:
        before = _namespace("uts")
        others.reverse()
        refused(lambda: call(SETNS, others[0], 0))
        return _namespace("uts") != before

    return strike


def joined_by_another(ground: Ground) -> Strike:
    made = f"/proc/{os.getpid()}/fd/{_made_before()}"
    return lambda: succeeds(ground.program("own"), "setns", made)


def _made_before() -> int:
    """A namespace, made by a thread that then ends; the descriptor keeps it."""
    kept: list[int] = []

    def make() -> None:
        call(UNSHARE, _NEWUTS)
        kept.append(os.open("/proc/thread-self/ns/uts", os.O_RDONLY))

    maker = threading.Thread(target=make)
    maker.start()
    maker.join()
    return kept[0]


class _Victim:
    """A process that shares a page with us, so that what is written into its memory can be seen from here."""

    def __init__(self) -> None:
        self.page = mmap.mmap(-1, 4096)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.page))
        heard, tells = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # dies with us
            os.write(tells, b"!")
            while True:
                signal.pause()
        os.close(tells)
        os.read(heard, 1)  # one that does not die yet would keep our pipes open for ever
        os.close(heard)


def _writes(write: Callable[[_Victim, bytes], object]) -> Strike:
    victim = _Victim()

    def strike() -> bool:
        mark = os.urandom(8)
        refused(lambda: write(victim, mark))
        return victim.page[:8] == mark

    return strike


def memory_written(ground: Ground) -> Strike:
    del ground

    def write(victim: _Victim, mark: bytes) -> None:
        here = ctypes.create_string_buffer(mark, 8)
        local = ctypes.create_string_buffer(struct.pack("<QQ", ctypes.addressof(here), 8), 16)
        remote = ctypes.create_string_buffer(struct.pack("<QQ", victim.address, 8), 16)
        call(PROCESS_VM_WRITEV, victim.pid, local, 1, remote, 1, 0)

    return _writes(write)


def memory_written_through_proc(ground: Ground) -> Strike:
    del ground

    def write(victim: _Victim, mark: bytes) -> None:
        with open(f"/proc/{victim.pid}/mem", "r+b", buffering=0) as memory:
            os.pwrite(memory.fileno(), mark, victim.address)

    return _writes(write)


def memory_written_as_before(ground: Ground) -> Strike:
    """Through a descriptor that was opened before: it is asked about when it is opened."""
    del ground
    opened: dict[int, int] = {}
    victim = _Victim()
    opened[victim.pid] = os.open(f"/proc/{victim.pid}/mem", os.O_RDWR)

    def strike() -> bool:
        mark = os.urandom(8)
        refused(lambda: os.pwrite(opened[victim.pid], mark, victim.address))
        return victim.page[:8] == mark

    return strike


def traced(ground: Ground) -> Strike:
    del ground
    victim = _Victim()

    def strike() -> bool:
        if refused(lambda: call(PTRACE, _ATTACH, victim.pid, 0, 0)):
            return "TracerPid:\t0\n" not in Path(f"/proc/{victim.pid}/status").read_text()
        os.waitpid(victim.pid, _WALL)
        seen = f"TracerPid:\t{threading.get_native_id()}\n" in Path(f"/proc/{victim.pid}/status").read_text()
        call(PTRACE, _DETACH, victim.pid, 0, 0)
        return seen

    return attempt(strike)


def traced_by_its_own_wish(ground: Ground) -> Strike:
    """A child asks to be traced, and starts a program: whoever made it may write into that."""
    return lambda: succeeds(ground.program("own"), "trace")


def user_of_a_program(ground: Ground) -> Strike:
    """A set-uid program has another user without a call for it."""
    program = Path(f"/opt/set-uid-{ground.number}")
    shutil.copy(ground.program("own"), program)
    os.chown(program, _OTHER, -1)
    program.chmod(0o4755)
    return lambda: succeeds(str(program), "is", str(_OTHER))


def capability_regained(ground: Ground) -> Strike:
    """What root runs has all capabilities again."""
    return lambda: succeeds(ground.program("own"), "regain", str(_SYS_PTRACE))


_GAINED = "privileges/deny-gained-capabilities"
ATTACKS = (
    Attack("setuid", "privileges/deny-setuid", user_changed),
    Attack("setuid by a program", "privileges/deny-setuid", user_of_a_program, cost=4, outcome=Outcome.DETOUR),
    Attack("setgid", "privileges/deny-setgid", group_changed),
    Attack("setgroups", "privileges/deny-setgid", groups_changed),
    Attack("capset", "privileges/deny-capset", capability_raised),
    Attack("gained capabilities", _GAINED, capability_raised),
    Attack("capability regained", _GAINED, capability_regained, cost=8, outcome=Outcome.DETOUR),
    Attack("user namespace", "namespaces/deny-user", user_namespace, cost=8),
    Attack("unshare", "namespaces/deny-unshare", unshared, kernels=WITH_OVERRIDE, promised=False),
    Attack("setns", "namespaces/deny-setns", joined, kernels=WITH_OVERRIDE, promised=False),
    Attack("unshare, by capability", "privileges/deny-sys-admin", unshared),
    Attack("setns, by capability", "privileges/deny-sys-admin", joined),
    Attack("unshare, killed", "namespaces/kill-unshare", unshared_by_another, cost=8, outcome=Outcome.AS_PROMISED),
    Attack("setns, killed", "namespaces/kill-setns", joined_by_another, cost=8, outcome=Outcome.AS_PROMISED),
    Attack("process_vm_writev", "processes/deny-ptrace", memory_written),
    Attack("write to /proc/PID/mem", "processes/deny-ptrace", memory_written_through_proc),
    Attack(
        "/proc/PID/mem opened before",
        "processes/deny-ptrace",
        memory_written_as_before,
        outcome=Outcome.DETOUR,
    ),
    Attack("ptrace", "processes/deny-ptrace", traced, cost=2),
    Attack("ptrace by the child's wish", "processes/deny-ptrace", traced_by_its_own_wish, cost=8),
)
