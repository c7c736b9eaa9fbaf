"""Containers that a runtime hook announced before their first process, and what it said of them."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass

from lictor.model.process import Container, Image, Pod

_ROOM = 4096
_UNIT = re.compile(r"(?P<slice>[^:/]*):(?P<prefix>[^:/]*):(?P<name>[^:/]+)")


@dataclass(frozen=True, slots=True)
class Announcement:
    """`cgroup`: path from the root of the hierarchy; names are empty where the hook did not know them."""

    container_id: str
    cgroup: str = ""
    name: str = ""
    image: str = ""
    pod: str = ""
    namespace: str = ""
    pod_uid: str = ""

    def public(self) -> Pod | None:
        """The pod as events show it; None for a container outside of pods."""
        if not self.pod:
            return None
        image = Image(name=self.image) if self.image else None
        return Pod(self.namespace, self.pod, self.pod_uid, Container(self.container_id, self.name, image))


class Announced:
    """The last 4,096. Counters as the reference has them: announcements without a container's name, or its image's."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[str, Announcement] = OrderedDict()
        self._by_cgroup: dict[str, str] = {}
        self.names_missing = 0
        self.images_missing = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, new: Announcement) -> None:
        self.names_missing += not new.name
        self.images_missing += not new.image
        self._forget(self._by_id.pop(new.container_id, None))
        self._by_id[new.container_id] = new
        if new.cgroup:
            self._by_cgroup[new.cgroup] = new.container_id
        if len(self._by_id) > _ROOM:
            self._forget(self._by_id.popitem(last=False)[1])

    def _forget(self, old: Announcement | None) -> None:
        if old is not None and self._by_cgroup.get(old.cgroup) == old.container_id:
            del self._by_cgroup[old.cgroup]

    def container_of(self, cgroup: str) -> str:
        """The container whose cgroup this is, or is above it; empty for none."""
        path = cgroup if self._by_cgroup else ""
        while path:
            if found := self._by_cgroup.get(path):
                return found
            path = path.rpartition("/")[0]
        return ""

    def pod_of(self, container_id: str) -> Pod | None:
        found = self._by_id.get(container_id)
        return found.public() if found is not None else None


def cgroup_path(given: str) -> str:
    """The path of an OCI `cgroupsPath`: a path, or systemd's `slice:prefix:name`. ValueError for what is neither."""
    unit = _UNIT.fullmatch(given)
    if unit is not None:
        scope = f"{unit['prefix']}-{unit['name']}" if unit["prefix"] else unit["name"]
        return f"{_slices(unit['slice'] or 'system.slice')}/{scope}{'' if scope.endswith('.slice') else '.scope'}"
    parts = given.split("/")
    if not given.startswith("/") or ".." in parts or "\0" in given:
        raise ValueError(given)
    return "/" + "/".join(part for part in parts if part not in ("", "."))


def _slices(name: str) -> str:
    """`a-b.slice` lies in `a.slice`."""
    name = name.removesuffix(".slice")
    if name in ("", "-"):
        return ""
    words = name.split("-")
    return "".join(f"/{'-'.join(words[: number + 1])}.slice" for number in range(len(words)))
