"""Who is alive, who was, and who came from whom: process records in, events out. No I/O.

Images are found by key. An exited image stays for a while, because records of the bulk ring may still name it;
after that it lives as long as a living child refers to it. Every table here is bounded by the processes that live
plus `_EXITED_KEPT`.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from lictor.catalog.process import signal_name
from lictor.model.event import Event, ExecEvent, ExitEvent, ProcessForms
from lictor.track.container import container_id
from lictor.track.image import Image, ImageBuilder, Key
from lictor.track.waiting import Chunks
from lictor.wire.records import Clone, Exec, ExecFlag, Exit, Field, ProcessFlag, lengths

TICK_NS = 10_000_000  # /proc tells births in ticks of 1/100 s (bpf/read/task.h)
_EXITED_KEPT = 1024
_DEPTH = 64
_CGROUPS = 16384


class Cgroups:
    """Cgroup ids to paths and container ids, as the kernel and the scan told them; the least used go first."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, tuple[str, str]] = OrderedDict()

    def learn(self, cgroup_id: int, path: str) -> tuple[str, str]:
        self._known[cgroup_id] = known = (path, container_id(path))
        if len(self._known) > _CGROUPS:
            self._known.popitem(last=False)
        return known

    def get(self, cgroup_id: int) -> tuple[str, str] | None:
        return self._known.get(cgroup_id)


class Tracker:
    """Turns process records into events. Counters: `misses` parents not found, `forgotten` exits of nobody known."""

    def __init__(self, builder: ImageBuilder, chunk_budget: int = 16 << 20) -> None:
        self.builder = builder
        self.chunks = Chunks(chunk_budget)
        self.cgroups = Cgroups()
        self.misses = 0
        self.forgotten = 0
        self.unnamed_cgroups = 0
        self._images: dict[Key, Image] = {}
        self._live: dict[int, Image] = {}
        self._exited: deque[Image] = deque()
        self.tombstones: deque[tuple[int, Key]] = deque()  # (exit time, key): entries for the sensor to remove

    def __len__(self) -> int:
        return len(self._images)

    def live_tgids(self) -> list[int]:
        return list(self._live)

    def add_scanned(self, image: Image) -> None:
        """A process that lived before the agent. One that a record already told of is newer and stays."""
        if image.key[0] not in self._live:
            self._enter(image)

    def find(self, key: Key) -> Image | None:
        """The image of a key. A birth time that was rounded to a tick on one side only still finds it."""
        image = self._images.get(key)
        if image is not None:
            return image
        image = self._live.get(key[0])
        if image is not None and image.key[1] // TICK_NS == key[1] // TICK_NS:
            return image
        return None

    def clone(self, record: Clone) -> None:
        """A new thread group. No event: its image is its creator's until it execs."""
        parent_key = (record.parent_tgid, record.parent_ktime)
        parent = self.find(parent_key)
        if parent is None:
            self.misses += 1
        self._enter(
            Image(
                key=(record.key_tgid, record.key_ktime),
                parent=parent,
                parent_key=parent.key if parent else parent_key,
                cgroup_id=parent.cgroup_id if parent else 0,
                in_init_tree=bool(record.flags & ProcessFlag.IN_INIT_TREE),
                kernel_thread=bool(record.flags & ProcessFlag.KTHREAD),
                start=record.key_ktime,
            )
        )

    def exec(self, record: Exec, data: bytes) -> Event:
        """A new image of a process. Its parent is the creator after a fork, else the image it replaced."""
        fields, short = self._fields(record, data)
        if short:
            record = record._replace(exec_flags=record.exec_flags | ExecFlag.ARGS_TRUNCATED)
        before = self._live.get(record.key_tgid)
        if record.process_flags & ProcessFlag.CLONED:
            parent_key: Key = (record.parent_tgid, record.parent_ktime)
        else:
            parent_key = (record.key_tgid, record.previous)
        parent = self.find(parent_key)
        if parent is None:
            self.misses += 1
        cgroup, container = self._cgroup(record, fields[Field.CGROUP])
        image = Image(
            key=(record.key_tgid, record.key_ktime),
            parent=parent,
            parent_key=parent.key if parent else parent_key,
            cgroup_id=record.cgroup_id,
            in_init_tree=bool(record.process_flags & ProcessFlag.IN_INIT_TREE),
            start=record.key_ktime,
        )
        parent_id = self.builder.exec_id(image.parent_key or parent_key)
        image.forms = self.builder.from_exec(record, fields, parent_id, cgroup, container)
        if before is not None:
            self._retire(before)
        self._enter(image)
        return ExecEvent(record.time, image.forms, self._forms(parent))

    def exit(self, record: Exit) -> Event | None:
        """The end of a thread group. None for kernel threads and for ends already told."""
        key = (record.key_tgid, record.key_ktime)
        image = self.find(key)
        if record.flags & (ProcessFlag.TOMBSTONE | ProcessFlag.UNKNOWN):
            self.tombstones.append((record.time, key))
        if image is None:
            if record.flags & ProcessFlag.KTHREAD:
                return None
            self.forgotten += 1
            parent_key = (record.parent_tgid, record.parent_ktime) if record.parent_tgid else None
            image = Image(key=key, parent=None, parent_key=parent_key, start=record.start)
            image.parent = self.find(parent_key) if parent_key else None
        elif image.exited:
            return None
        forms, parent = self._forms(image), self._forms(image.parent)
        self._retire(image)
        if forms is None or image.kernel_thread or record.flags & ProcessFlag.KTHREAD:
            return None
        return ExitEvent(record.time, forms, parent, signal_name(record.code & 0x7F), record.code >> 8 & 0xFF)

    def sweep(self) -> None:
        """Forget exited images beyond those kept for late records. Called once per batch."""
        while len(self._exited) > _EXITED_KEPT:
            self._images.pop(self._exited.popleft().key, None)

    def _enter(self, image: Image) -> None:
        parent = image.parent
        if parent is not None:
            image.depth = parent.depth + 1
            if image.depth % _DEPTH == 0:
                _cut(image)
        stale = self._live.get(image.key[0])
        if stale is not None and stale.key != image.key:
            self._retire(stale)
        self._images[image.key] = image
        self._live[image.key[0]] = image

    def _retire(self, image: Image) -> None:
        if image.exited:
            return
        image.exited = True
        if self._live.get(image.key[0]) is image:
            del self._live[image.key[0]]
        if image.key in self._images:
            self._exited.append(image)

    def _forms(self, image: Image | None) -> ProcessForms | None:
        if image is None:
            return None
        if image.forms is None:
            self._forms(image.parent)
            image.forms = self.builder.clone_of(image)
        return image.forms

    def _fields(self, record: Exec, data: bytes) -> tuple[dict[int, bytes], bool]:
        """The bytes of every field, and whether pieces of a chained one were lost on the way."""
        fields: dict[int, bytes] = {}
        short = False
        at = 0
        for field, (inline, chained) in enumerate(lengths(record)):
            fields[field] = data[at : at + inline]
            at += inline
            if chained:
                fields[field] = got = self.chunks.take(record.key_tgid, record.key_ktime, field)
                short = short or len(got) < chained
        return fields, short

    def _cgroup(self, record: Exec, path: bytes) -> tuple[str, str]:
        if path and not record.exec_flags & ExecFlag.CGROUP_ERROR:
            return self.cgroups.learn(record.cgroup_id, path.decode(errors="replace"))
        known = self.cgroups.get(record.cgroup_id)
        if known is None:
            self.unnamed_cgroups += 1
            return "", ""
        return known


def _cut(image: Image) -> None:
    """Let go of ancestors beyond `_DEPTH`: a process that execs itself for ever must not keep all it was."""
    above: Image | None = image
    for _ in range(_DEPTH):
        if above is None:
            return
        above = above.parent
    if above is not None:
        above.parent = None
