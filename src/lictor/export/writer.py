"""A thread that writes for a sink, so that a slow disk or a blocked terminal never holds up the pipeline.

Bounded in bytes: what does not fit is dropped, counted as events, and told of when there is room again. Long lines have
half of the room, beyond it they are shortened: a flood of huge command lines pushes nothing else out.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from lictor.model.event import Event

QUEUE_BYTES = 8 << 20
LONG_LINE = 16 << 10


class WriterThread:
    """Hands blocks to `write(block, events)` in order, on its own thread.

    `write` gives back how many of the block's events it could not write.
    `lost` counts the events that went missing so far, whether dropped here or refused there.
    """

    def __init__(self, name: str, write: Callable[[bytes, int], int], room: int = QUEUE_BYTES) -> None:
        self._write = write
        self._room = self._whole_room = room
        self._queue: deque[tuple[bytes, int]] = deque()
        self._held = 0
        self._writing = 0
        self._ready = threading.Condition()
        self._closing = False
        self._abandoned = False
        self.lost = 0
        self.written = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def held(self) -> int:
        """Bytes that wait."""
        return self._held

    def squeeze(self, narrow: bool) -> None:
        """Have an eighth of the room, or all of it."""
        self._room = self._whole_room // 8 if narrow else self._whole_room

    def fit(self, lines: Sequence[str], events: Sequence[Event], line: Callable[[Event], str]) -> list[str]:
        """The lines of these events, brief ones for those that are long when half of the room is taken."""
        fitting = list(lines)
        budget = self._room // 2 - self._held
        for at, text in enumerate(fitting):
            if len(text) > LONG_LINE:
                budget -= len(text)
                if budget < 0:
                    fitting[at] = line(events[at].brief())
        return fitting

    def put(self, lines: list[str], events: int) -> bool:
        """Queue lines, so many of which are events. False: no room, they are counted as lost."""
        block = "".join(lines).encode()
        with self._ready:
            if self._held + len(block) > self._room and self._queue:
                self.lost += events
                return False
            self._queue.append((block, events))
            self._held += len(block)
            self._ready.notify()
        return True

    def close(self, timeout: float = 5.0) -> bool:
        """Write what is queued and end. False when the writer is still blocked after `timeout` seconds.

        What it had not written then counts as lost.
        """
        with self._ready:
            self._closing = True
            self._ready.notify()
        self._thread.join(timeout)
        with self._ready:
            if not self._thread.is_alive():
                return True
            self.lost += self._writing + sum(count for _, count in self._queue)
            self._queue.clear()
            self._abandoned = True
            return False

    def _run(self) -> None:
        while True:
            with self._ready:
                while not self._queue and not self._closing:
                    self._ready.wait()
                if not self._queue:
                    return
                blocks = list(self._queue)
                self._queue.clear()
            block = b"".join(part for part, _ in blocks)
            events = self._writing = sum(count for _, count in blocks)
            lost = self._write(block, events)
            with self._ready:
                if self._abandoned:
                    return
                self._writing = 0
                self._held -= len(block)
                self.written += events - lost
                self.lost += lost
