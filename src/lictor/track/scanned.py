"""Images of processes that lived before the agent: from what /proc says to what an event shows."""

from __future__ import annotations

from collections.abc import Iterable

from lictor.catalog.process import capability_names
from lictor.host.cgroups import Hierarchy
from lictor.host.procfs import Scanned
from lictor.model.event import ExecEvent
from lictor.model.forms import ProcessForms, WholeForms
from lictor.model.process import Capabilities, Process, ProcessCredentials, ProcessExtra
from lictor.track import text
from lictor.track.container import short_id
from lictor.track.image import Image
from lictor.track.processes import Tracker
from lictor.wire.records import NamespaceInodes, ProcessFlag

KERNEL = (0, 1)  # "pid 0": the parent of init and kthreadd


def enter(tracker: Tracker, processes: Iterable[Scanned], hierarchy: Hierarchy) -> list[ExecEvent]:
    """Put scanned processes into the tracker, parents linked, and give the events that tell of them."""
    found = {process.tgid: process for process in processes}
    forms = WholeForms(
        Process(
            exec_id=tracker.builder.exec_id(*KERNEL),
            pid=0,
            uid=0,
            binary="<kernel>",
            flags="procFS",
            start_time=tracker.builder.time(1),
            tid=0,
            in_init_tree=False,
        )
    )
    kernel = Image(*KERNEL, None, forms=forms)
    images = {0: kernel}
    tracker.add_scanned(kernel)
    for tgid, process in sorted(found.items(), key=lambda item: item[1].start):
        images[tgid] = _image(tracker, process, found, images, hierarchy)
        tracker.add_scanned(images[tgid])
    return [
        ExecEvent(image.ktime, image.forms, image.parent.forms if image.parent else None)
        for image in images.values()
        if image.forms is not None and not image.flags & ProcessFlag.KTHREAD and image is not kernel
    ]


def _image(
    tracker: Tracker,
    process: Scanned,
    found: dict[int, Scanned],
    images: dict[int, Image],
    hierarchy: Hierarchy,
) -> Image:
    parent = images.get(process.parent)
    if parent is None and process.parent in found:
        above = found[process.parent]
        parent = tracker.find(above.tgid, above.start)
    cgroup_path = hierarchy.path_of(process.cgroup)
    cgroup_id = hierarchy.id_of(cgroup_path)
    container = tracker.cgroups.learn(cgroup_id, cgroup_path)[1] if cgroup_id else ""
    flags = int(ProcessFlag.KTHREAD) if process.kernel_thread else 0
    if in_init_tree(process, found):
        flags |= ProcessFlag.IN_INIT_TREE
    image = Image(process.tgid, process.start, parent, flags)
    image.forms = _forms(tracker, process, image, (cgroup_id, cgroup_path, container))
    image.forms.above = parent.forms if parent else None
    return image


def in_init_tree(process: Scanned, found: dict[int, Scanned]) -> bool:
    """Whether it, or an ancestor, is the first process of a pid namespace below the host's."""
    seen: Scanned | None = process
    for _ in range(len(found) + 1):
        if seen is None:
            return False
        if len(seen.nspids) > 1 and seen.nspids[-1] == 1:
            return True
        seen = found.get(seen.parent)
    return False


def _forms(tracker: Tracker, process: Scanned, image: Image, where: tuple[int, str, str]) -> ProcessForms:
    builder = tracker.builder
    cgroup_id, cgroup, container = where
    inside = bool(image.flags & ProcessFlag.IN_INIT_TREE)
    binary = text.path_text(process.exe) if process.exe else f"[{process.name}]"
    arguments, argv = builder.seen_arguments(binary, process.cmdline)
    cwd = text.path_text(process.cwd)
    words = ["procFS"]
    if cwd == "/":
        words.append("rootcwd")
    if inside:
        words.append("inInitTree")
    inherited, permitted, effective = process.capabilities
    caps = Capabilities(capability_names(permitted), capability_names(effective), capability_names(inherited))
    inodes = NamespaceInodes(*(process.namespaces.get(name, 0) for name in NamespaceInodes._fields))
    (uid, euid, suid, fsuid), (gid, egid, sgid, fsgid) = process.uids, process.gids
    credentials = ProcessCredentials(uid, gid, euid, egid, suid, sgid, fsuid, fsgid, caps=caps)
    public = Process(
        exec_id=builder.exec_id(image.tgid, image.ktime),
        pid=process.tgid,
        uid=process.euid,
        cwd=cwd,
        binary=binary,
        arguments=arguments,
        flags=" ".join(words),
        start_time=builder.time(process.start),
        auid=process.loginuid,
        pod=tracker.cgroups.announced.pod_of(container),
        docker=short_id(container),
        parent_exec_id=builder.parent_exec_id(image),
        cap=caps if builder.detail.credentials else None,
        ns=builder.public_namespaces(inodes) if builder.detail.namespaces else None,
        tid=process.tgid,
        process_credentials=credentials if builder.detail.credentials else None,
        in_init_tree=inside,
    )
    if not builder.detail.extras:
        return WholeForms(public)
    extra = ProcessExtra(
        cgroup=cgroup,
        cgroup_id=str(cgroup_id) if cgroup_id else "",
        container_id=container,
        session_id=process.session,
        tty=text.tty_name(process.tty),
        argv=argv,
    )
    return WholeForms(public, extra)
