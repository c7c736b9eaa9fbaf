"""How the running kernel was built, as far as it matters here."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

from lictor.errors import LictorError

OPTIONS = tuple(
    "CONFIG_" + name
    for name in (
        "BPF", "BPF_SYSCALL", "BPF_JIT", "BPF_JIT_ALWAYS_ON", "BPF_EVENTS", "BPF_LSM", "BPF_KPROBE_OVERRIDE",
        "CGROUP_BPF", "DEBUG_INFO_BTF", "DEBUG_INFO_BTF_MODULES", "FPROBE", "FTRACE_SYSCALLS",
        "FUNCTION_ERROR_INJECTION", "IMA", "KPROBES", "KRETPROBES", "SECURITY_LOCKDOWN_LSM", "UPROBES",
    )
)  # fmt: skip
_LINE = re.compile(r"^(CONFIG_\w+)=(.*)$", re.MULTILINE)


def build_options(places: tuple[Path, ...] | None = None) -> dict[str, str]:
    """Option -> `y`, `m`, a value; `n`: not set. Raises LictorError where the kernel does not tell."""
    places = places or (Path("/proc/config.gz"), Path(f"/boot/config-{os.uname().release}"))
    for path in places:
        try:
            raw = path.read_bytes()
        except OSError:
            continue
        text = gzip.decompress(raw) if path.suffix == ".gz" else raw
        found = dict(_LINE.findall(text.decode(errors="replace")))
        return {name: found.get(name, "n") for name in OPTIONS}
    where = " nor ".join(map(str, places))
    raise LictorError(
        f"this kernel does not tell how it was built: neither {where} is there", "`lictor probe` tries it"
    )
