"""Which cgroup hierarchy names workloads on this machine, and where it is mounted."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

UNIFIED = 0  # enum cgroup_source, bpf/read/task.h
_CONTROLLERS = {"memory": 1, "pids": 2, "cpuset": 3}


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """`source` as in enum cgroup_source; `controller` is empty for the unified hierarchy. `programs`: where a version 2
    hierarchy is mounted, which cgroup programs need; empty where none is."""

    source: int
    controller: str
    root: str
    programs: str = ""

    def path_of(self, proc_cgroup: str) -> str:
        """The path in this hierarchy from the text of /proc/PID/cgroup."""
        for line in proc_cgroup.splitlines():
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if self.controller in controllers.split(",") if self.controller else number == "0":
                return path
        return ""

    def id_of(self, path: str) -> int:
        """The kernel's id of a cgroup: its inode number. 0 when it is gone."""
        try:
            return os.stat(f"{self.root}{path}").st_ino
        except OSError:
            return 0


def find_hierarchy(mountinfo: str | None = None) -> Hierarchy:
    """A version 1 controller where one is mounted (container runtimes put workloads there), else the unified one."""
    text = Path("/proc/self/mountinfo").read_text() if mountinfo is None else mountinfo
    roots: dict[str, str] = {}
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.partition(" ")
        if kind == "cgroup2":
            roots.setdefault("", before.split(" ")[4])
        elif kind == "cgroup":
            for word in options.rsplit(" ", 1)[-1].split(","):
                roots.setdefault(word, before.split(" ")[4])
    for controller, source in _CONTROLLERS.items():
        if controller in roots:
            return Hierarchy(source, controller, roots[controller], roots.get("", ""))
    return Hierarchy(UNIFIED, "", roots.get("", "/sys/fs/cgroup"), roots.get("", ""))
