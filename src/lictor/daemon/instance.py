"""One agent per machine: the pid file that is locked while an agent lives, and the file that tells clients about it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from lictor import log
from lictor.daemon.settings import Settings
from lictor.errors import LictorError
from lictor.kernel.objects import object_path

_log = log.get("agent")


@contextlib.contextmanager
def only_one(pid_file: str) -> Iterator[None]:
    """Hold the pid file's lock. Raises LictorError when another agent does. An empty name: no guard."""
    if not pid_file:
        yield
        return
    path = Path(pid_file)
    fd = _claim(path)
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        # Removed while it is still locked: who opened it meanwhile notices that it is not the file any more.
        path.unlink(missing_ok=True)
        os.close(fd)


@contextlib.contextmanager
def announced(info_file: str, settings: Settings) -> Iterator[None]:
    """Keep the info file while the agent serves. What cannot be written is logged: it is a help, no need."""
    if not info_file:
        yield
        return
    path = Path(info_file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.write_text(json.dumps(info(settings)) + "\n")
        partial.replace(path)
    except OSError as error:
        _log.warning("the info file %s cannot be written: %s", path, error.strerror)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def info(settings: Settings) -> dict[str, str | int]:
    """What clients of Tetragon read to find the agent, in its names."""
    return {
        "export_fname": settings.export_filename,
        "lib_dir": str(object_path("process").parent),
        "btf_fname": "/sys/kernel/btf/vmlinux",
        "server_address": next(filter(None, settings.server_address), ""),
        "metrics_address": settings.metrics_server,
        "gops_address": "",
        "map_dir": "",
        "bpftool_path": "",
        "gops_path": "",
        "pid": os.getpid(),
    }


def _claim(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, flags, 0o644)
        except OSError as error:
            raise LictorError(
                f"the pid file {path} cannot be opened: {error.strerror}", "set pid-file to a place that can be written"
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(fd, 32, 0).decode(errors="replace").strip()
            os.close(fd)
            raise LictorError(
                f"an agent runs already, as process {holder or 'unknown'} ({path})", "stop it first, or set pid-file"
            ) from error
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False)):
                return fd
        os.close(fd)
