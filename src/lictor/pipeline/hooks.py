"""Hook records on their way through the reader: kept until the process records of the same round are in."""

from __future__ import annotations

from collections import Counter

from lictor import log
from lictor.kernel.programs import ProgramInfo
from lictor.model.event import Event, EventType, LossEvent
from lictor.pipeline.faults import told
from lictor.sensors.policies import PolicyEngine
from lictor.track.hooks import HookTracker
from lictor.track.pieces import Pieces
from lictor.wire.hooks import HookDecoder, HookRecord

_log = log.get("pipeline")
_MOST_WAITING = 4096


class HookStream:
    """Takes hook records out of the bulk ring. One whose process is not known yet waits for one round: the record that
    tells of it was numbered before, and can be a moment late."""

    def __init__(self, decoder: HookDecoder, tracker: HookTracker, engine: PolicyEngine) -> None:
        self._engine = engine
        self._pieces = Pieces()
        self._told: dict[tuple[str, str], int] = {}
        self._decoder = decoder
        self._tracker = tracker
        self._fresh: list[HookRecord] = []
        self._waited: list[HookRecord] = []
        self.bad = 0
        self.made: Counter[EventType] = Counter()

    def take(self, batch: bytes, at: int, size: int) -> None:
        """Raises RecordError."""
        self._fresh.append(self._pieces.join(self._decoder.decode(batch, at, size)))

    def take_piece(self, batch: bytes, at: int, size: int) -> None:
        """Raises RecordError."""
        self._pieces.add(self._decoder.piece(batch, at, size))

    def look(self, everything: bool = False) -> None:
        """Take in the calls that will never return; `everything`: all that have not."""
        self._fresh += self._engine.take_unreturned(everything)

    def losses(self, now: int) -> list[LossEvent]:
        """What the engine missed since the last call."""
        found = self._engine.losses()
        told, self._told = self._told, found
        return [
            LossEvent(now, count - told.get(key, 0), *key) for key, count in found.items() if count > told.get(key, 0)
        ]

    def programs(self) -> list[tuple[str, str, ProgramInfo]]:
        """Name, policies that it runs for alone, and what the kernel counted."""
        return self._engine.programs()

    @property
    def missed(self) -> dict[tuple[str, str], int]:
        """(where, why) -> how often something was missed, as of the last `losses`."""
        return self._told

    @property
    def waiting(self) -> bool:
        return bool(self._waited or self._fresh)

    def events(self) -> list[Event]:
        """Those whose process is known, and those that have waited."""
        ready, self._waited, fresh, self._fresh = self._waited, [], self._fresh, []
        for record in fresh:
            if self._tracker.known(record) or len(self._waited) >= _MOST_WAITING:
                ready.append(record)
            else:
                self._waited.append(record)
        made: list[Event] = []
        for record in ready:
            try:
                event = self._tracker.event(record)
            except Exception as error:
                self.bad += 1
                _log.error("a hook record makes no sense (%d so far): %s", self.bad, told(error))
                continue
            if event is not None:
                made.append(event)
        self.made.update([event.kind for event in made])
        return made
