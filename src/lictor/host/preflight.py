"""What must be true before anything is loaded; each failure is one sentence with its remedy."""

from __future__ import annotations

import os
from pathlib import Path

from lictor.errors import LictorError
from lictor.host.procfs import INITIAL

_KERNEL_FLOOR = (6, 1)
_CAP_SYS_ADMIN, _CAP_PERFMON, _CAP_BPF = 21, 38, 39
BTF = Path("/sys/kernel/btf/vmlinux")


def kernel_version(release: str) -> tuple[int, int]:
    """Major and minor of a release such as `6.1.0-56-amd64`."""
    major, minor = release.split(".")[:2]
    return int(major), int("".join(c for c in minor if c.isdigit()))


def check(release: str | None = None, euid: int | None = None, capabilities: int | None = None) -> None:
    """Raise LictorError when the agent cannot run here. Arguments stand in for this machine's own values."""
    release = os.uname().release if release is None else release
    if (os.geteuid() if euid is None else euid) != 0:
        raise LictorError("Lictor needs root to load its programs into the kernel", "run it with sudo or as root")
    if kernel_version(release) < _KERNEL_FLOOR:
        raise LictorError(f"this kernel is {release}, Lictor needs 6.1 or newer", "boot a newer kernel")
    if not BTF.exists():
        raise LictorError(
            f"this kernel has no type information ({BTF} is missing)",
            "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y; those of current distributions are",
        )
    if os.stat("/proc/self/ns/pid").st_ino != INITIAL["pid"]:
        raise LictorError(
            "this process is in a pid namespace of its own and would not see the machine's processes",
            "start the container with --pid=host (hostPID: true in Kubernetes)",
        )
    held = effective_capabilities() if capabilities is None else capabilities
    if not held >> _CAP_SYS_ADMIN & 1 and not (held >> _CAP_BPF & 1 and held >> _CAP_PERFMON & 1):
        raise LictorError(
            "this process may not load BPF programs (no CAP_BPF and CAP_PERFMON)",
            "in a container add the capabilities BPF, PERFMON and SYS_PTRACE, or run it privileged",
        )


def effective_capabilities() -> int:
    """The effective capability mask of this process (/proc/self/status)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0
