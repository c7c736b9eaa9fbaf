"""Names of what a process carries: capabilities, secure bits, namespaces, signals, flags.

Spellings are those of `tetragon.CapabilitiesType`, `SecureBitsType` and `ProcessPrivilegesChanged`; numbers are
the kernel's (include/uapi/linux/capability.h, securebits.h, asm/signal.h).
"""

from __future__ import annotations

import signal
from functools import lru_cache

CAPABILITIES = (
    "CAP_CHOWN", "DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip

SECURE_BITS = (
    (1, "SecBitNoRoot"),
    (2, "SecBitNoRootLocked"),
    (4, "SecBitNoSetUidFixup"),
    (8, "SecBitNoSetUidFixupLocked"),
    (16, "SecBitKeepCaps"),
    (32, "SecBitKeepCapsLocked"),
    (64, "SecBitNoCapAmbientRaise"),
    (128, "SecBitNoCapAmbientRaiseLocked"),
)

NAMESPACES = (
    "uts", "ipc", "mnt", "pid", "pid_for_children", "net", "time", "time_for_children", "cgroup", "user",
)  # fmt: skip

UNSET_UID = 4294967295


@lru_cache(maxsize=4096)
def capability_names(mask: int) -> tuple[str, ...]:
    """The names in a capability mask; bits that have no name here are left out."""
    return tuple(name for bit, name in enumerate(CAPABILITIES) if mask >> bit & 1)


@lru_cache(maxsize=256)
def secure_bit_names(mask: int) -> tuple[str, ...]:
    return tuple(name for bit, name in SECURE_BITS if mask & bit)


@lru_cache(maxsize=128)
def signal_name(number: int) -> str:
    """`SIGKILL` for 9; `SIGRTMIN+3` for real-time signals; empty for 0."""
    if not number:
        return ""
    if signal.SIGRTMIN < number < signal.SIGRTMAX:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"
