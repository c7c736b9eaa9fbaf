"""JSON lines to a file that is rotated by size and time.

A full disk costs events, never the agent: what could not be written is counted and told of in the file when writing
works again, and no half line stays behind. The file is opened without following a link, and opened anew when
somebody else moved it away.
"""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import stat
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lictor import log
from lictor.errors import LictorError
from lictor.export.outlet import Line, Outlet

_log = log.get("export")
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Rotation:
    """When to start a new file and what becomes of the old ones. `interval` in seconds, 0 for never."""

    max_bytes: int = 10 << 20
    interval: float = 0.0
    backups: int = 5
    compress: bool = False
    mode: int = 0o600


class FileOutlet(Outlet):
    """Writes to a rotated file. Raises LictorError when it cannot be opened at the start."""

    def __init__(self, path: str, line: Line, rotation: Rotation) -> None:
        self._file = RotatedFile(Path(path), rotation)
        super().__init__("export file", "it could not be written", line, self._file.write)

    def rotate_by(self, rotation: Rotation) -> None:
        """From the next write on; the mode stays as it was."""
        self._file.rotation = rotation

    async def close(self) -> None:
        await super().close()
        self._file.close()


class RotatedFile:
    """The file itself; used by the writer thread alone."""

    def __init__(self, path: Path, rotation: Rotation) -> None:
        self._path = path
        self.rotation = rotation
        self._failing = False
        try:
            self._open()
        except OSError as error:
            raise LictorError(f"the export file {path} cannot be opened: {error.strerror}", _remedy(error)) from error

    def write(self, block: bytes, events: int) -> int:
        """Write whole lines. Gives back how many of the events are lost."""
        try:
            self._prepare(len(block))
        except OSError as error:
            self._complain(error)
            return events
        start = self._size
        view = memoryview(block)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            return self._back_out(block, len(block) - len(view), start, events, error)
        self._size += len(block)
        if self._failing:
            _log.warning("writing to %s works again", self._path)
            self._failing = False
        return 0

    def close(self) -> None:
        os.close(self._fd)

    def _back_out(self, block: bytes, done: int, start: int, events: int, error: OSError) -> int:
        """After a write that stopped half way: cut back to the last whole line, count the lines that are missing."""
        whole = block.rfind(b"\n", 0, done) + 1
        self._size = start + whole
        os.ftruncate(self._fd, self._size)
        self._complain(error)
        return min(events, block.count(b"\n", whole))

    def _complain(self, error: OSError) -> None:
        if not self._failing:
            _log.error("events are lost: %s cannot be written: %s", self._path, error.strerror)
            self._failing = True

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(self._path, flags, self.rotation.mode)
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "it is not a regular file")
        os.fchmod(fd, self.rotation.mode)
        self._fd = fd
        self._size = found.st_size
        self._inode = (found.st_dev, found.st_ino)
        self._born = self._looked = time.monotonic()

    def _prepare(self, coming: int) -> None:
        now = time.monotonic()
        if now - self._looked > _LOOK_EVERY_S:
            self._looked = now
            self._follow_moved_file()
        interval = self.rotation.interval
        if self._size and (self._size + coming > self.rotation.max_bytes or (interval and now - self._born > interval)):
            self._rotate()

    def _follow_moved_file(self) -> None:
        try:
            found = os.stat(self._path, follow_symlinks=False)
        except FileNotFoundError:
            found = None
        if found is None or (found.st_dev, found.st_ino) != self._inode:
            os.close(self._fd)
            self._open()

    def _rotate(self) -> None:
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")
        backup = self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}")
        os.rename(self._path, backup)
        os.close(self._fd)
        self._open()
        if self.rotation.compress:
            self._compress(backup)
        self._drop_old()

    def _compress(self, backup: Path) -> None:
        partial = backup.with_name(backup.name + ".gz.tmp")
        try:
            fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, self.rotation.mode)
            with open(backup, "rb") as plain, os.fdopen(fd, "wb") as raw, gzip.open(raw, "wb", 6) as packed:
                shutil.copyfileobj(plain, packed)
            os.rename(partial, backup.with_name(backup.name + ".gz"))
            backup.unlink()
        except OSError as error:
            # The plain backup is still there; only the space is not saved.
            partial.unlink(missing_ok=True)
            _log.error("%s could not be compressed: %s", backup, error.strerror)

    def _drop_old(self) -> None:
        pattern = f"{self._path.stem}-*{self._path.suffix}*"
        backups = sorted(p for p in self._path.parent.glob(pattern) if not p.name.endswith(".tmp"))
        for old in backups[: max(0, len(backups) - self.rotation.backups)]:
            old.unlink(missing_ok=True)


def _remedy(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "it is a symbolic link; name the file itself"
    if error.errno == errno.ENOENT:
        return "create its directory first"
    return "choose a place the agent may write to"
