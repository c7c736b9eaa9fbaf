"""Aggregation: of events that say the same within a window, one is handed on, with their number.

Events of hooks say the same when they come from the same image, thread aside, and see the same. Every other event is
the only one of its kind and keeps its place in the stream.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Sequence

from lictor.model.event import Event
from lictor.model.hook import HookEvent

ROOM = 10_000
WINDOW_S = 15.0


class Aggregator:
    """Holds one reader's window. `later(seconds, call)` arranges for a call; `hand_on` gets what a window collected.

    A window begins with the first event after the last one. No more than `room` events wait in it: the window ends
    early then, so that nothing is dropped.
    """

    def __init__(
        self,
        window: float,
        room: int,
        later: Callable[[float, Callable[[], None]], object],
        hand_on: Callable[[Sequence[Event]], None],
    ) -> None:
        self._window = window
        self._room = room
        self._later = later
        self._hand_on = hand_on
        self._held: dict[Hashable, Event] = {}
        self._windows = 0

    def put(self, event: Event) -> None:
        if not self._held:
            window = self._windows
            self._later(self._window, lambda: self._expire(window))
        if not isinstance(event, HookEvent) or event.process is None:
            self._held[len(self._held)] = event
        else:
            key = event.process.exec_id, event.body
            found = self._held.get(key)
            if isinstance(found, HookEvent):
                found.count += 1
                return
            self._held[key] = first = copy.copy(event)  # other readers have the event too
            first.count = 1
        if len(self._held) >= self._room:
            self.flush()

    def flush(self) -> None:
        """End the window now."""
        self._windows += 1
        held, self._held = self._held, {}
        if held:
            self._hand_on(tuple(held.values()))

    def _expire(self, window: int) -> None:
        if window == self._windows:
            self.flush()
