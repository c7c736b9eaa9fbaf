"""The container a cgroup belongs to, told from its path. Pure text; the shapes are those runtimes use.

/docker/<64hex>                     /kubepods/burstable/pod<uid>/<64hex>
/system.slice/docker-<64hex>.scope  /kubepods.slice/…/cri-containerd-<64hex>.scope
/libpod_parent/libpod-<64hex>       …slice:cri-containerd:<64hex>
"""

from __future__ import annotations

import re

# The id stands at the end of a component, behind any runtime's prefix and before an optional unit suffix.
_ID = re.compile(r"(?:^|[-:])([0-9a-f]{64})(?:\.scope)?$")
# conmon is named after the container and lives outside it.
_HELPER = re.compile(r"conmon[-:][0-9a-f]{64}(?:\.scope)?$")
_SHORT = 31


def container_id(cgroup_path: str) -> str:
    """The whole id (64 hex digits) of the innermost container of a cgroup path, or the empty string."""
    for component in reversed(cgroup_path.split("/")):
        found = _ID.search(component)
        if found and not _HELPER.search(component):
            return found[1]
    return ""


def short_id(container: str) -> str:
    """The form of `process.docker`: 31 characters."""
    return container[:_SHORT]
