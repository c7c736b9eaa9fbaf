"""What goes by, counted: a line that keeps up on a terminal, and a last word at the end."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from typing import Any, TextIO

import click

_EVERY_S = 0.25
_RATE_S = 5.0
_CLEAR = "\r\x1b[K"


class Gap:
    """Says when the stream broke, once for each cause, and how long it was away when it is back."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._began = 0.0
        self._said = ""

    def begin(self, why: str, wait: float | None) -> None:
        """`wait`: seconds until the next attempt; None: there is none."""
        self._counters.clear()
        if why != self._said:
            click.echo(f"lictor: {why}", err=True)
        if wait is not None and not self._began:
            click.echo(f"lictor: trying again every {wait:g} s; events until then are missing here", err=True)
        self._began = self._began or time.monotonic()
        self._said = why

    def end(self) -> None:
        """The agent is followed, again if it was away."""
        if self._began:
            self._counters.clear()
            seconds = time.monotonic() - self._began
            click.echo(f"lictor: connected; the events of about {seconds:.0f} s are missing here", err=True)
        self._began, self._said = 0.0, ""


class Counters:
    """`show` writes what belongs to the stream; the counters stand below it on `terminal`, if it is one."""

    def __init__(self, terminal: TextIO | None = None) -> None:
        self.events = 0
        self.lost = 0
        self._terminal = terminal or sys.stderr
        self._live = self._terminal.isatty()
        self._began = time.monotonic()
        self._drawn = False
        self._lately: deque[tuple[float, int]] = deque([(self._began, 0)])

    def show(self, event: dict[str, Any], text: str) -> None:
        self.events += 1
        self.lost += int(event.get("rate_limit_info", {}).get("number_of_dropped_process_events", 0))
        self.clear()
        sys.stdout.write(text)
        sys.stdout.flush()

    def clear(self) -> None:
        """Take the counters off the terminal: something else is about to be written."""
        if self._drawn:
            self._terminal.write(_CLEAR)
            self._terminal.flush()
            self._drawn = False

    def line(self, now: float) -> str:
        """The counters in words; the rate is that of the last seconds."""
        lately = self._lately
        lately.append((now, self.events))
        while len(lately) > 2 and now - lately[0][0] > _RATE_S:
            lately.popleft()
        seconds = now - lately[0][0]
        rate = (self.events - lately[0][1]) / seconds if seconds else 0.0
        return f"{self.events:,} events · {rate:,.0f}/s · {self.lost:,} lost · {now - self._began:.0f} s"

    async def keep_up(self) -> None:
        """Draw the counters again and again; for ever, on a terminal only."""
        while self._live:
            self.clear()
            self._terminal.write(self.line(time.monotonic()))
            self._terminal.flush()
            self._drawn = True
            await asyncio.sleep(_EVERY_S)

    def end(self) -> None:
        """The last word, to who watches on a terminal."""
        self.clear()
        if self._live:
            seconds = time.monotonic() - self._began
            click.echo(f"lictor: {self.events} events in {seconds:.0f} s, {self.lost} lost", err=True)
