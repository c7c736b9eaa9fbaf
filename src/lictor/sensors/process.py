"""The process sensor: always on. Loads the programs, attaches them, and reads the processes that were there before.

No process falls between scan and sensors: the programs run before the scan starts, and both name a process by its
birth until it execs. A process that the kernel's table knows when the scan is over has told its own story in the
rings; what was read of it is kept if it was read before that story began, and dropped otherwise.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lictor import log
from lictor.host import cgroups, procfs
from lictor.kernel.libbpf import KernelError, possible_cpus
from lictor.kernel.objects import Object, object_path
from lictor.kernel.programs import ProgramInfo, info_of, misses_of
from lictor.kernel.ring import Ring
from lictor.sensors.throttle import CGROUPS, EVERYTHING, THROTTLED, Rate, Throttle
from lictor.track.image import Key
from lictor.track.scanned import in_init_tree
from lictor.wire.layout import compile_layout
from lictor.wire.records import Decoder, ProcessFlag

_log = log.get("sensors")
_PROGRAMS = ("process_fork", "process_exec", "process_exit")
_SLOTS_PER_CPU = 4  # bpf/lib/scratch.h
_TOMBSTONE_NS = 1_000_000_000
_NOEXIST = 1


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of the rings (powers of two, whole pages), entries of the process table, bytes of arguments per exec."""

    priority_ring: int = 8 << 20
    bulk_ring: int = 4 << 20
    process_table: int = 131072
    argument_bytes: int = 131072
    environment: bool = False
    rate: Rate = EVERYTHING


@dataclass(frozen=True, slots=True)
class Counters:
    """What the kernel half counted since it was loaded, summed over the CPUs."""

    lost_priority: int = 0
    lost_bulk: int = 0
    bytes_lost: int = 0
    table_full: int = 0
    scratch_busy: int = 0
    unknown: int = 0


class ProcessSensor:
    """Owns the BPF objects of the sensor. `start` attaches; `close` leaves nothing behind."""

    def __init__(self, sizes: Sizes | None = None) -> None:
        self._sizes = sizes or Sizes()
        self.hierarchy = cgroups.find_hierarchy()
        self.object = Object(object_path("process"))
        self._creds: Object | None = None
        self.exact_privileges = False

    def start(self) -> None:
        """Load and attach. After this every fork, exec and exit is in the rings."""
        sizes, obj = self._sizes, self.object
        obj.set_max_entries("scratch_slots", possible_cpus() * _SLOTS_PER_CPU)
        obj.set_max_entries("priority_ring", sizes.priority_ring)
        obj.set_max_entries("bulk_ring", sizes.bulk_ring)
        obj.set_max_entries("process_table", sizes.process_table)
        obj.set_constant("max_argument_bytes", sizes.argument_bytes)
        obj.set_constant("want_environment", int(sizes.environment))
        obj.set_constant("cgroup_source", self.hierarchy.source)
        if sizes.rate.events:
            obj.set_constant("cgroup_rate_events", sizes.rate.events)
            obj.set_constant("cgroup_rate_ns", sizes.rate.interval_ns)
            obj.set_max_entries("cgroup_rates", CGROUPS)
            obj.set_max_entries("throttled_cgroups", THROTTLED)
        obj.load()
        self.decoder = Decoder(obj.btf)
        self._table = obj.map("process_table")
        self._counters = obj.map("counters")
        self._entry = compile_layout(
            obj.btf, "process_entry", ("ktime", "parent_ktime", "parent_tgid", "cgroup_id", "flags")
        )
        self._cpu = compile_layout(
            obj.btf, "cpu_counters", ("lost*2", "bytes_lost", "table_full", "scratch_busy", "unknown")
        )
        self.priority = Ring(obj.map("priority_ring"))
        self.bulk = Ring(obj.map("bulk_ring"))
        for program in _PROGRAMS:
            obj.attach(program)
        self._attach_credentials()

    def throttle(self, path_of: Callable[[int], str]) -> Throttle | None:
        """The account of throttled cgroups, None without a rate."""
        if not self._sizes.rate.events:
            return None
        return Throttle(self.object.map("throttled_cgroups"), self.object.btf, self._sizes.rate, path_of)

    def scan(self) -> list[procfs.Scanned]:
        """The images that lived before, their processes entered into the kernel's table where it does not know them."""
        found = list(procfs.scan())
        by_tgid = {process.tgid: process for process in found}
        kept = []
        for process in found:
            parent = by_tgid.get(process.parent)
            flags = int(ProcessFlag.KTHREAD) if process.kernel_thread else 0
            if in_init_tree(process, by_tgid):
                flags |= ProcessFlag.IN_INIT_TREE
            cgroup = self.hierarchy.id_of(self.hierarchy.path_of(process.cgroup))
            entry = struct.pack(
                "<QQIIQII",
                process.start,
                parent.start if parent else 0,
                process.parent,
                0,
                cgroup,
                flags,
                0,
            )
            tgid = struct.pack("<I", process.tgid)
            if self._table.update(tgid, entry, _NOEXIST) or self._replaced_since(tgid, process.read_at):
                kept.append(process)
        return kept

    def _replaced_since(self, tgid: bytes, read_at: int) -> bool:
        """Whether the process execed after it was read: what was read is then its earlier image, whole."""
        raw = self._table.lookup(tgid)
        if raw is None:
            return False
        ktime, *_, flags = self._entry.unpack(raw)
        return bool(flags & ProcessFlag.EXECED) and ktime > read_at

    def counters(self) -> Counters:
        rows = [self._cpu.unpack(raw) for raw in self._counters.per_cpu(bytes(4))]
        return Counters(*(sum(column) for column in zip(*rows, strict=True)))

    def programs(self) -> list[tuple[str, ProgramInfo]]:
        """Its programs, and what the kernel counted of them."""
        objects = [self.object, *([self._creds] if self._creds else [])]
        fds = [(name, one.program_fd(name)) for one in objects for name in one.programs]
        return [(name, info_of(fd)) for name, fd in fds if fd >= 0]

    def skipped(self) -> int:
        """Runs of its programs that the kernel left out, each a process that was not told of: while a task is preempted
        inside one, others on that CPU go without. Until Linux 7.0 nothing is preempted in tracepoints."""
        return sum(misses_of(self.object.program_fd(name)) for name in _PROGRAMS)

    def remove_tombstones(self, pending: Iterator[Key]) -> None:
        """Delete table entries of ended processes that could not go at their exit (bpf/process/exit.h).

        The id may have been given to a new process meanwhile: taking the entry shows whose it was, and a wrong one
        goes back.
        """
        for tgid, ktime in pending:
            key = struct.pack("<I", tgid)
            raw = self._table.take(key)
            if raw is not None and self._entry.unpack(raw)[0] != ktime:
                self._table.update(key, raw, _NOEXIST)

    def detach(self) -> None:
        """Stop recording; what is in the rings can still be read."""
        self.object.detach()
        if self._creds:
            self._creds.detach()

    def close(self) -> None:
        self.detach()
        for ring in (getattr(self, "priority", None), getattr(self, "bulk", None)):
            if ring is not None:
                ring.close()
        self.object.close()
        if self._creds:
            self._creds.close()

    def _attach_credentials(self) -> None:
        """The exact account of raised privileges, where fentry is to be had."""
        creds = Object(object_path("creds"))
        try:
            creds.share_map("process_table", self.object)
            creds.load()
            creds.attach("process_committing_creds")
        except KernelError as error:
            creds.close()
            _log.info("raised privileges are derived after the exec: %s", error)
            return
        self._creds = creds
        self.exact_privileges = True


def due_tombstones(waiting: deque[tuple[int, Key]], now: int) -> Iterator[Key]:
    """Those whose exit is old enough that no thread of the process can still be on its way out."""
    while waiting and waiting[0][0] + _TOMBSTONE_NS < now:
        yield waiting.popleft()[1]
