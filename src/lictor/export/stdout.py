"""Events on standard output, for `lictor run`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from lictor.export.writer import WriterThread
from lictor.model.event import Event


class StdoutSink:
    """Writes `line(event)` for each event the filter lets through. `gone` is called once when the reader went away."""

    def __init__(
        self,
        line: Callable[[Event], str],
        loss: Callable[[int], Event],
        wanted: Callable[[Event], bool],
        gone: Callable[[], None],
        fd: int = 1,
    ) -> None:
        self._line = line
        self._loss = loss
        self._wanted = wanted
        self._gone = gone
        self._fd = fd
        self._closed = False
        self._told = 0
        self._writer = WriterThread("stdout", self._write)

    def accept(self, events: Sequence[Event]) -> None:
        lines = self._writer.render(filter(self._wanted, events), self._line)
        count, lost = len(lines), self._writer.lost
        if lost > self._told:
            lines.insert(0, self._line(self._loss(lost - self._told)))
        if lines and self._writer.put(lines, count):
            self._told = lost

    async def close(self) -> None:
        self._writer.close()

    def _write(self, block: bytes, events: int) -> int:
        view = memoryview(block)
        while view and not self._closed:
            try:
                view = view[os.write(self._fd, view) :]
            except BrokenPipeError:
                self._closed = True
                self._gone()
        return events if self._closed else 0
