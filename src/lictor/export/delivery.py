"""One target of the export process: what comes goes into its spool, and from there to the receiver, at least once."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from lictor import log
from lictor.export.counters import Row
from lictor.export.formats import Convert
from lictor.export.senders.base import Message, Sender, UnreachableError
from lictor.export.spool import Position, Record, Spool, split

_log = log.get("export")
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.1, 30.0
_SEND_TIMEOUT_S = 30.0
_LOOK_S = 0.05  # how often a receiver without receipts is looked at while something is not settled
_GAP = b'{"rate_limit_info"'
_DROPPED = b'"number_of_dropped_process_events":"'


class _Unsettled(NamedTuple):
    end: Position
    events: int
    sent: int  # bytes the receiver must have taken
    due: float


class Delivery:
    """`gap(dropped, why)` makes the line that admits a loss. `take` never waits; `run` sends until it is cancelled."""

    def __init__(
        self,
        name: str,
        spool: Spool,
        sender: Sender,
        convert: Convert | None,
        counters: Row,
        gap: Callable[[int, str], bytes],
    ) -> None:
        self.name = name
        self._spool = spool
        self._sender = sender
        self._convert = convert
        self._counters = counters
        self._gap = gap
        self._untold = 0
        self._damaged = 0
        self._why = ""
        self._failing = False
        self._delay = _FIRST_DELAY_S
        self._unsettled: deque[_Unsettled] = deque()
        self._news = asyncio.Event()
        self._empty = asyncio.Event()
        self._tell()

    def take(self, block: bytes) -> None:
        """Put whole lines into the spool; what finds no room is counted, and told of where it is missing."""
        for lines in split(block):
            self._counters.add("taken", lines.count(b"\n"))
            self._append(lines)
        self._tell()
        self._news.set()

    async def run(self) -> None:
        """Connect, send, and try again: for ever."""
        while True:
            try:
                async with asyncio.timeout(_SEND_TIMEOUT_S):
                    await self._sender.connect()
                self._counters.set("connected", 1)
                await self._send_all()
            except (OSError, EOFError, TimeoutError, ssl.SSLError, UnreachableError) as error:
                await self._back_off(error)
            finally:
                self._counters.set("connected", 0)
                await self._sender.close()

    async def until_empty(self) -> None:
        """Return when everything that came is settled."""
        await self._empty.wait()

    def close(self) -> None:
        self._spool.close()

    async def _send_all(self) -> None:
        contact = asyncio.ensure_future(self._sender.lost_contact())
        try:
            while True:
                self._settle_due()
                if contact.done():
                    raise UnreachableError("the receiver closed the connection")
                record = self._spool.next()
                self._look_for_damage()
                if record is None:
                    await self._wait(contact)
                else:
                    await self._send(record, contact)
        finally:
            contact.cancel()

    async def _send(self, record: Record, contact: asyncio.Future[None]) -> None:
        messages = self._messages(record.lines)
        refused = await self._send_or_lose_contact(messages, contact) if messages else 0
        self._reject(refused, "the receiver refused them")
        self._reject(record.lines.count(b"\n") - len(messages), "they have no form for the receiver")
        if self._failing:
            _log.warning("%s works again", self.name)
        self._failing, self._delay = False, _FIRST_DELAY_S
        lag = self._sender.lag
        events = len(messages) - refused
        if lag is None:
            self._settle(record.end, events)
        else:
            self._unsettled.append(_Unsettled(record.end, events, self._sender.sent, time.monotonic() + lag))

    async def _send_or_lose_contact(self, messages: list[Message], contact: asyncio.Future[None]) -> int:
        # Some libraries wait for answers on a connection that they know is gone.
        sending = asyncio.ensure_future(self._sender.send(messages))
        try:
            await asyncio.wait((sending, contact), timeout=_SEND_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                raise UnreachableError("the receiver closed the connection" if contact.done() else "no answer")
            return sending.result()
        finally:
            sending.cancel()

    def _messages(self, lines: bytes) -> list[Message]:
        native = lines.split(b"\n")[:-1]
        if self._convert is None:
            return [Message(line, line) for line in native]
        found = []
        for line in native:
            try:
                found.append(Message(line, self._convert(line)))
            except Exception:  # whatever is wrong with one event, the others must get through
                _log.exception("%s: an event cannot be converted", self.name)
        return found

    async def _wait(self, contact: asyncio.Future[None]) -> None:
        """Until something comes, the connection goes, or something unsettled may have become settled."""
        self._news.clear()
        news = asyncio.ensure_future(self._news.wait())
        timeout = _LOOK_S if self._unsettled else None
        await asyncio.wait((news, contact), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        news.cancel()

    def _look_for_damage(self) -> None:
        """How many events were in it, nobody knows: it is told in bytes."""
        damaged = self._spool.damaged - self._damaged
        if damaged:
            self._damaged += damaged
            self._counters.add("damaged_bytes", damaged)
            why = f"{damaged} bytes of the spool could not be read"
            _log.error("%s: events are lost: %s", self.name, why)
            self._append(self._gap(0, why))

    def _settle_due(self) -> None:
        if not self._unsettled:
            return
        taken, now = self._sender.acknowledged(), time.monotonic()
        while self._unsettled and self._unsettled[0].due <= now and self._unsettled[0].sent <= taken:
            first = self._unsettled.popleft()
            self._settle(first.end, first.events)

    def _settle(self, end: Position, events: int) -> None:
        self._spool.settle(end)
        self._counters.add("delivered", events)
        if self._untold:
            self._append(b"")
        self._tell()

    async def _back_off(self, error: Exception) -> None:
        self._counters.add("retries")
        if not self._failing:
            reason = str(error) or type(error).__name__
            _log.warning("%s cannot be reached, events wait on disk: %s", self.name, reason)
        self._failing = True
        self._unsettled.clear()
        self._spool.rewind()
        after = error.after if isinstance(error, UnreachableError) else 0.0
        await asyncio.sleep(max(after, self._delay * random.uniform(0.5, 1.0)))
        self._delay = min(self._delay * 2, _LONGEST_DELAY_S)

    def _append(self, lines: bytes) -> None:
        whole = self._gap(self._untold, self._why) + lines if self._untold else lines
        if not self._spool.fits(len(whole)):
            return self._refuse(lines, "the spool is full")
        try:
            self._spool.append(whole, whole.count(b"\n"))
        except OSError as error:
            return self._refuse(lines, f"the spool cannot be written: {error.strerror}")
        self._untold = 0
        return None

    def _refuse(self, lines: bytes, why: str) -> None:
        if lines:
            self._counters.add("lost", lines.count(b"\n"))
            self._lose(_weight(lines), why)

    def _reject(self, events: int, why: str) -> None:
        if events:
            self._counters.add("rejected", events)
            self._lose(events, why)

    def _lose(self, events: int, why: str) -> None:
        if not self._untold:
            _log.error("%s: events are lost: %s", self.name, why)
        self._untold += events
        self._why = why

    def _tell(self) -> None:
        held = self._spool.held
        self._counters.set("waiting_bytes", held)
        if held == 0 and not self._untold:
            self._empty.set()
        else:
            self._empty.clear()


def _weight(lines: bytes) -> int:
    """The events that lines stand for: one each, and as many as it says for the record of a gap."""
    total = 0
    for line in lines.split(b"\n")[:-1]:
        at = line.find(_DROPPED) + len(_DROPPED) if line.startswith(_GAP) else -1
        total += int(line[at : line.index(b'"', at)]) if at >= len(_DROPPED) else 1
    return total
