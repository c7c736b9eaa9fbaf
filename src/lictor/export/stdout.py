"""Events on standard output."""

from __future__ import annotations

import os
from collections.abc import Callable

from lictor.export.outlet import Line, Outlet


class StdoutOutlet(Outlet):
    """`gone` is called once when the reader went away; from then on everything is lost."""

    def __init__(self, line: Line, gone: Callable[[], None], fd: int = 1) -> None:
        self._gone = gone
        self._fd = fd
        self._closed = False
        super().__init__("standard output", "the reader was too slow", line, self._write)

    def _write(self, block: bytes, events: int) -> int:
        view = memoryview(block)
        while view and not self._closed:
            try:
                view = view[os.write(self._fd, view) :]
            except BrokenPipeError:
                self._closed = True
                self._gone()
        return events if self._closed else 0
