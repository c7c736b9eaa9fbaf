"""The export rate limit: so many events a minute, the rest is counted and told of when the minute is over."""

from __future__ import annotations

from collections.abc import Sequence

from lictor.model.event import Event, LossEvent

MINUTE_S = 60.0


class RateLimit:
    """At most `per_minute` events in each minute; 0: none, negative: all. Events that tell of losses always pass."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self.dropped = 0
        self._untold = 0
        self._begun = float("-inf")
        self._passed = 0

    def admit(self, events: Sequence[Event], now: float) -> Sequence[Event]:
        """Those of a batch that pass at `now`, in seconds of any steady clock."""
        if self.per_minute < 0:
            return events
        if now - self._begun >= MINUTE_S:
            self._begun, self._passed = now, 0
        room = self.per_minute - self._passed
        if len(events) <= room:
            self._passed += len(events)
            return events
        kept = []
        for event in events:
            if room > 0 or isinstance(event, LossEvent):
                kept.append(event)
                room -= 1
        self._passed = self.per_minute - max(room, 0)
        self.dropped += len(events) - len(kept)
        self._untold += len(events) - len(kept)
        return kept

    @property
    def untold(self) -> bool:
        """Whether a record is due at the end of the minute."""
        return self._untold > 0

    def due(self, now: float) -> bool:
        return self.untold and now - self._begun >= MINUTE_S

    def record(self, boot_ns: int) -> LossEvent:
        """The record of what was dropped since the last one."""
        dropped, self._untold = self._untold, 0
        return LossEvent(boot_ns, dropped, "export", f"the limit of {self.per_minute} events a minute")
