"""Who is alive, who was, and who came from whom: process records in, events out. No I/O.

A living image is found by its tgid. An exited one stays for a while, because late records may still name it; after
that it lives as long as a living child refers to it. Every table here is bounded by the processes that live plus
twice `_EXITED_KEPT`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Container, Iterator

from lictor.catalog.process import signal_name
from lictor.model.event import Event, ExecEvent, ExitEvent
from lictor.model.forms import LONG, ProcessForms, Template, WholeForms
from lictor.model.process import Process
from lictor.track.announced import Announced, Announcement
from lictor.track.container import container_id
from lictor.track.image import Image, ImageBuilder, Key
from lictor.track.waiting import Chunks
from lictor.wire.records import NOTHING_CHAINED, Clone, Common, Exec, ExecFlag, Exit, Field, ProcessFlag

_PATHS = (Field.FILENAME, Field.EXE, Field.CWD, Field.CGROUP)
# Plain numbers: looking at a member of an enum costs more than a branch.
_CLONED, _KTHREAD = int(ProcessFlag.CLONED), int(ProcessFlag.KTHREAD)
_TOMBSTONE, _UNKNOWN = int(ProcessFlag.TOMBSTONE), int(ProcessFlag.UNKNOWN)
_TEMPLATES, _TEMPLATE_KEY = 2048, 1024  # how many are kept, and the longest key in bytes
TICK_NS = 10_000_000  # /proc tells births in ticks of 1/100 s (bpf/read/task.h)
_EXITED_KEPT = 1024
_LONG_BUDGET = 8 << 20  # bytes of arguments longer than LONG
_DEPTH = 64
_CGROUPS = 16384


class Cgroups:
    """Cgroup ids to paths and container ids, as the kernel and the scan told them; the least used go first."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, tuple[str, str]] = OrderedDict()
        self.announced = Announced()

    def learn(self, cgroup_id: int, path: str) -> tuple[str, str]:
        self._known[cgroup_id] = known = (path, self.announced.container_of(path) or container_id(path))
        if len(self._known) > _CGROUPS:
            self._known.popitem(last=False)
        return known

    def get(self, cgroup_id: int) -> tuple[str, str] | None:
        return self._known.get(cgroup_id)

    def announce(self, new: Announcement) -> None:
        self.announced.add(new)
        for cgroup_id, (path, _) in self._known.items():
            if new.cgroup and f"{path}/".startswith(f"{new.cgroup}/"):
                self._known[cgroup_id] = path, self.announced.container_of(path)


class Tracker:
    """Turns process records into events. Counters: `misses` parents not found, `forgotten` ends of nobody known,
    `unnamed_cgroups` execs in a cgroup whose path was not told, `ends_missed` processes that were gone without a word.
    """

    def __init__(self, builder: ImageBuilder, chunk_budget: int = 16 << 20) -> None:
        self.builder = builder
        self.chunks = Chunks(chunk_budget)
        self.cgroups = Cgroups()
        self.misses = 0
        self.forgotten = 0
        self.unnamed_cgroups = 0
        self.ends_missed = 0
        # Common part of an exec -> its template, and the flags that say where such a process comes from.
        self._templates: dict[bytes, tuple[Template, int]] = {}
        self._live: dict[int, Image] = {}
        self._absent: dict[int, Image] = {}
        self._long: deque[tuple[ProcessForms, int]] = deque()
        self._long_bytes = 0
        self._long_budget = _LONG_BUDGET
        # Two generations: when the younger is full it becomes the older, and what was the older is forgotten.
        self._exited: dict[Key, Image] = {}
        self._exited_before: dict[Key, Image] = {}
        self.tombstones: deque[tuple[int, Key]] = deque()  # (exit time, key): entries for the sensor to remove

    def announce(self, new: Announcement) -> None:
        """A container that is about to be created: what its processes show from now on."""
        self.cgroups.announce(new)
        self._templates.clear()

    def __len__(self) -> int:
        return len(self._live) + len(self._exited) + len(self._exited_before)

    def add_scanned(self, image: Image) -> None:
        """A process that lived before the agent. One that a record already told of is newer and stays."""
        if image.tgid not in self._live:
            self._enter(image)

    def find(self, tgid: int, ktime: int) -> Image | None:
        """The image of a key. A birth time that was rounded to a tick on one side only still finds it."""
        image = self._live.get(tgid)
        if image is not None and image.ktime == ktime:
            return image
        key = (tgid, ktime)
        gone = self._exited.get(key) or self._exited_before.get(key)
        if gone is not None:
            return gone
        if image is not None and image.ktime // TICK_NS == ktime // TICK_NS:
            return image
        return None

    def known(self) -> Iterator[tuple[ProcessForms, bool]]:
        """Every image that is kept, kernel threads aside, and whether it lives."""
        for living, images in ((True, self._live), (False, self._exited), (False, self._exited_before)):
            for image in tuple(images.values()):
                if not image.flags & _KTHREAD:
                    yield image.forms or self._made(image), living

    def clone(self, record: Clone) -> None:
        """A new thread group. No event: its image is its creator's until it execs."""
        _, ktime, tgid, parent_ktime, parent_tgid, flags = record
        parent = self._live.get(parent_tgid)
        if parent is None or parent.ktime != parent_ktime:
            parent = self.find(parent_tgid, parent_ktime)
        if parent is None:
            parent = self._name(parent_tgid, parent_ktime)
        self._enter(Image(tgid, ktime, parent, flags, None, (parent_tgid, parent_ktime)))

    def exec(self, record: Exec) -> Event:
        """A new image of a process. Its parent is the creator after a fork, else the image it replaced."""
        (
            time, ktime, tgid, previous, parent_ktime, parent_tgid, args_total, env_total, chained, common, args, env,
        ) = record  # fmt: skip
        known = self._templates.get(common)
        if known is None or chained != NOTHING_CHAINED:
            known, args, env = self._describe((tgid, ktime), common, chained, args, env)
        template, origin = known
        parent_key = (parent_tgid, parent_ktime) if origin else (tgid, previous)
        before = self._live.get(tgid)
        if before is not None and before.ktime == previous:
            parent = before.parent if origin & _CLONED else before
        elif before is not None and origin & _UNKNOWN and before.ktime > previous:
            parent = before.parent if before.flags & _CLONED else before
        else:
            parent = self.find(*parent_key)
        if parent is None:
            parent = self._name(*parent_key)
        if parent is None:
            above = None
            parent_id = self.builder.exec_id(*parent_key)
        else:
            above = parent.forms or self._made(parent)
            parent_id = above.exec_id
        cut = args_total - len(args)
        missing = cut + env_total - len(env) if env_total else cut
        forms = self.builder.forms(template, tgid, ktime, parent_id, args, env, cut > 0, missing)
        if len(args) + len(env) > LONG:
            self._keep_long(forms, len(args) + len(env))
        forms.above = above
        self._enter(Image(tgid, ktime, parent, 0, forms, parent_key))
        return ExecEvent(time, forms, above)

    def exit(self, record: Exit) -> Event | None:
        """The end of a thread group. None for kernel threads and for ends already told."""
        time, ktime, tgid, parent_ktime, parent_tgid, flags, code = record
        image = self._live.get(tgid)
        if image is None or image.ktime != ktime:
            image = self._find_unknown(tgid, ktime) if flags & _UNKNOWN else self.find(tgid, ktime)
        if flags & (_TOMBSTONE | _UNKNOWN):  # unknown: the scan may be about to enter it, too late
            self.tombstones.append((time, (tgid, ktime)))
        if image is None:
            if flags & _KTHREAD:
                return None
            self.forgotten += 1
            above = self.find(parent_tgid, parent_ktime) or self._name(parent_tgid, parent_ktime)
            image = Image(tgid, ktime, above, 0, None, (parent_tgid, parent_ktime) if parent_tgid else None)
        elif image.exited:
            return None
        else:
            del self._live[tgid]
            self._retire(image)
        if (flags | image.flags) & _KTHREAD:
            return None
        parent = image.parent
        forms = image.forms or self._made(image)
        parent_forms = None if parent is None else parent.forms or self._made(parent)
        signal = signal_name(code & 0x7F) if code & 0x7F else ""
        return ExitEvent(time, forms, parent_forms, signal, code >> 8 & 0xFF)

    def _name(self, tgid: int, ktime: int) -> Image | None:
        """An image of which nothing is known but its key: it was gone before anyone could look. None without a key."""
        if not tgid or not ktime:
            return None
        self.misses += 1
        builder = self.builder
        stamp = builder.time(ktime)
        process = Process(exec_id=builder.exec_id(tgid, ktime), pid=tgid, flags="unknown", start_time=stamp, tid=tgid)
        image = Image(tgid, ktime, None, 0, WholeForms(process))
        self._retire(image)
        return image

    def forms_of(self, tgid: int, ktime: int) -> tuple[ProcessForms, ProcessForms | None]:
        """The forms of a process that an event speaks of, and of its parent. One that nobody told of is made up."""
        image = self.find(tgid, ktime)
        if image is None:
            self.misses += 1
            image = Image(tgid, ktime, None)
        parent = image.parent
        above = None if parent is None else parent.forms or self._made(parent)
        return image.forms or self._made(image), above

    def _find_unknown(self, tgid: int, birth: int) -> Image | None:
        """The image of a process that was not in the kernel's table, which then knows its birth only.

        Several of its threads can tell of the end: the later ones find the image that the first one retired.
        """
        image = self._live.get(tgid)
        if image is None or image.ktime < birth:
            return self.find(tgid, birth)
        self._exited[tgid, birth] = image
        return image

    def audit(self, present: Container[int]) -> None:
        """Let go of images whose process is not `present` now and was not at the last audit: its end was not told.

        Twice, because a process can be gone while the record of its end is still in the ring.
        """
        absent = {tgid: image for tgid, image in self._live.items() if tgid and tgid not in present}
        for tgid, image in absent.items():
            if self._absent.get(tgid) is image:
                del self._live[tgid]
                self._retire(image)
                self.ends_missed += 1
        self._absent = absent

    def shed(self) -> None:
        """Let go of what can be made again, and of the processes that ended longest ago."""
        self._templates.clear()
        self._exited_before = {}
        for image in self._live.values():
            if image.forms is not None:
                image.forms.json_text = ""
                image.forms.protobuf = b""

    def keep_long_arguments(self, keep: bool) -> None:
        """Whether arguments longer than `LONG` are kept beyond the event of their exec."""
        self._long_budget = _LONG_BUDGET if keep else 0
        self._shorten_oldest()

    def _enter(self, image: Image) -> None:
        if image.depth and not image.depth % _DEPTH:
            _cut(image)
        before = self._live.get(image.tgid)
        if before is not None:
            self._retire(before)
        self._live[image.tgid] = image

    def _retire(self, image: Image) -> None:
        image.exited = True
        self._exited[image.tgid, image.ktime] = image
        if len(self._exited) >= _EXITED_KEPT:
            self._exited_before = self._exited
            self._exited = {}

    def _made(self, image: Image) -> ProcessForms:
        """The forms of an image, made now if nobody asked before. Its creator's come first: a fork shares them."""
        missing = []
        above: Image | None = image
        while above is not None and above.forms is None:
            missing.append(above)
            above = above.parent
        for one in reversed(missing):
            one.forms = self.builder.clone_of(one)
            one.forms.above = one.parent.forms if one.parent else None
            arguments = len(one.forms.process.arguments)
            if arguments > LONG:
                self._keep_long(one.forms, arguments)
        assert image.forms is not None
        return image.forms

    def _keep_long(self, forms: ProcessForms, size: int) -> None:
        """Long arguments are kept while there is room for them; the oldest are shortened first."""
        self._long.append((forms, size))
        self._long_bytes += size
        self._shorten_oldest()

    def _shorten_oldest(self) -> None:
        while self._long_bytes > self._long_budget:
            oldest, size = self._long.popleft()
            self._long_bytes -= size
            oldest.shorten()

    def _describe(
        self, key: Key, packed: bytes, chained: bytes, args: bytes, env: bytes
    ) -> tuple[tuple[Template, int], bytes, bytes]:
        """The template of an exec that was not met before, or that has fields among the chunks; and its arguments."""
        decoder = self.builder.decoder
        common = decoder.common(packed)
        fields = {Field.ARGS: args, Field.ENV: env}
        fields |= {field: getattr(common, field.name.lower()) for field in _PATHS}
        short = False
        for field in Field:
            length = decoder.chained(chained, field)
            if length:
                fields[field] = got = self.chunks.take(*key, field)
                short = short or len(got) < length
        if short:
            common = common._replace(exec_flags=common.exec_flags | ExecFlag.ARGS_TRUNCATED)
        common = common._replace(
            filename=fields[Field.FILENAME], exe=fields[Field.EXE], cwd=fields[Field.CWD], cgroup=fields[Field.CGROUP]
        )
        cgroup = self._cgroup(common)
        path, container = cgroup or ("", "")
        template = self.builder.template(common, path, container, self.cgroups.announced.pod_of(container))
        known = template, common.process_flags & (_CLONED | _UNKNOWN)
        plain = not short and not any(decoder.chained(chained, field) for field in _PATHS)
        if plain and cgroup and len(packed) <= _TEMPLATE_KEY:
            self._templates[packed] = known
            if len(self._templates) > _TEMPLATES:
                self._templates.pop(next(iter(self._templates)))
        return known, fields[Field.ARGS], fields[Field.ENV]

    def _cgroup(self, common: Common) -> tuple[str, str] | None:
        """Path and container of the cgroup, if they are known."""
        if common.cgroup and not common.exec_flags & ExecFlag.CGROUP_ERROR:
            return self.cgroups.learn(common.cgroup_id, common.cgroup.decode(errors="replace"))
        known = self.cgroups.get(common.cgroup_id)
        if known is None:
            self.unnamed_cgroups += 1
        return known


def _cut(image: Image) -> None:
    """Let go of ancestors beyond `_DEPTH`: a process that execs itself for ever must not keep all it was."""
    above: Image | None = image
    for _ in range(_DEPTH):
        if above is None:
            return
        above = above.parent
    if above is not None and above.parent is not None:
        above.parent_key = above.parent.tgid, above.parent.ktime
        above.parent = None
        if above.forms is not None:
            above.forms.above = None
