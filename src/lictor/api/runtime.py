"""RuntimeHook: a container runtime's hook tells of a container before its first process runs."""

from __future__ import annotations

import re
from collections.abc import Callable

from lictor.api.calls import Run, unary
from lictor.api.pb.tetragon import tetragon_pb2 as pb
from lictor.errors import LictorError
from lictor.track.announced import Announcement, cgroup_path
from lictor.track.container import container_id

Announce = Callable[[Announcement], None]
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,255}")
_LONGEST = 4096
# Where containerd and CRI-O write what a hook did not say itself.
_ANNOTATIONS = {
    "name": ("io.kubernetes.cri.container-name", "io.kubernetes.container.name"),
    "image": ("io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"),
    "pod": ("io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"),
    "namespace": ("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"),
    "pod_uid": ("io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"),
}


def methods(announce: Announce) -> dict[str, Run]:
    async def hook(request: pb.RuntimeHookRequest) -> pb.RuntimeHookResponse:
        if request.WhichOneof("event") != "createContainer":
            raise LictorError("the request announces no container", "set createContainer")
        announce(announcement(request.createContainer))
        return pb.RuntimeHookResponse()

    return {"RuntimeHook": unary(pb.RuntimeHookRequest, hook)}


def announcement(message: pb.CreateContainer) -> Announcement:
    """What it says. Raises LictorError for what cannot be the description of a container."""
    cgroup = _cgroup(message.cgroupsPath)
    identity = message.containerID or container_id(cgroup)
    if not identity:
        raise LictorError("the container has no id", "set containerID, or a cgroupsPath that ends in it")
    if not _ID.fullmatch(identity):
        raise LictorError(f"{identity[:80]!r} is no container id", "use letters, digits, `_`, `.` and `-`: 256 at most")
    if message.rootDir and not message.rootDir.startswith("/"):
        raise LictorError(f"rootDir {message.rootDir[:80]!r} is not an absolute path", "begin it with a slash")
    given = {
        "name": message.containerName,
        "image": message.containerImage,
        "pod": message.podName,
        "namespace": message.podNamespace,
        "pod_uid": message.podUID,
    }
    for field, keys in _ANNOTATIONS.items():
        given[field] = given[field] or next(filter(None, (message.annotations.get(key, "") for key in keys)), "")
        if len(given[field]) > _LONGEST:
            raise LictorError(f"the {field} has {len(given[field])} characters", f"the most is {_LONGEST}")
    if given["pod"] and not given["namespace"]:
        raise LictorError(f"pod {given['pod'][:80]!r} has no namespace", "set podNamespace")
    return Announcement(identity, cgroup, **given)


def _cgroup(given: str) -> str:
    if not given:
        return ""
    try:
        if len(given) <= _LONGEST:
            return cgroup_path(given)
    except ValueError:
        pass
    raise LictorError(
        f"cgroupsPath {given[:80]!r} is no cgroup",
        "write an absolute path of at most 4,096 bytes, or slice:prefix:name",
    )
