"""The tracing file system: where it is mounted, or a mount of our own that nobody else sees.

Reading ids and formats of tracepoints needs tracefs. Where nobody mounted it (or only others' namespaces have it), a
detached mount does: it has no place in the tree, and is gone with this process.
"""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache
from pathlib import Path

from lictor.errors import LictorError

PLACES = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432  # the same number on every architecture
_CLOEXEC, _CREATE = 1, 6
_MOUNT_CLOEXEC, _READ_ONLY, _NO_EXEC = 1, 1, 8


@cache
def find() -> Path:
    """The root of tracefs. Raises OSError where there is none to be had."""
    mounted = next((path for path in PLACES if (path / "events").is_dir()), None)
    return mounted or Path(f"/proc/self/fd/{open_detached()}")


def shown(path: Path) -> str:
    """A path for people: one in a mount without a place says so."""
    inside = str(path).removeprefix("/proc/self/fd/")
    return str(path) if inside == str(path) else f"tracefs:{inside.partition('/')[2]}"


def tracepoint_id(subsystem: str, event: str) -> int:
    """What perf_event_open knows a tracepoint by. Raises LictorError."""
    name = f"{subsystem}/{event}"
    if not all(part and part.replace("_", "").isalnum() for part in (subsystem, event.replace("-", ""))):
        raise LictorError(f"`{name}` is no name of a tracepoint")
    try:
        return int((find() / "events" / subsystem / event / "id").read_text())
    except FileNotFoundError as error:
        raise LictorError(f"the kernel has no tracepoint {name}", "`lictor hooks` lists those it has") from error
    except OSError as error:
        remedy = "run as root" if error.errno in (errno.EACCES, errno.EPERM) else "mount tracefs"
        raise LictorError(f"the id of tracepoint {name} cannot be read: {error.strerror}", remedy) from error


def open_detached() -> int:
    """A descriptor of a mount of tracefs without a place."""
    context = _call(_FSOPEN, b"tracefs", _CLOEXEC)
    try:
        _call(_FSCONFIG, context, _CREATE, None, None, 0)
        return _call(_FSMOUNT, context, _MOUNT_CLOEXEC, _READ_ONLY | _NO_EXEC)
    finally:
        os.close(context)


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    found = int(libc.syscall(ctypes.c_long(number), *arguments))
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "tracefs")
    return found
