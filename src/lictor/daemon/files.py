"""Policies from files: those named by the settings, and a directory that is watched."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lictor import log
from lictor.api.ports import STATIC_DOMAIN
from lictor.errors import LictorError

if TYPE_CHECKING:
    from lictor.daemon.manager import Manager

_log = log.get("policies")
LOOK_EVERY_S = 2.0
_Stamp = tuple[int, int, int]


async def load_file(manager: Manager, file: str) -> None:
    """Put the policy of a file in force. Raises LictorError."""
    try:
        text = Path(file).read_bytes()
    except OSError as error:
        raise LictorError(f"the policy {file} cannot be read: {error.strerror}", "name a file") from error
    await manager.add(text, STATIC_DOMAIN, file)


class PolicyDirectory:
    """A directory of `*.yaml` files, its sub-directories included. What is in force follows what is there.

    A file that changed for the worse changes nothing; the log says what is wrong with it. `manager` is asked for when
    there is a file.
    """

    def __init__(self, manager: Callable[[], Manager], path: str) -> None:
        self._manager = manager
        self._path = Path(path)
        self._seen: dict[Path, _Stamp] = {}
        self._names: dict[Path, tuple[str, str]] = {}

    async def load(self) -> None:
        """At the start: the first policy that cannot be loaded is an error. No directory is an empty one."""
        for file, stamp in self._files().items():
            await self._put(file, stamp)

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.follow()

    async def follow(self) -> None:
        """Take over what changed since the last look."""
        found = self._files()
        for file in [one for one in self._seen if one not in found]:
            await self._remove(file)
        for file, stamp in found.items():
            if self._seen.get(file) != stamp:
                try:
                    await self._put(file, stamp)
                except LictorError as error:
                    _log.error("%s: %s", file, error)
                except Exception:
                    _log.exception("%s", file)

    async def _put(self, file: Path, stamp: _Stamp) -> None:
        self._seen[file] = stamp
        text = _read(file)
        before = self._names.get(file)
        self._names[file] = now = await self._manager().put(text, STATIC_DOMAIN, str(file))
        if before is not None and before != now:
            await self._delete(before)

    async def _remove(self, file: Path) -> None:
        del self._seen[file]
        name = self._names.pop(file, None)
        if name is not None and name not in self._names.values():
            await self._delete(name)

    async def _delete(self, identity: tuple[str, str]) -> None:
        namespace, name = identity
        try:
            await self._manager().delete(name, namespace, STATIC_DOMAIN)
        except LictorError as error:
            _log.error("%s", error)

    def _files(self) -> dict[Path, _Stamp]:
        found = {}
        for pattern in ("*.yaml", "*.yml", "*/*.yaml", "*/*.yml"):
            for file in sorted(self._path.glob(pattern)):
                try:
                    stat = file.stat()
                except OSError:
                    continue
                found[file] = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        return found


def _read(file: Path) -> bytes:
    """A file that nobody but its owner, root or us, can have written."""
    try:
        found = file.stat()
        text = file.read_bytes()
    except OSError as error:
        raise LictorError(f"the policy {file} cannot be read: {error.strerror}", "make it readable") from error
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
        raise LictorError(f"others may write to the policy {file}", "give it to root, with mode 644")
    return text
