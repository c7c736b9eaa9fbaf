"""Drains the rings and turns their bytes into events, a batch at a time.

Order: the priority ring first, then the bulk ring, whose chunks were all sent before the exec that announces them;
then the chunks are handed over before the process records. A round is one pass over both rings.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

from lictor import log
from lictor.kernel.programs import SKIPPED, ProgramInfo
from lictor.model.event import Event, LossEvent
from lictor.pipeline.faults import told
from lictor.pipeline.hooks import HookStream
from lictor.pipeline.sequence import Sequence
from lictor.sensors.process import Counters, ProcessSensor, due_tombstones
from lictor.track.processes import Tracker
from lictor.wire.records import Kind, RecordError

_log = log.get("pipeline")
_CLONE, _EXEC, _EXIT, _CHUNK, _HOOK, _PIECE = map(int, Kind)
_BATCH = 1 << 20
_BUSY_WAIT_S = 0.05


@dataclass(slots=True)
class ReaderStats:
    """Records and bytes read, those of processes by kind, and records that made no sense."""

    records: int = 0
    execs: int = 0
    exits: int = 0
    clones: int = 0
    chunks: int = 0
    bytes: int = 0
    bad: int = 0
    rounds: int = 0


class Round(NamedTuple):
    """The events of one pass, whether it found any record, and whether the buffer was too small for all."""

    events: list[Event]
    found: bool
    more: bool


class Reader:
    """Reads what the sensor records. `round` gives the events of one pass; `told_lost` is the loss reported so far.

    `hooks` takes the records of policies; without policies there is none.
    """

    def __init__(self, sensor: ProcessSensor, tracker: Tracker) -> None:
        self._sensor = sensor
        self._tracker = tracker
        self._decoder = sensor.decoder
        self._priority_buffer = bytearray(_BATCH)
        self._bulk_buffer = bytearray(_BATCH)
        self.priority_sequence = Sequence()
        self.bulk_sequence = Sequence()
        self.stats = ReaderStats()
        self.hooks: HookStream | None = None
        self.told_priority = 0
        self.told_bulk = 0
        self.told_table_full = 0
        self.told_skipped = 0
        self.throttle = sensor.throttle(self._cgroup)

    def _cgroup(self, cgroup_id: int) -> str:
        known = self._tracker.cgroups.get(cgroup_id)
        return known[0] if known is not None else str(cgroup_id)

    def round(self) -> Round:
        """One pass over both rings."""
        used, more = self._sensor.priority.drain(self._priority_buffer)
        found = self._drain_bulk()
        events: list[Event] = []
        if used:
            self._process_records(bytes(memoryview(self._priority_buffer)[:used]), events)
        if self.hooks is not None and self.hooks.waiting:
            found = True
            of_hooks = self.hooks.events()
            if of_hooks:
                events += of_hooks
                events.sort(key=_time)
        self.priority_sequence.end_batch()
        self.bulk_sequence.end_batch()
        self.stats.rounds += 1
        return Round(events, used > 0 or found, more)

    def throttled(self) -> list[Event]:
        """Cgroups whose records are held back from now on, or told of again, and what that cost."""
        if self.throttle is None:
            return []
        return self.throttle.look(time.clock_gettime_ns(time.CLOCK_BOOTTIME))

    def losses(self) -> list[LossEvent]:
        """What went missing since the last call, as events. Gaps and the kernel's own counts see the same losses."""
        counted: Counters = self._sensor.counters()
        priority, bulk = self.lost(counted)
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        events = []
        if priority > self.told_priority:
            events.append(LossEvent(now, priority - self.told_priority, "priority ring", "no room in the ring"))
            self.told_priority = priority
        if bulk > self.told_bulk:
            events.append(LossEvent(now, bulk - self.told_bulk, "bulk ring", "no room in the ring"))
            self.told_bulk = bulk
        skipped = self._sensor.skipped()
        if skipped > self.told_skipped:
            events.append(LossEvent(now, skipped - self.told_skipped, "process sensor", SKIPPED))
            self.told_skipped = skipped
        if counted.table_full > self.told_table_full:
            _log.warning(
                "the kernel's process table is full: %d processes found no room and are told of with less; "
                "raise --process-table-entries",
                counted.table_full - self.told_table_full,
            )
            self.told_table_full = counted.table_full
        if self.hooks is not None:
            self.hooks.look()
            events += self.hooks.losses(now)
        self._sensor.remove_tombstones(due_tombstones(self._tracker.tombstones, now))
        return events

    def lost(self, counted: Counters | None = None) -> tuple[int, int]:
        """Records lost so far: of the priority ring, of the bulk ring."""
        counted = counted or self._sensor.counters()
        return (
            max(counted.lost_priority, self.priority_sequence.lost),
            max(counted.lost_bulk, self.bulk_sequence.lost),
        )

    def programs(self) -> list[tuple[str, str, ProgramInfo]]:
        """The programs of policies, each with the policies that it runs for alone. Empty before the first policy."""
        return self.hooks.programs() if self.hooks is not None else []

    def _drain_bulk(self) -> bool:
        """Take hook records, and the chunks of every exec that was read before this call: all were reserved before it.

        A record that another CPU is still writing holds up those behind it; that is a matter of microseconds, and
        waited for with a bound.
        """
        ring = self._sensor.bulk
        target = ring.produced()
        found = False
        deadline = 0.0
        while ring.consumed() < target:
            used, _ = ring.drain(self._bulk_buffer)
            if used:
                found = True
                self._bulk_records(bytes(memoryview(self._bulk_buffer)[:used]))
            elif not deadline:
                deadline = time.monotonic() + _BUSY_WAIT_S
            elif time.monotonic() > deadline:
                break
            else:
                time.sleep(0.0001)
        return found

    def _bulk_records(self, batch: bytes) -> None:
        header, see = self._decoder.header, self.bulk_sequence.see
        at, end = 0, len(batch)
        while at < end:
            size, kind, _, cpu, seq, _ = header(batch, at)
            self.stats.records += 1
            if not self._plausible(size, end - at):
                break
            see(cpu, seq)
            try:
                if kind == _HOOK and self.hooks is not None:
                    self.hooks.take(batch, at, size)
                elif kind == _PIECE and self.hooks is not None:
                    self.hooks.take_piece(batch, at, size)
                elif kind == _CHUNK:
                    self.stats.chunks += 1
                    self._tracker.chunks.add(*self._decoder.chunk(batch, at, size))
                else:
                    raise RecordError(f"kind {kind} in the bulk ring")
            except Exception as error:
                self._bad(error)
            at += size + 7 & ~7
        self.stats.bytes += end

    def _process_records(self, batch: bytes, events: list[Event]) -> None:
        decoder, tracker = self._decoder, self._tracker
        header, see, expected = decoder.header, self.priority_sequence.see, self.priority_sequence.expected
        least = decoder.header_size
        at, end = 0, len(batch)
        records = execs = exits = 0
        while at < end:
            size, kind, _, cpu, seq, _ = header(batch, at)
            records += 1
            if not least <= size <= end - at and not self._plausible(size, end - at):
                break
            if expected.get(cpu) == seq:
                expected[cpu] = seq + 1
            else:
                see(cpu, seq)
            event: Event | None = None
            try:
                if kind == _EXEC:
                    execs += 1
                    event = tracker.exec(decoder.exec(batch, at, size))
                elif kind == _EXIT:
                    exits += 1
                    event = tracker.exit(decoder.exit(batch, at, size))
                elif kind == _CLONE:
                    self.stats.clones += 1
                    tracker.clone(decoder.clone(batch, at, size))
                else:
                    raise RecordError(f"kind {kind} in the priority ring")
            except Exception as error:
                self._bad(error)
            if event is not None:
                events.append(event)
            at += size + 7 & ~7
        self.stats.records += records
        self.stats.execs += execs
        self.stats.exits += exits
        self.stats.bytes += end

    def _plausible(self, size: int, left: int) -> bool:
        """Whether a record's own size can be true. If not, the rest of the batch cannot be found."""
        if self._decoder.header_size <= size <= left:
            return True
        self._bad(RecordError(f"a record of {size} bytes with {left} left"))
        return False

    def _bad(self, error: Exception) -> None:
        self.stats.bad += 1
        if self.stats.bad < 10 or self.stats.bad % 1000 == 0:
            _log.error("unreadable record (%d so far): %s", self.stats.bad, told(error))


def _time(event: Event) -> int:
    return event.time
