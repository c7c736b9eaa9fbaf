"""Policies that came over the API, kept for the next start: one JSON file each, `name:namespace:domain.json`."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from urllib.parse import quote

import msgspec

from lictor import log
from lictor.errors import LictorError

_log = log.get("policies")


class Kept(msgspec.Struct, frozen=True):
    """What a file holds. `mode`: one that was set at run time, else empty."""

    yaml: str
    name: str
    namespace: str
    domain: str
    enabled: bool = True
    mode: str = ""


class Store:
    """A directory of such files. One that cannot be written is logged: the policy is in force all the same."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    def keep(self, one: Kept) -> None:
        path = self._path(one.name, one.namespace, one.domain)
        partial = path.with_suffix(".tmp")
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                partial.unlink()
            fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.encode(one))
                file.flush()
                os.fsync(fd)
            partial.replace(path)
        except OSError as error:
            _log.error("the policy %s is not kept for the next start: %s: %s", one.name, path, error.strerror)

    def forget(self, name: str, namespace: str, domain: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._path(name, namespace, domain).unlink()

    def all(self) -> list[Kept]:
        """Raises LictorError for a file that cannot be read."""
        found = []
        for path in sorted(self._directory.glob("*.json")):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=Kept))
            except (OSError, msgspec.DecodeError) as error:
                raise LictorError(f"the kept policy {path} cannot be read: {error}", "remove the file") from error
        return found

    def _path(self, name: str, namespace: str, domain: str) -> Path:
        words = (quote(word, safe="") for word in (name, namespace, domain))
        return self._directory / f"{':'.join(words)}.json"
